"""Rollouts in the system shard: read and written at the node that leads it.

A transition is one entry: the record as it is from now on, and the targets that follow from it, on
the condition that the record is still what was read. So what a region is to run and what the record
says of it are never apart, and of two who go on with one rollout, or who order something of it at
the same moment, one changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from config.audit import Note
from config.effect import (
    EVERYWHERE,
    Target,
    live_key,
    live_prefix,
    place_of,
    read_target,
    target_key,
    targets_prefix,
    version_of,
)
from config.effect import PARTITION as EFFECT
from config.revision import Revision, head_key, read_revision, version_key
from config.rollout import Phase, Reached, RegionStep, Rollout
from config.rollout_record import (
    COUNT_KEY,
    KEPT_MAX,
    PARTITION,
    PREFIX,
    packed,
    read_rollout,
    rollout_key,
)
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.planning.system_shard import known_as, scan_all, values_of
from controlplane.problems import from_refusal
from controlplane.requests import (
    Compare,
    Delete,
    Problem,
    Put,
    Refused,
    Write,
    Written,
)
from controlplane.rollouts.notes import ITSELF, Ordered, beginning_notes, transition_notes

NOTHING: Final = Target(0, "", 0, 0, 0)
"""What is to be run where nobody ever said anything: the default."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The targets of one document, by region, and the versions that are kept for them."""

    targets: dict[str, Target] = field(default_factory=dict)
    live: tuple[int, ...] = ()

    def target(self, region: str) -> Target:
        """What a region is to run."""
        return self.targets.get(region) or self.targets.get(EVERYWHERE) or NOTHING


@dataclass(frozen=True, slots=True)
class Shelf:
    """Every record with its version, and the counter with its."""

    rollouts: tuple[tuple[Rollout, int], ...]
    count: int
    count_version: int

    def unfinished(self) -> tuple[Rollout, ...]:
        """Those that are not over, by number."""
        return tuple(rollout for rollout, _ in self.rollouts if not rollout.is_over)


