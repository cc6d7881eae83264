"""A world of twin stores in which store sets change while leaders write and stores forget.

Everything that is sent takes its time, and may be lost on either way; what is lost on the way there
may still arrive, after its sender was told that it is unknown. One seed gives one history. After
each step the invariants of docs/STORE_SETS.md are checked on what the stores really hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from heapq import heappop, heappush
from itertools import combinations
from random import Random
from typing import Any

from regions.change import Wish
from regions.codec import FORMAT, Code, Reply, as_bytes, pack, unpack_reply
from regions.membership import (
    GroupDescription,
    Member,
    members,
    read_description,
    write_description,
)
from regions.scripts.model import StoreModel
from regions.scripts.state import Group
from regions.store_calls import Take
from shards.changing import Changing
from shards.entry import read_entry
from shards.scripts.entries import parse_entry
from shards.scripts.model import empty_store
from shards.scripts.state import Data, Shard

GROUP = "g"
TTL_MS = 1_000
SHARDS = ("a", "b", "c")


class World:
    """Stores by name; processes that come and go; one clock."""

    def __init__(
        self, seed: int, voters: int = 3, loss: float = 0.05, slowest_ms: int = 30
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.loss = loss
        self.slowest_ms = slowest_ms
        self.now_ms = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._events = 0
        self.down: set[str] = set()
        self.stores: dict[str, StoreModel] = {}
        self.changings: dict[str, Changing] = {}
        self._numbers = 0
        self.acked: dict[str, list[int]] = {shard: [0] for shard in SHARDS}  # chains, from 0
        self.blobs: dict[str, list[bytes]] = {shard: [b""] for shard in SHARDS}  # what was acked
        self.won: dict[str, list[tuple[int, int]]] = {shard: [] for shard in SHARDS}
        self._promises: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.decided: dict[int, bytes] = {}
        self._seen: dict[str, tuple[str, int]] = {}
        self._begin(voters)

    def _begin(self, voters: int) -> None:
        for number in range(1, voters + 1):
            self.new_store(f"s{number}")
        minted = {s: self._mint(s) for s in self.stores}
        first = GroupDescription(GROUP, 1, TTL_MS, minted, {})
        text = write_description(first)
        for store, incarnation in minted.items():
            self._do(Member(store, incarnation), ["install", GROUP, 1, text])
        self.decided[1] = text

    # -- stores

    def new_store(self, name: str) -> None:
        """An empty server at a new address."""
        self.stores[name] = empty_store("run-1", lambda: (1, self._count()))

    def _count(self) -> int:
        self._numbers += 1
        return self._numbers

    def _mint(self, name: str) -> str:
        self._do(Member(name, ""), ["mint", "", 0, name, "first"])
        return self.stores[name].state.incarnation

    def _do(self, member: Member, command: list[Any]) -> list[Any]:
        reply = self.stores[member.store].call([FORMAT, member.incarnation, "", 0], [command])
        assert reply.code == Code.OK
        return reply.results[0]

    def forget(self, name: str) -> None:
        """All memory of a store goes."""
        self.new_store(name)

    def group(self, name: str) -> Group:
        """What a store holds of the group."""
        return self.stores[name].state.groups.get(GROUP) or Group()

    def description(self, version: int) -> GroupDescription:
        """The one description that was decided for a version."""
        return read_description(self.decided[version])

    @property
    def newest(self) -> GroupDescription:
        """The latest version that anybody has decided."""
        return self.description(max(self.decided))

    # -- time

    def after(self, ms: int, what: Callable[[], None]) -> None:
        """Let something happen later."""
        self._events += 1
        heappush(self._queue, (self.now_ms + ms, self._events, what))

    def run(self, ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; says whether what was waited for has come."""
        end_ms = self.now_ms + ms
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, what = heappop(self._queue)
            what()
            self.check()
            if until():
                return True
        self.now_ms = end_ms
        return until()

    def delay_ms(self) -> int:
        """How long one message takes."""
        return self.chance.randint(1, self.slowest_ms)

    def send(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        """One call of somebody to a store, with everything that can happen to it."""
        packed = [pack(command) for command in commands]
        header = pack([FORMAT, member.incarnation, "", 0])
        lost_there, lost_back = (self.chance.random() < self.loss for _ in range(2))
        there_ms = self.delay_ms()
        if lost_there or lost_back:
            self.after(4 * self.slowest_ms, lambda: take(None, self.now_ms))
        if lost_there:
            if self.chance.random() < 0.5:
                late_ms = there_ms + 20 * self.slowest_ms
                self.after(late_ms, lambda: self._carry_out(member, header, packed))
            return

        def arrive() -> None:
            reply = self._carry_out(member, header, packed)
            if not lost_back:
                self.after(self.delay_ms(), lambda: take(reply, self.now_ms))

        self.after(there_ms, arrive)

    def _carry_out(self, member: Member, header: bytes, packed: list[bytes]) -> Reply | None:
        if member.store in self.down or member.store not in self.stores:
            return None
        return unpack_reply(self.stores[member.store].call_bytes([header, *packed]))

    # -- processes

    def coordinate(self, name: str, wish: Wish, version: int) -> Changing:
        """A process wants a change of a version."""
        old = self.decided[version]
        desk, number = Desk(self, name), (self._count(), name)
        return self._start(name, Changing.wanted(old, wish, desk, number, self.chance.random))

    def finish(self, name: str, description: bytes) -> Changing:
        """A process met a store that shows what was decided."""
        desk, number = Desk(self, name), (self._count(), name)
        return self._start(name, Changing.decided(description, desk, number, self.chance.random))

    def _start(self, name: str, changing: Changing) -> Changing:
        assert name not in self.changings
        self.changings[name] = changing
        self._tick(name, changing)
        return changing

    def _tick(self, name: str, changing: Changing) -> None:
        if self.changings.get(name) is not changing:
            return
        changing.advance(self.now_ms)
        self.note(changing)
        due_ms = changing.deadline_ms(self.now_ms)
        wait_ms = 500 if due_ms is None else max(1, due_ms - self.now_ms)
        self.after(min(500, wait_ms), lambda: self._tick(name, changing))

    def crash(self, name: str) -> None:
        """A process is no more; what it sent may still arrive."""
        self.changings.pop(name, None)

    def note(self, changing: Changing) -> None:
        """What a process knows of decisions."""
        if changing.install is not None:
            self.note_decided(write_description(changing.install.new))
        assert not changing.broken, changing.broken

    def note_decided(self, text: bytes) -> None:
        """Two descriptions of one version must never be seen."""
        version = read_description(text).version
        assert self.decided.setdefault(version, text) == text, f"two versions {version}"

    def signpost(self) -> bytes | None:
        """The latest version that any store shows, above the first, if there is one."""
        shown = []
        for name in self.stores:
            group = self.group(name)
            if group.state == "sealed" or (group.state == "open" and group.version > 1):
                shown.append(as_bytes(group.shown_description))  # type: ignore[arg-type]
        return max(shown, key=lambda text: read_description(text).version, default=None)

    # -- what always holds

    def check(self) -> None:
        """The invariants, on what the stores hold at this moment, if it has changed."""
        changed = []
        for name, store in self.stores.items():
            now = store.state.incarnation, store.state.opseq
            if self._seen.get(name) != now:
                self._seen[name] = now
                changed.append(name)
        for name in changed:
            self._check_promises(name)
            group = self.group(name)
            if group.state in ("open", "sealed"):
                self.note_decided(as_bytes(group.description))  # type: ignore[arg-type]
            if group.state == "sealed":
                self.note_decided(as_bytes(group.next))  # type: ignore[arg-type]
        if changed:
            for version in self.decided:
                self._check_quorums(version)

    def _check_promises(self, name: str) -> None:
        store = self.stores[name]
        for shard, grant in self.group(name).grants.items():
            key = name, store.state.incarnation, shard
            before = self._promises.get(key, (0, 0))
            assert grant.pe >= before[0], f"{key}: the promise went back"
            assert grant.pf >= before[1], f"{key}: the floor went back"
            assert grant.he <= grant.pe
            self._check_given(name, shard)
            self._promises[key] = grant.pe, grant.pf

    def _check_given(self, name: str, shard: str) -> None:
        """A grant that reads as one of this version was given here, to a session known here."""
        group = self.group(name)
        grant = group.grants[shard]
        if group.state == "open" and group.version > 1 and grant.state_in(group.version) == "held":
            assert grant.h in group.sessions, f"{name}: {shard} is held by {grant.h}"

    def _check_quorums(self, version: int) -> None:
        """Whoever would be elected now, by any quorum that can, finds all that was acknowledged."""
        described = self.description(version)
        able = [m for m in members(described.voters) if self.is_open(m, version)]
        for quorum in combinations(able, described.quorum):
            for shard in SHARDS:
                self._check_log(
                    max((self.log_of(m.store, shard) for m in quorum), key=_place), shard
                )
        for member in able:
            for shard in SHARDS:
                self._check_commit(member.store, shard)

    def _check_log(self, record: Shard, shard: str) -> None:
        """Whether a log has all that was acknowledged; what is trimmed was in it."""
        acked = self.acked[shard]
        assert record.bs >= len(acked) or record.bc == acked[record.bs]
        for seq in range(record.bs + 1, len(acked)):
            blob = record.log.get(seq)
            assert blob is not None, f"{shard}: {seq} is lost"
            assert chain_of(blob) == acked[seq], f"{shard}: {seq} is another one"

    def _check_commit(self, name: str, shard: str) -> None:
        record = self.group(name).shards.get(shard)
        if record is not None and record.cm > 0:
            assert record.cm < len(self.acked[shard]), f"{name}: {shard} committed {record.cm}"

    def check_data(self, name: str) -> None:
        """What a store has applied is what the entries from the first on make, one by one."""
        for shard in SHARDS:
            record = self.log_of(name, shard)
            expected = Data()
            for seq in range(1, record.ap + 1):
                expected.apply(seq, parse_entry(self.blobs[shard][seq]))
            if record.fz > record.ap:
                continue  # a copy that is not whole yet, and says so
            assert record.data.kv == expected.kv, f"{name}: {shard} has other data"
            assert record.data.ids == expected.ids, f"{name}: {shard} knows other ids"

    def is_open(self, member: Member, version: int) -> bool:
        """Whether a voter counts in that version."""
        group = self.group(member.store)
        same = self.stores[member.store].state.incarnation == member.incarnation
        return same and (group.state, group.version) == ("open", version)

    def log_of(self, name: str, shard: str) -> Shard:
        """A store's log of a shard."""
        record: Shard = self.group(name).shards.get(shard) or Shard()
        return record

    def in_use(self, version: int) -> bool:
        """Whether a version decides."""
        described = self.description(version)
        opened = [m for m in members(described.voters) if self.is_open(m, version)]
        return len(opened) >= described.quorum


def _place(record: Shard) -> tuple[int, int]:
    return record.te, record.ts


@lru_cache(maxsize=100_000)
def chain_of(blob: bytes | str) -> int:
    """The chain of an entry as a store keeps it."""
    return read_entry(0, blob).chain


class Desk:
    """The desk of one process: what is answered after its crash is heard by nobody."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        def heard(reply: Reply | None, now_ms: int) -> None:
            if self._name in self._world.changings:
                take(reply, now_ms)
                self._world.note(self._world.changings[self._name])

        self._world.send(member, commands, heard)
