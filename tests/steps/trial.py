"""One change, disturbed at one of its steps: what is done to the global leader, and the verdict.

A step is an entry of the system shard's log, the entry that closes or wipes a parent, or, of a
change of a store set, which is in no log, a call that a store has executed. *Begun* is an entry
when the first store has it: it may be lost. *Decided* it is when a majority has it: its leader does
not know, and nothing has come of it. *Known* it is when the leader has heard: it has acted on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from config.audit import (
    ANCHOR_KEY,
    HEAD_KEY,
    PARTITION,
    RECORDS_PREFIX,
    Kept,
    read_anchor,
    read_head,
    sequence_of,
)
from config.audit_check import Known, check
from controlplane.node.directory import MAP_PREFIX
from controlplane.node.following import SYSTEM
from controlplane.simulator.process import Process
from controlplane.simulator.stores import SimulatedStore
from regions.codec import Code, Reply, as_bytes, unpack
from shards.entry import closed_by, read_entry
from tests.steps.changes import STORE_STEPS, Change, drained_place, drains, outcome, rows
from tests.steps.stage import TTL_MS, Stage, node_of

AWAY_MS = 3 * TTL_MS
DONE_MS_MAX = 150_000
REST_MS_MAX = 90_000
LOOK_MS_MAX = 10_000  # shards are led by nobody for a moment while their group's version changes
AT_STORES = "stores"
WIPES = "w"


class Moment(StrEnum):
    """How far a step is when the global leader is struck."""

    BEGUN = "begun"
    DECIDED = "decided"
    KNOWN = "known"


class Blow(StrEnum):
    """What is done to it."""

    CRASH = "crash"
    """It dies, and starts anew after three leases."""
    PAUSE = "pause"
    """It does nothing for three leases, and then goes on."""
    FREEZE = "freeze"
    """The same, with its next entry on its lips: it says it after three leases."""
    CUT = "cut"
    """It reaches the store of its region alone, and no node, for three leases."""


WAYS = (
    (Moment.DECIDED, Blow.CRASH),
    (Moment.KNOWN, Blow.CRASH),
    (Moment.KNOWN, Blow.CUT),
    (Moment.BEGUN, Blow.CRASH),
    (Moment.DECIDED, Blow.PAUSE),
    (Moment.KNOWN, Blow.FREEZE),
)
WAYS_AT_STORES = (
    (Moment.DECIDED, Blow.CRASH),
    (Moment.DECIDED, Blow.PAUSE),
    (Moment.DECIDED, Blow.CUT),
)


@dataclass(frozen=True)
class Step:
    """A numbered step: of a shard's log, or of the calls at stores."""

    where: str
    number: int
    what: str = ""

    def __str__(self) -> str:
        return f"{self.where} {self.number} ({self.what})"


@dataclass
class Verdict:
    """What a disturbed change came to; `faults` is empty when it ended as without."""

    faults: list[str] = field(default_factory=list)
    struck: str = ""  # the node


@dataclass
class Undisturbed:
    """A change without any fault: its steps, and what it came to."""

    steps: list[Step]
    outcome: dict[str, Any]


