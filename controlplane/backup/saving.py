"""Making a backup: every shard's committed prefix at a position of its own, from stores that serve.

Each shard is consistent in itself (shards/backup_walk); nothing spans two shards but a resharding,
so none may be going on. The system shard comes last: what it says of the others, which shards there
are above all, was already so when they were read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import IO

from controlplane.backup.archive import BackupWriter, Kept, framed
from controlplane.backup.manifest import Manifest, SavedGroup, SavedShard
from controlplane.backup.sources import (
    FleetSources,
    GroupSources,
    Held,
    LaneTo,
    Source,
    SourceFailed,
    find_sources,
)
from controlplane.errors import BackupRefused, first_cause
from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import PARTITION as GROUPS
from controlplane.node.made_groups import PREFIX as GROUPS_PREFIX
from controlplane.node.made_groups import read_made_group
from regions.codec import Code, as_bytes
from regions.topology import GLOBAL_GROUP, Topology
from shards.backup_walk import BackupWalk, Phase
from shards.resharding import COUNTER_KEY, read_resharding
from shards.resharding import PARTITION as RESHARDS
from shards.resharding import PREFIX as RESHARDS_PREFIX
from shards.resharding import Phase as Done

AT_A_TIME = 4
"""Shards that are read at once, at most one question at each store."""
COMMITTED_S_MAX = 5.0
"""How long to wait until a store knows that what was there at the beginning is committed."""
LOOK_AGAIN_S = 0.05
TRIES_MAX = 5
SCAN_LIMIT, SCAN_BYTES = 500, 256 * 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    shards: int
    of: int
    bytes: int
    shard: str


Tell = Callable[[Progress], None]


async def save(
    topology: Topology, lane_to: LaneTo, writer: BackupWriter, release: str, tell: Tell
) -> Manifest:
    """Write all shards into a file, and give what is to be said of it.

    Raises BackupRefused when a group has no majority of stores that answer, while a resharding or
    a change of stores goes on, and when one begins meanwhile.
    """
    async with AsyncExitStack() as stack:
        try:
            fleet = await find_sources(topology, lane_to, stack)
            return await _Saving(fleet, topology, writer, tell).run(release)
        except SourceFailed as error:
            hint = "see `leadplane status`, then begin again"
            raise BackupRefused(f"a store failed on the way: {error}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """A shard, and what there was of it anywhere when the backup began."""

    group: GroupSources
    shard: str
    held: tuple[tuple[Source, Held], ...]

    @property
    def goal(self) -> int:
        """The end of the greatest log: nothing that was acknowledged is beyond it."""
        return max(held.tip for _, held in self.held)[1]

    @property
    def promised(self) -> int:
        """The greatest epoch that somebody was promised."""
        return max(held.promised for _, held in self.held)

    @property
    def floor(self) -> int:
        """No epoch up to it is to be won any more."""
        return max(max(held.floor, held.promised) for _, held in self.held)

    @property
    def placed(self) -> tuple[int, bytes]:
        """Where it should be led, by which revision."""
        return max(held.placed for _, held in self.held)


class _Saving:
    def __init__(
        self, fleet: FleetSources, topology: Topology, writer: BackupWriter, tell: Tell
    ) -> None:
        self._fleet = fleet
        self._topology = topology
        self._writer = writer
        self._tell = tell
        self._free = asyncio.Semaphore(AT_A_TIME)
        self._saved: list[SavedShard] = []
        self._facts = _Facts(b"", (), frozenset(), frozenset())
        self._of = 0
        self._turn = 0

    async def run(self, release: str) -> Manifest:
        """Read everything. Raises SourceFailed, BackupRefused."""
        made_ms = time.time_ns() // 1_000_000
        there = [each for group in self._fleet.groups.values() for each in await _wanted(group)]
        system = _system_of(there)
        before = await self._fleet.open_groups()
        self._facts = await self._read_facts(system)
        for name, refusal in self._fleet.lacking.items():
            if name not in self._facts.dropped:
                raise refusal
        wanted = [w for w in there if w.group.description.group not in self._facts.dropped]
        self._of = len(wanted)
        try:
            async with asyncio.TaskGroup() as copying:
                for each in wanted:
                    if each is not system:
                        copying.create_task(self._copy(each))
        except BaseExceptionGroup as group:
            raise first_cause(group) from None
        await self._copy(system)
        facts, now = await self._facts_by_now(system), await self._fleet.open_groups()
        # A store that is lost meanwhile may have been the only one to tell of something older.
        if facts != self._facts or any(before.get(name, 0) < now[name] for name in now):
            raise BackupRefused("shards or groups were changed meanwhile", hint="begin again")
        return self._manifest(made_ms, release)

    async def _facts_by_now(self, before: Wanted) -> _Facts:
        """What the system shard says at the end: of all that was acknowledged there by now."""
        system = _system_of(await _wanted(before.group))
        _, committed = (await self._sources(system))[0]
        if committed < system.goal != before.goal:
            raise SourceFailed("nobody knows what was decided last")
        return await self._read_facts(system)

    def _manifest(self, made_ms: int, release: str) -> Manifest:
        facts = self._facts
        groups = tuple(
            _saved(group, facts.made)
            for name, group in self._fleet.groups.items()
            if name not in facts.dropped
        )
        cluster = self._fleet.groups[GLOBAL_GROUP].description.cluster
        places = {store: str(at) for store, at in sorted(self._fleet.places.items())}
        nodes = tuple(node.id for node in self._topology.nodes)
        shards = tuple(sorted(self._saved, key=lambda s: (s.group, s.shard)))
        return Manifest(made_ms, release, cluster, places, nodes, groups, shards)

    async def _read_facts(self, system: Wanted) -> _Facts:
        """What the system shard says of reshardings and groups. Raises BackupRefused while one is
        being made of others."""
        source, _ = (await self._sources(system))[0]
        counter, made, dropped, closed = b"", [], [], []
        for key, version, value in await _scan(source, system, RESHARDS, RESHARDS_PREFIX):
            if key == COUNTER_KEY:
                counter = as_bytes(value)
                continue
            resharding = read_resharding(key, value, version)
            if not resharding.is_over:
                hint = "wait for it, or cancel it: `leadplane shards reshardings`"
                raise BackupRefused(f"resharding {resharding.number} goes on", hint=hint)
            if resharding.phase is Done.DONE:
                closed += [(parent.group, parent.shard) for parent in resharding.parents]
        for key, version, value in await _scan(source, system, GROUPS, GROUPS_PREFIX):
            group = read_made_group(key, value, version)
            name = group.description.group
            if group.dropped:
                dropped.append(name)
            elif group.is_made:
                made.append(name)
            else:
                hint = "wait until `leadplane regions groups` shows it"
                raise BackupRefused(f"group {name} is being made", hint=hint)
        return _Facts(counter, tuple(made), frozenset(dropped), frozenset(closed))

    async def _sources(self, wanted: Wanted) -> list[tuple[Source, int]]:
        """Stores that know everything to be committed which there was at the beginning, and how
        much that is; those that know the most, if none comes to know all of it."""
        until_s = time.monotonic() + COMMITTED_S_MAX
        found = [(source, held.committed) for source, held in wanted.held]
        while True:
            whole = [each for each in found if each[1] >= wanted.goal]
            if whole or time.monotonic() >= until_s:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
            found = await self._committed(wanted)
        if not whole:
            most = max(committed for _, committed in found)
            return [each for each in found if each[1] == most]
        self._turn += 1
        turn = self._turn % len(whole)
        voters = wanted.group.description.voters
        return sorted(whole[turn:] + whole[:turn], key=lambda each: each[0].store in voters)

    async def _committed(self, wanted: Wanted) -> list[tuple[Source, int]]:
        """How much of a shard each store knows to be committed by now."""
        of = wanted.group.description
        found = []
        for source, _ in wanted.held:
            command = ["range", of.group, of.version, wanted.shard, wanted.goal + 1, 1]
            try:
                result = await source.ask(command)
            except SourceFailed:
                continue
            if result[0] == Code.OK:
                found.append((source, result[8]))
        if not found:
            raise SourceFailed(f"nobody tells of shard {wanted.shard}")
        return found

    async def _copy(self, wanted: Wanted) -> None:
        async with self._free:
            problem, failed = "", set[Source]()
            for _ in range(TRIES_MAX):
                try:
                    found = await self._sources(wanted)
                    best = next((each for each in found if each[0] not in failed), found[0])
                    failed.add(best[0])  # another one is asked next, if there is one
                    await self._copy_from(wanted, *best)
                    return
                except SourceFailed as error:
                    problem = str(error)
            raise SourceFailed(f"shard {wanted.shard}: {problem}")

    async def _copy_from(self, wanted: Wanted, source: Source, committed: int) -> None:
        of = wanted.group.description
        walk = BackupWalk(of.group, of.version, wanted.shard, committed)
        with ExitStack() as stack:
            pages, logs = (stack.enter_context(self._writer.spool()) for _ in range(2))
            counts = await _read(walk, source, pages, logs)
            ends = stack.enter_context(self._writer.spool())
            ends.write(framed(["shard", str(wanted.floor), *wanted.placed]))
            counts.add()
            if walk.position[1]:
                epoch, sequence, chain = walk.start
                pages.write(framed(["data", str(epoch), sequence, chain, walk.upto]))
                counts.add()
            kept = self._writer.keep([ends, pages, logs])
            self._note(wanted, source, walk, counts, kept)

    def _note(
        self, wanted: Wanted, source: Source, walk: BackupWalk, counts: _Counts, kept: Kept
    ) -> None:
        tail = max(0, wanted.goal - walk.position[1])
        group = wanted.group.description.group
        self._saved.append(
            SavedShard(
                wanted.shard, group, walk.position, wanted.promised, tail,
                (group, wanted.shard) in self._facts.closed, source.store, kept.section,
                counts.frames, counts.records, counts.entries, kept.bytes, kept.sha256,
            )
        )  # fmt: skip
        size = sum(shard.bytes for shard in self._saved)
        self._tell(Progress(len(self._saved), self._of, size, wanted.shard))


def _system_of(wanted: list[Wanted]) -> Wanted:
    """The system shard. Raises BackupRefused where there is none."""
    for each in wanted:
        if (each.group.description.group, each.shard) == (GLOBAL_GROUP, SYSTEM):
            return each
    hint = "start its nodes, and wait until `leadplane status` says Healthy"
    raise BackupRefused("the fleet has no system shard yet", hint=hint)


@dataclass(frozen=True, slots=True)
class _Facts:
    """The counter of reshardings, which groups were made while the fleet ran and which of them
    dropped since, which shards have gone over into others."""

    counter: bytes
    made: tuple[str, ...]
    dropped: frozenset[str]
    closed: frozenset[tuple[str, str]]


@dataclass(slots=True)
class _Counts:
    frames: int = 0
    records: int = 0
    entries: int = 0

    def add(self, records: int = 0, entries: int = 0) -> None:
        """One more frame."""
        self.frames += 1
        self.records += records
        self.entries += entries


async def _read(walk: BackupWalk, source: Source, pages: IO[bytes], logs: IO[bytes]) -> _Counts:
    """Walk a shard to its end. Raises SourceFailed."""
    counts, beginnings = _Counts(), 0
    while not walk.is_over:
        walk.answered(await source.ask(walk.question()))
        if walk.beginnings != beginnings:
            counts, beginnings = _Counts(), walk.beginnings
            for spool in (pages, logs):
                spool.seek(0)
                spool.truncate()
        for page in walk.pages:
            pages.write(framed(["page", *page]))
            counts.add(records=len(page[1]))
        for log in walk.logs:
            logs.write(framed(["log", *log]))
            counts.add(entries=len(log[2]))
        walk.pages, walk.logs = [], []
    if walk.phase is Phase.FAILED:
        raise SourceFailed(f"{source.store}: {walk.why}")
    return counts


async def _wanted(group: GroupSources) -> list[Wanted]:
    """Every shard that some store of a group has a record of."""
    dumps = await group.dumps()
    shards = sorted(set().union(*(held for _, held in dumps)))
    return [
        Wanted(group, shard, tuple((s, held[shard]) for s, held in dumps if shard in held))
        for shard in shards
    ]


async def _scan(
    source: Source, system: Wanted, partition: str, prefix: str
) -> list[tuple[str, int, str | bytes]]:
    """All keys of the system shard that begin so, with their versions and values."""
    of = system.group.description
    found: list[tuple[str, int, str | bytes]] = []
    more = True
    while more:
        after = found[-1][0] if found else ""
        scan = ["scan", of.group, of.version, SYSTEM, "", 0, partition, prefix, after]
        result = await source.ask([*scan, SCAN_LIMIT, SCAN_BYTES])
        if result[0] != Code.OK:
            raise SourceFailed(f"{source.store} answers {result[0]} to a scan")
        found += [(key, version, value) for key, version, value in result[9]]
        more = bool(result[10])
    return found


def _saved(group: GroupSources, made: tuple[str, ...]) -> SavedGroup:
    of = group.description
    voters, followers = tuple(sorted(of.voters)), tuple(sorted(of.followers))
    is_made = of.group in made
    return SavedGroup(
        of.group, of.version, of.ttl_ms, of.set_ttl_ms, of.floor, is_made, voters, followers
    )