class RolloutBook:
    """What is kept of rollouts, as the leader of the system shard sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def shelf(self) -> Shelf:
        """Everything that is remembered. Raises RequestRefused."""
        (count,) = await values_of(self._service, COUNT_KEY)
        items = await scan_all(self._service, PARTITION, PREFIX)
        found = tuple((known_as(read_rollout, value.data), value.version) for _, value in items)
        return Shelf(found, int(count.data) if count else 0, count.version if count else 0)

    async def rollout(self, number: int) -> tuple[Rollout, int] | None:
        """One record with its version. Raises RequestRefused."""
        (value,) = await values_of(self._service, rollout_key(number))
        return None if value is None else (known_as(read_rollout, value.data), value.version)

    async def in_force(self, document: str) -> InForce:
        """What the regions are to run of a document. Raises RequestRefused."""
        targets = {}
        for key, value in await scan_all(self._service, EFFECT, targets_prefix(document)):
            place = place_of(key)
            assert place is not None, key
            targets[place[1]] = known_as(read_target, value.data)
        live = await scan_all(self._service, EFFECT, live_prefix(document))
        versions = (version_of(key) for key, _ in live)
        return InForce(targets, tuple(each[1] for each in versions if each is not None))

    async def revision(self, document: str, version: int | None) -> Revision | None:
        """A version of a document, if it is kept; None: the newest. Raises RequestRefused."""
        key = head_key(document) if version is None else version_key(document, version)
        (value,) = await values_of(self._service, key)
        return None if value is None else known_as(read_revision, value.data)

    async def begin(
        self, rollout: Rollout, revision: Revision, shelf: Shelf, replaced: Sequence[Rollout] = ()
    ) -> bool:
        """Write a rollout down, if none was begun since `shelf`; says whether that was so.

        Those in `replaced` are over thereby. The revision is where nodes find it before any region
        is to run it. Raises RequestRefused.
        """
        mutations: list[Put | Delete] = [
            Put(PARTITION, COUNT_KEY, str(rollout.id).encode()),
            Put(PARTITION, rollout_key(rollout.id), packed(rollout)),
        ]
        if revision.version:
            live = live_key(rollout.document, rollout.version)
            mutations.append(Put(EFFECT, live, revision.packed()))
        compares = [Compare(COUNT_KEY, shelf.count_version)]
        versions = {known.id: version for known, version in shelf.rollouts}
        for each in replaced:
            key = rollout_key(each.id)
            mutations.append(Put(PARTITION, key, packed(each)))
            compares.append(Compare(key, versions[each.id]))
        over = [known for known, _ in shelf.rollouts if known.is_over]
        forgotten = over[: max(0, len(over) - KEPT_MAX)]
        mutations += [Delete(PARTITION, rollout_key(known.id)) for known in forgotten]
        outcome = await self._write(mutations, compares, beginning_notes(rollout, replaced))
        if isinstance(outcome, Refused) and outcome.problem is not Problem.PRECONDITION_FAILED:
            raise from_refusal(outcome)
        return isinstance(outcome, Written)

    async def step(
        self, before: Rollout, after: Rollout, version: int, epoch: int, by: Ordered = ITSELF
    ) -> Written | Refused:
        """One transition with what follows from it, if the record has this version still."""
        key = rollout_key(after.id)
        mutations: list[Put | Delete] = [Put(PARTITION, key, packed(after))]
        compares = [Compare(key, version)]
        mutations += _ordered(before, after, epoch)
        if after.is_over and not before.is_over:
            shelf = await self.shelf()
            compares.append(Compare(COUNT_KEY, shelf.count_version))  # none was begun meanwhile
            others = [each for each in shelf.unfinished() if _is_other(each, after)]
            if all(each.phase is Phase.PENDING for each in others):
                wanted = _wanted_by(others)
                mutations += _settled(after, await self.in_force(after.document), wanted, epoch)
        return await self._write(mutations, compares, transition_notes(before, after, by))

    async def _write(
        self,
        mutations: Iterable[Put | Delete],
        compares: Iterable[Compare],
        notes: Iterable[Note],
    ) -> Written | Refused:
        write = Write(SYSTEM, tuple(mutations), tuple(compares), notes=tuple(notes))
        outcome = await self._service.submit(write)
        assert isinstance(outcome, Written | Refused), outcome
        return outcome


def _ordered(before: Rollout, after: Rollout, epoch: int) -> list[Put | Delete]:
    """Targets of regions that were ordered something by this transition."""
    known = {each.region: each.step for each in before.regions}
    return [
        Put(EFFECT, target_key(after.document, each.region), _target(after, each, epoch).packed())
        for each in after.regions
        if each.step != known.get(each.region)
    ]


def _target(rollout: Rollout, each: RegionStep, epoch: int) -> Target:
    if each.reached is Reached.REVERTING:
        return Target(each.before, each.before_digest, rollout.id, each.step, epoch)
    target = Target(rollout.version, rollout.digest, rollout.id, each.step, epoch)
    if not each.within:
        return target
    return replace(target, within=each.within, before=each.before, before_digest=each.before_digest)


def _is_other(other: Rollout, after: Rollout) -> bool:
    """Whether another rollout is of the same document. If it goes on, what it needs is not touched
    by one that only waited; it will clear up for both."""
    return other.document == after.document and other.id != after.id


def _wanted_by(others: Iterable[Rollout]) -> set[int]:
    """Versions that rollouts are to bring into force, or would go back to."""
    found: set[int] = set()
    for other in others:
        found |= {other.version, *(each.before for each in other.regions)}
    return found


def _settled(
    after: Rollout, now: InForce, wanted: Collection[int], epoch: int
) -> list[Put | Delete]:
    """What is left when a rollout is over: one target for all, where they are to run the same.
    `wanted` are versions that other rollouts wait to bring into force.

    What all run is written before a region's own target goes, so that it never runs anything else
    in between.
    """
    document, targets = after.document, dict(now.targets)
    found: list[Put | Delete] = []
    if after.phase is Phase.SUCCEEDED:
        targets[EVERYWHERE] = Target(after.version, after.digest, after.id, after.steps, epoch)
        found.append(Put(EFFECT, target_key(document), targets[EVERYWHERE].packed()))
    if after.phase is not Phase.SUPERSEDED:
        for region, target in list(targets.items()):
            everywhere = targets.get(EVERYWHERE, NOTHING)
            is_same = target.is_for_all(everywhere.version, everywhere.digest)
            if region != EVERYWHERE and (is_same or after.phase is Phase.SUCCEEDED):
                found.append(Delete(EFFECT, target_key(document, region)))
                del targets[region]
    needed = {version for target in targets.values() for version in target.versions} | set(wanted)
    if after.phase is not Phase.SUPERSEDED:
        unused = [version for version in now.live if version not in needed]
        found += [Delete(EFFECT, live_key(document, version)) for version in unused]
    return found


def ended(rollout: Rollout, wall_ms: int) -> Rollout:
    """A record that is over says since when."""
    is_news = rollout.is_over and not rollout.ended_ms
    return replace(rollout, ended_ms=wall_ms) if is_news else rollout
