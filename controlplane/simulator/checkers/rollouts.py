"""Rollouts: their records one after the other, as the system shard's log has them.

* A record goes from one state to the next as the state machine allows, one transition an entry, and
  is never changed again once it is over.
* No step is skipped, doubled or out of its wave: a wave begins when every region of the waves
  before it is well or left for later, and a region is sent what its state allows, once.
* Two rollouts of one document, or of documents that name each other, never go on together.
* Targets follow from records, in the same entry; those of a region only ever go to later steps, and
  none is ordered by an older global leader than the one before it.
* Every region is to run what all rollouts together come to, and goes back to what it ran.
* A revision that fails every look of its gate reaches the first wave alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from config.effect import EVERYWHERE, Target, place_of, read_target
from config.rollout import HAS_IT, Phase, Reached, RegionStep, Rollout
from config.rollout_record import PREFIX, read_rollout
from config.strategy import OnFailure
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay

Content: TypeAlias = tuple[int, str]
"""What a region runs of a document: version and digest."""
NOTHING: Final[Content] = (0, "")

_BACK: Final = (Phase.ROLLING_BACK, Phase.HELD, Phase.SUPERSEDED)
PHASES: Final[Mapping[Phase, Collection[Phase]]] = {
    Phase.PENDING: (Phase.APPLYING, Phase.SUCCEEDED, Phase.ROLLED_BACK, *_BACK),
    Phase.APPLYING: (Phase.BAKING, Phase.ROLLED_BACK, *_BACK),
    Phase.BAKING: (Phase.GATING, Phase.APPLYING, Phase.FINAL_BAKE, Phase.SUCCEEDED, *_BACK),
    Phase.GATING: (Phase.APPLYING, Phase.FINAL_BAKE, Phase.SUCCEEDED, *_BACK),
    Phase.FINAL_BAKE: (Phase.GATING, Phase.SUCCEEDED, *_BACK),
    Phase.ROLLING_BACK: (Phase.STUCK, Phase.ROLLED_BACK),
    Phase.STUCK: (Phase.ROLLED_BACK,),
}
"""What may come after a phase, beside itself."""
STATES: Final[Mapping[Reached, Collection[Reached]]] = {
    Reached.WAITING: (Reached.SENT, Reached.REVERTING),
    Reached.SENT: (
        Reached.APPLIED, Reached.UNREACHABLE, Reached.DEFERRED, Reached.REVERTING,
    ),
    Reached.APPLIED: (Reached.HEALTHY, Reached.UNHEALTHY, Reached.REVERTING),
    Reached.HEALTHY: (Reached.REVERTING,),
    Reached.UNHEALTHY: (Reached.REVERTING,),
    Reached.UNREACHABLE: (Reached.APPLIED, Reached.WAITING, Reached.REVERTING),
    Reached.DEFERRED: (Reached.REVERTING,),
    Reached.REVERTING: (Reached.REVERTED,),
}  # fmt: skip
PASSED: Final = (Reached.HEALTHY, Reached.DEFERRED)


@dataclass(slots=True)
class Change:
    """One entry of the system shard, as far as it is of rollouts: records and targets as they are
    from there on; a target of None is gone."""

    position: int
    records: list[Rollout] = field(default_factory=list)
    targets: list[tuple[str, str, Target | None]] = field(default_factory=list)


def changes_of(replay: Replay) -> list[Change]:
    """Every entry that is of rollouts, in order."""
    found: dict[int, Change] = {}
    for key, timeline in replay.keys.items():
        place = place_of(key)
        if place is None and not key.startswith(PREFIX):
            continue
        for position, value in zip(timeline.positions, timeline.values, strict=True):
            change = found.setdefault(position, Change(position))
            if place is not None:
                target = None if value is None else read_target(value.data)
                change.targets.append((*place, target))
            elif value is not None:
                change.records.append(read_rollout(value.data))
    return [found[position] for position in sorted(found)]


class RolloutChecker:
    """Goes through the entries once; `ended` and `targets` say what they came to."""

    def __init__(
        self,
        findings: Findings,
        are_related: Callable[[str, str], bool],
        bad: Collection[str] = (),
    ) -> None:
        """`bad` are digests that fail every look of the gate that their rollouts have."""
        self._findings = findings
        self._are_related = are_related
        self._bad = bad
        self._at = 0
        self._epoch = 0
        self._records: dict[int, Rollout] = {}
        self._right: dict[tuple[str, str], Content] = {}
        self._steps: dict[tuple[str, str], tuple[int, int]] = {}
        self.targets: dict[tuple[str, str], Target] = {}
        self.ended: dict[Phase, int] = defaultdict(int)

    def check(self, changes: Iterable[Change]) -> None:
        """Everything that there is, in order."""
        for change in changes:
            self._at = change.position
            for record in change.records:
                self._recorded(record)
            self._one_at_a_time()
            for document, region, target in change.targets:
                self._targeted(change, document, region, target)
            for record in change.records:
                self._as_it_should_be(record)

    def right(self, document: str, region: str) -> Content:
        """What a region is to run by all that was recorded."""
        return self._right.get((document, region), NOTHING)

    def unfinished(self) -> list[Rollout]:
        """Rollouts that are not over."""
        return [each for each in self._records.values() if not each.is_over]

    def _add(self, invariant: str, detail: str) -> None:
        self._findings.add(invariant, self._at, detail)

    # -- records

    def _recorded(self, after: Rollout) -> None:
        before = self._records.get(after.id)
        self._records[after.id] = after
        if before is None:
            if after.sequence or after.phase is not Phase.PENDING:
                self._add("a rollout goes step by step", f"{after.id} begins {after.phase}")
            return
        name = f"{after.id} of {after.document}"
        if after.sequence != before.sequence + 1 or before.is_over:
            detail = f"{name}: {before.phase} {before.sequence}, then {after.sequence}"
            self._add("a rollout goes step by step", detail)
        if after.phase is not before.phase and after.phase not in PHASES[before.phase]:
            detail = f"{name}: {before.phase} became {after.phase}"
            self._add("a rollout goes step by step", detail)
        if before.phase is Phase.PENDING and after.phase is Phase.APPLYING:
            self._began(after)
        self._check_wave(before, after, name)
        for region in after.regions:
            was = before.region(region.region)
            assert was is not None, region
            self._region_changed(before, after, was, region)
        if after.is_over and not before.is_over:
            self._ended(after)

    def _began(self, rollout: Rollout) -> None:
        """What it goes back to is what was to be run at that moment."""
        for each in rollout.regions:
            right = self.right(rollout.document, each.region)
            if not each.inherits and (each.before, each.before_digest) != right:
                detail = f"{rollout.id}: {each.region} would go back to {each.before}, not {right}"
                self._add("regions go back to what they ran", detail)

    def _check_wave(self, before: Rollout, after: Rollout, name: str) -> None:
        grown = after.wave - before.wave
        if grown not in (0, 1) or (grown and after.phase is not Phase.APPLYING):
            detail = f"{name}: wave {before.wave}, then {after.wave}, {after.phase}"
            self._add("no wave before its time", detail)
        earlier = {region for wave in after.waves[: after.wave] for region in wave}
        left = [r.region for r in after.regions if r.region in earlier and r.reached not in PASSED]
        if grown and left:
            self._add("no wave before its time", f"{name}: wave {after.wave} without {left}")
        if after.steps not in (before.steps, before.steps + 1):
            self._add("no step twice", f"{name}: step {before.steps}, then {after.steps}")

    def _region_changed(
        self, before: Rollout, after: Rollout, was: RegionStep, now: RegionStep
    ) -> None:
        name = f"{after.id} of {after.document}: {now.region}"
        if now.reached is not was.reached and now.reached not in STATES.get(was.reached, ()):
            self._add("no step twice", f"{name} was {was.reached}, is {now.reached}")
        is_ordered = now.reached in (Reached.SENT, Reached.REVERTING) and (
            was.reached is not now.reached
        )
        if is_ordered != (now.step != was.step) or (is_ordered and now.step != before.steps + 1):
            self._add("no step twice", f"{name}: step {was.step}, then {now.step}, {now.reached}")
        if not is_ordered:
            return
        is_back = now.reached is Reached.REVERTING
        if not is_back and now.region not in after.waves[after.wave]:
            self._add("no wave before its time", f"{name} is sent in wave {after.wave}")
        if is_back != (after.phase in (Phase.ROLLING_BACK, Phase.STUCK)):
            self._add("no step twice", f"{name} is {now.reached} while {after.phase}")
        content = (now.before, now.before_digest) if is_back else (after.version, after.digest)
        self._right[after.document, now.region] = content
        is_first = now.region in after.waves[0]
        if not is_back and after.digest in self._bad and not is_first:
            self._add("a bad revision reaches the first wave alone", name)

    def _ended(self, rollout: Rollout) -> None:
        self.ended[rollout.phase] += 1
        for each in rollout.regions:
            place = (rollout.document, each.region)
            if rollout.phase is Phase.SUCCEEDED:
                self._right[place] = (rollout.version, rollout.digest)
            elif rollout.phase is Phase.ROLLED_BACK and _goes_back(rollout, each):
                self._right[place] = (each.before, each.before_digest)

    def _one_at_a_time(self) -> None:
        on = [r for r in self._records.values() if not r.is_over and r.phase is not Phase.PENDING]
        for at, one in enumerate(on):
            for other in on[at + 1 :]:
                names = (one.document, other.document)
                if names[0] == names[1] or self._are_related(*names):
                    detail = f"{one.id} of {names[0]} and {other.id} of {names[1]}"
                    self._add("one rollout at a time", detail)

    # -- targets

    def _targeted(self, change: Change, document: str, region: str, target: Target | None) -> None:
        place = (document, region)
        record = next((each for each in change.records if each.document == document), None)
        if record is None:
            self._add("targets follow from records", f"{place} without a record")
            return
        if target is None:
            self.targets.pop(place, None)
            return
        self.targets[place] = target
        if target.rollout != record.id or not _orders(record, region, target):
            self._add("targets follow from records", f"{place}: {target}")
        step = (target.rollout, target.step)
        if region != EVERYWHERE and step <= self._steps.get(place, (0, 0)):
            self._add("no step twice", f"{place}: {self._steps[place]}, then {step}")
        self._steps[place] = step
        if target.epoch < self._epoch:
            self._add("epochs of targets never go back", f"{place}: {self._epoch}, then {target}")
        self._epoch = max(self._epoch, target.epoch)

    def content(self, document: str, region: str) -> Content:
        """What a region is to run by the targets."""
        places = ((document, region), (document, EVERYWHERE))
        target = next((self.targets[place] for place in places if place in self.targets), None)
        return NOTHING if target is None else (target.version, target.digest)

    def _as_it_should_be(self, record: Rollout) -> None:
        for each in record.regions:
            found, right = (
                self.content(record.document, each.region),
                self.right(record.document, each.region),
            )
            if found != right:
                detail = (
                    f"{record.document} in {each.region}: {found}, should be {right}, "
                    f"with {record.id} {record.phase}, {each.reached}"
                )
                self._add("regions are to run what rollouts come to", detail)


def _orders(record: Rollout, region: str, target: Target) -> bool:
    """Whether a record says that this is to be run there."""
    if region == EVERYWHERE:
        return record.phase is Phase.SUCCEEDED
    ordered = record.region(region)
    return ordered is not None and target.step == ordered.step


def _goes_back(rollout: Rollout, each: RegionStep) -> bool:
    """Whether a region has what it had before, once a rollout went back."""
    if not each.step and not each.inherits:
        return False  # it was never touched, and what it had may be another thing by now
    is_kept = each.reached in HAS_IT and not rollout.back_all
    return not (is_kept and rollout.strategy.on_failure is OnFailure.ROLLBACK_LATER)
