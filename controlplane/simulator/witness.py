"""The eyes of the checkers in a simulation: every call at every store, every batch of every node.

It turns what the simulated stores and processes do into the plain records that checkers take. After
each call it looks again only at the shards which that call may have touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.leases import Claim, LeaseChecker
from controlplane.simulator.checkers.lineage import SlotChecker
from controlplane.simulator.checkers.logs import Accepted, LogChecker
from controlplane.simulator.checkers.maps import SLOTS, MapChecker, MapRow
from controlplane.simulator.checkers.promises import PromiseChecker, Promised
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process
from controlplane.simulator.stores import SimulatedStore
from controlplane.simulator.world import World
from regions.codec import Code, Reply, as_bytes
from regions.scripts.state import Group
from shards.keyspace import SLOTS as ALL_SLOTS
from shards.reserved import BORN_KEY
from shards.scripts.state import Shard

SYSTEM_SHARD = "system"
SYSTEM_GROUP = "global"

# What a command does to a shard: its grant, its log's commit index, or both.
GRANTING = frozenset({"prepare", "release", "handover", "revoke", "append", "merge"})
MOVING = frozenset({"append", "read", "scan", "adopt", "merge", "learn_data", "learn_log"})
DRAFTING = frozenset({"draft", "draft_data", "draft_log", "draft_local", "draft_state"})
TOUCHING = GRANTING | MOVING | DRAFTING
MAP_EVERY_MS = 2_000  # so often each node shows how it knows the shard map


@dataclass(frozen=True, slots=True)
class Stored:
    """One shard in one store, as a schedule shows it."""

    promised: int
    granted: int
    holder: str
    state: str
    committed: int
    tail: int


class Witness:
    """Feeds the checkers of one simulation."""

    def __init__(self, world: World, fleet: Fleet, findings: Findings) -> None:
        self._world = world
        self._fleet = fleet
        self._findings = findings
        self.group_of = {seed.shard: seed.group for seed in fleet.seeds}
        self.group_of[SYSTEM_SHARD] = SYSTEM_GROUP
        self._sets = fleet.sets
        self._voters: dict[tuple[str, int], tuple[str, ...]] = {}
        self.promises = PromiseChecker(findings, self._voters_of)
        self.logs = LogChecker(findings, self._voters_of)
        self.leases = LeaseChecker(findings, self._all_claims)
        by_key = fleet.scenario.partitions > 0
        self.maps = MapChecker(findings, ALL_SLOTS if by_key else SLOTS)
        self.slots = SlotChecker(findings)
        for seed in fleet.seeds:
            self.slots.ranges[seed.shard] = (seed.first_slot, seed.end_slot)
        self._looked_ms: dict[str, int] = {}
        for store in fleet.stores.values():
            store.watcher = self._called
        fleet.on_ran = self._ran

    def _voters_of(self, shard: str, version: int) -> tuple[str, ...]:
        return self._voters[self.group_of[shard], version]

    # -- nodes

    def claims_of(self, process: Process) -> list[Claim]:
        """What a process would answer strong reads of, were it asked at this moment."""
        return process.node.lease_claims(process.clock.now_ms())

    def _all_claims(self) -> Iterator[tuple[str, list[Claim]]]:
        for process in self._fleet.processes.values():
            yield process.plan.process, self.claims_of(process)

    def _ran(self, process: Process) -> None:
        if not process.alive:
            return
        now_ms = self._world.now_ms
        if self._fleet.scenario.trusts_clocks and (claims := self.claims_of(process)):
            self.leases.claimed(process.plan.process, claims, now_ms)
            if self._fleet.scenario.partitions:
                self._check_slots(process, claims)
        if now_ms >= self._looked_ms.get(process.plan.process, 0) + MAP_EVERY_MS:
            self._looked_ms[process.plan.process] = now_ms
            self._look_at_map(process)

    def _check_slots(self, process: Process, claims: list[Claim]) -> None:
        name, shards = process.plan.process, frozenset(shard for shard, _, _ in claims)
        if self.slots.is_news(name, shards):
            for resharding in process.node.reshardings.known.values():
                for child in resharding.children:
                    self.slots.ranges[child.shard] = (child.first_slot, child.end_slot)
            others = ((o, shard) for o, theirs in self._all_claims() for shard, _, _ in theirs)
            self.slots.served(name, shards, others, self._world.now_ms)

    def _look_at_map(self, process: Process) -> None:
        node = process.node
        if node.map_version:
            rows = tuple(
                MapRow(view.shard, view.group, view.first_slot, view.end_slot, view.regions)
                for view in node.shard_views(process.clock.now_ms())
                if view.shard != SYSTEM_SHARD  # it has no row: what it prefers, stores say
            )
            self.maps.shown(process.plan.process, node.map_version, rows, self._world.now_ms)

    def check_maps(self) -> None:
        """At the end of a run: every node shows the map once more."""
        for process in self._fleet.processes.values():
            self._look_at_map(process)

    # -- stores

    def _called(self, store: SimulatedStore, commands: list[list[Any]], reply: Reply) -> None:
        for command, result in zip(commands, reply.results, strict=False):
            operation = command[0]
            if operation in TOUCHING:
                self._touched(store, operation, command, result)

    def _touched(
        self, store: SimulatedStore, operation: str, command: list[Any], result: list[Any]
    ) -> None:
        name, shard = command[1], command[3]
        group = store.twin.state.groups.get(name)
        if operation in DRAFTING:
            self.group_of.setdefault(shard, name)
        if shard not in self.group_of or group is None:
            return
        now_ms, member = self._world.now_ms, self._sets.member(store)
        if (name, group.version) not in self._voters:
            self._voters[name, group.version] = self._sets.voters(name, group)
        if operation in GRANTING:
            self._promised(member, shard, group)
        done = result[0] == Code.OK
        if operation == "prepare" and done:
            self.logs.promised(member, shard, int(command[4]))
        record = group.shards.get(shard)
        if operation in DRAFTING:
            if done and result[4] and record is not None:
                born = record.data.kv.get(BORN_KEY)
                if born is not None and born[0] == record.bs:  # nothing was trimmed since
                    self.logs.born(member, shard, (record.be, record.bs, record.bc), now_ms)
                self._promised(member, shard, group)
            return
        if operation == "append" and result[0] in (Code.GAP, Code.CONFLICT):
            self.logs.promised(member, shard, int(command[4]))  # it adopts all the same
        if record is None or operation not in MOVING:
            return
        if operation == "append" and done:
            blobs = [as_bytes(blob) for blob in command[9]]
            append = Accepted(
                member, shard, int(command[4]), command[6], blobs, result[9], group.version
            )
            self.logs.accepted(append, entry_at(record), now_ms)
        self.logs.holds(member, shard, record.cm, entry_at(record), now_ms)

    def _promised(self, member: str, shard: str, group: Group) -> None:
        """What a store promised; a grant counts in the version in which it was given."""
        grant = group.grants.get(shard)
        if grant is not None:
            holder = grant.h if max(1, grant.ver) == group.version else ""
            promised = Promised(member, shard, grant.pe, grant.pf, grant.he, holder, group.version)
            self.promises.saw(promised, self._world.now_ms)

    def forgot(self, store: str) -> None:
        """A store went back to an older copy: it is judged by what it does from now on."""
        self.promises.forgot(store)
        self.logs.forgot(store)

    def check_copies(self, replays: dict[str, Replay]) -> None:
        """At the end of a run: every store's log and data are what the committed log makes them."""
        for name, store in self._fleet.stores.items():
            for group in store.twin.state.groups.values():
                for shard, record in group.shards.items():
                    if shard in replays:
                        self._check_copy(name, shard, record, replays[shard])

    def _check_copy(self, store: str, shard: str, record: Shard, replay: Replay) -> None:
        committed = self.logs.logs[shard].blobs
        for sequence in range(record.bs + 1, min(record.cm, len(committed)) + 1):
            if entry_at(record)(sequence) != committed[sequence - 1]:
                detail = f"{store} ends with another entry {sequence} of {shard}"
                self._findings.add("6 what is committed is the same everywhere", self._now, detail)
        if record.fz > record.ap:
            return  # a snapshot taken while it changed: nobody may read it yet
        data = {key: (version, as_bytes(value)) for key, (version, value) in record.data.kv.items()}
        right = {
            key: (value.version, value.data)
            for key in replay.keys
            if (value := replay.value(key, record.ap)) is not None
        }
        if data != right:
            wrong = {key for key in data.keys() | right.keys() if data.get(key) != right.get(key)}
            detail = f"{store} at {record.ap} of {shard} has other values of {sorted(wrong)}"
            self._findings.add("8 applied state follows from the log", self._now, detail)

    @property
    def _now(self) -> int:
        return self._world.now_ms

    def stored(self, shard: str) -> Iterator[tuple[str, Stored]]:
        """What every store of the shard's group holds of it."""
        group = self.group_of[shard]
        for name, store in self._fleet.stores.items():
            home = store.twin.state.groups.get(group)
            if home is None:
                continue
            grant, record = home.grants.get(shard), home.shards.get(shard)
            yield (
                name,
                Stored(
                    promised=grant.pe if grant else 0,
                    granted=grant.he if grant else 0,
                    holder=grant.h if grant else "",
                    state=grant.st if grant else "free",
                    committed=record.cm if record else 0,
                    tail=record.ts if record else 0,
                ),
            )


def entry_at(record: Shard) -> Callable[[int], bytes | None]:
    """Reads a store's log as bytes."""

    def read(sequence: int) -> bytes | None:
        blob = record.log.get(sequence)
        return None if blob is None else as_bytes(blob)

    return read