class Calls:
    """Counts the calls of a change of a store set, as stores execute them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def took(self, store: SimulatedStore, commands: list[list[Any]], reply: Reply) -> None:
        for command, result in zip(commands, reply.results, strict=False):
            if command[0] in STORE_STEPS and result[0] == Code.OK:
                self.done.append(f"{command[0]} at {store.name}")


class Observer:
    """Looks after every call at a store and every turn of a process."""

    def __init__(self, stage: Stage) -> None:
        self.calls = Calls()
        self.looks: list[Callable[[Process | None], None]] = []
        for store in stage.fleet.stores.values():
            store.watcher = self._behind(store.watcher)
        before = stage.fleet.on_ran

        def ran(process: Process) -> None:
            if before is not None:
                before(process)
            self._look(process)

        stage.fleet.on_ran = ran

    def _behind(
        self, before: Callable[[SimulatedStore, list[list[Any]], Reply], None] | None
    ) -> Callable[[SimulatedStore, list[list[Any]], Reply], None]:
        def called(store: SimulatedStore, commands: list[list[Any]], reply: Reply) -> None:
            if before is not None:
                before(store, commands, reply)
            self.calls.took(store, commands, reply)
            self._look(None)

        return called

    def _look(self, ran: Process | None) -> None:
        for look in list(self.looks):
            look(ran)


def undisturbed(change: Change, seed: int) -> Undisturbed:
    """Make the change with nobody in the way."""
    stage = Stage(seed)
    change.before(stage)
    observer = Observer(stage)
    begins = {shard: stage.length(shard) for shard in (SYSTEM, *change.closes)}
    change.begin(stage)
    assert stage.until(lambda: change.is_done(stage), DONE_MS_MAX), f"{change.name} does not end"
    steps = list(_steps(stage, begins))
    if change.at_stores:
        steps = [Step(AT_STORES, n, what) for n, what in enumerate(observer.calls.done, 1)]
    stage.judge()
    assert not stage.findings.violations, stage.findings.violations
    return Undisturbed(steps, dict(outcome(stage)))


def _steps(stage: Stage, begins: dict[str, int]) -> Iterator[Step]:
    for shard, length in begins.items():
        log = stage.witness.logs.logs[shard].blobs
        for sequence in range(length + 1, len(log) + 1):
            what = _what(log[sequence - 1])
            if shard == SYSTEM or what in ("closing", "wipe"):
                yield Step(shard, sequence, what)


def _what(blob: bytes) -> str:
    effects = unpack(blob)[5]
    if closed_by(read_entry(1, blob)):
        return "closing"
    if any(effect[0] == WIPES for effect in effects):
        return "wipe"
    keys = [as_bytes(effect[2]).decode() for effect in effects if effect[0] in ("p", "d")]
    return " ".join(keys[:2]) or "no keys"


def disturbed(
    change: Change, seed: int, plain: Undisturbed, step: Step, moment: Moment, blow: Blow
) -> Verdict:
    """Make the change, and strike the global leader at this moment of this step."""
    stage, verdict = Stage(seed), Verdict()
    change.before(stage)
    observer = Observer(stage)

    def look(ran: Process | None) -> None:
        if verdict.struck or not _has_come(stage, observer, step, moment, ran):
            return
        leader = stage.global_leader()
        if leader is not None:
            verdict.struck = leader.name
            stage.world.after(0, _strike, stage, leader, blow)

    observer.looks += [look, _judge_of_words(change, stage, verdict)]
    tenures = len(stage.tenures)
    change.begin(stage)
    if not stage.until(lambda: change.is_done(stage) and bool(verdict.struck), DONE_MS_MAX):
        verdict.faults.append("it does not end" if verdict.struck else "the step does not come")
    stage.run(AWAY_MS)  # whoever was struck is back
    stage.until(lambda: not _differences(plain.outcome, stage), REST_MS_MAX)
    stage.judge()
    if not stage.until(lambda: change.is_done(stage), LOOK_MS_MAX):
        verdict.faults.append("it is not done in the end")
    verdict.faults += _differences(plain.outcome, stage)
    verdict.faults += _done_twice(change, stage)
    verdict.faults += _unrecorded(stage)
    if change.empties:
        verdict.faults += _handed_back(stage, tenures)
    verdict.faults += [str(violation) for violation in stage.findings.violations]
    return verdict


def _judge_of_words(
    change: Change, stage: Stage, verdict: Verdict
) -> Callable[[Process | None], None]:
    """Looks at every entry of the system shard whether it says that the change is over too soon."""
    length, was_said = stage.length(SYSTEM), False

    def look(_: Process | None) -> None:
        nonlocal length, was_said
        if was_said or stage.length(SYSTEM) == length:
            return
        length, is_so = stage.length(SYSTEM), change.says(stage)
        was_said = is_so is not None
        if is_so is False:
            verdict.faults.append("it says that it is done before it is")

    return look


def _has_come(
    stage: Stage, observer: Observer, step: Step, moment: Moment, ran: Process | None
) -> bool:
    if step.where == AT_STORES:
        return len(observer.calls.done) >= step.number
    match moment:
        case Moment.BEGUN:
            return any(held.tail >= step.number for _, held in stage.witness.stored(step.where))
        case Moment.DECIDED:
            return stage.length(step.where) >= step.number
        case Moment.KNOWN:
            return ran is not None and _commit(ran, step.where) >= step.number


def _commit(process: Process, shard: str) -> int:
    """How far a process knows the log of a shard that it leads to be decided; 0 if it does not."""
    for group in node_of(process).groups.values():
        led = group.led.get(shard)
        if led is not None and led.log is not None:
            return led.log.commit
    return 0


def _strike(stage: Stage, victim: Process, blow: Blow) -> None:
    fleet, name = stage.fleet, victim.name
    match blow:
        case Blow.CRASH:
            fleet.crash_node(name)
            stage.world.after(AWAY_MS, fleet.start_node, name)
        case Blow.PAUSE:
            victim.pause()
            stage.world.after(AWAY_MS, victim.resume)
        case Blow.FREEZE:
            victim.freeze("append")
            stage.world.after(AWAY_MS, victim.resume)
        case Blow.CUT:
            _cut_off(stage, victim)


def _cut_off(stage: Stage, victim: Process) -> None:
    fleet, region = stage.fleet, victim.plan.region
    others = [store for store in fleet.stores.values() if store.region != region]
    for place in [store.name for store in others] + [
        n for n in fleet.processes if n != victim.name
    ]:
        for way in ((victim.name, place), (place, victim.name)):
            fleet.network.cut(*way)
            stage.world.after(AWAY_MS, fleet.network.heal, *way)


def _differences(plain: dict[str, Any], stage: Stage) -> list[str]:
    found = outcome(stage)
    return [
        f"{name}: {found[name]} instead of {value}"
        for name, value in plain.items()
        if found[name] != value
    ]


def _done_twice(change: Change, stage: Stage) -> Iterator[str]:
    """What the outcome does not show: steps that were made again."""
    replay = stage.replay(SYSTEM)
    for key, history in rows(replay).items():
        if any(a == b for a, b in pairwise(history)):
            yield f"{key} is written twice"
    for key, drain in drains(replay).items():
        cursors = [each.cursor for each in drain]
        if cursors != sorted(cursors):
            yield f"the cursor of {key} goes back: {cursors}"
    for shard in change.closes:
        closings = sum(
            closed_by(read_entry(1, blob)) > 0 for blob in stage.witness.logs.logs[shard].blobs
        )
        if closings != 1:
            yield f"{shard} is closed {closings} times"


def _unrecorded(stage: Stage) -> Iterator[str]:
    """Whether the audit log is one chain, and every row that was changed has its record with it."""
    replay = stage.replay(SYSTEM)
    ends = {key: replay.value(key, replay.length) for key in (ANCHOR_KEY, HEAD_KEY)}
    anchor, head = (None if value is None else value.data for value in ends.values())
    records = []
    for key in replay.scan(PARTITION, RECORDS_PREFIX, "", replay.length):
        value = replay.value(key, replay.length)
        assert value is not None, key
        records.append(Kept(sequence_of(key), value.data))
    verdict = check(records, Known(read_anchor(anchor), read_head(head)))
    if not verdict.valid:
        yield f"the audit log is not whole: {verdict.problem}"
    recorded = {*replay.keys[HEAD_KEY].positions}
    for key, timeline in replay.keys.items():
        if key.startswith(MAP_PREFIX) and not recorded.issuperset(timeline.positions[1:]):
            yield f"{key} was changed, and there is no record of it"


def _handed_back(stage: Stage, begin: int) -> Iterator[str]:
    """What was handed to a drained place; what nobody else took in time may fail over to it."""
    place = drained_place(stage)
    for shard, epoch, node, why in stage.tenures[begin:]:
        if node == place and why == "handover":
            yield f"{shard} was handed to {place}, which is drained, in epoch {epoch}"
