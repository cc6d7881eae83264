"""What a store remembers of a draft: the data a shard will begin with, and where it comes from.

Why it is right. Of each parent there is one attempt, one cursor, and its own memory of operation
ids, so that what one parent forgets takes nothing from the other. Nothing is decided here but what
each parent's log decides by itself; so drafts with the same cursors hold the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final
from zlib import crc32

from regions.scripts.arguments import BadArgument
from shards.keyspace import SLOTS
from shards.reserved import BORN_KEY, CLOSED_KEY, FLOOR_KEY, RESERVED_PARTITION
from shards.scripts.entries import Delete, Forget, Put, StoredEntry, Tenure, parse_number
from shards.scripts.state import Data, Shard

HISTORY_OF: Final = 0
"""The parent whose history of leadership goes on in the child."""

Slots = tuple[int, int]
Place = tuple[int, int, int]
NOWHERE: Final[Place] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Walk:
    """A copy from a shard in the same store: where it is, where it began, the least id then."""

    part: str
    after: str
    start: Place
    least: str

    def shown(self) -> list[Any]:
        epoch, seq, chain = self.start
        return [self.part, self.after, str(epoch), seq, chain, self.least]


@dataclass(frozen=True, slots=True)
class Parent:
    """How far a draft is with one of its parents.

    Phases: "" nothing of it is here; pages, walk: applied state comes, from outside or from within
    the store; log: entries follow at the cursor; final: the cursor is at the closing entry.
    """

    slots: Slots
    by: str = ""  # the attempt, also one that is over
    phase: str = ""
    cursor: Place = NOWHERE  # epoch, sequence, chain
    closing: int = 0  # sequence of the closing entry, as far as it was seen
    walk: Walk | None = None

    def shown(self) -> list[Any]:
        epoch, seq, chain = self.cursor
        return [self.by, self.phase, str(epoch), seq, chain]

    def kept(self) -> list[Any]:
        """All of it, as a store keeps it."""
        walk = False if self.walk is None else self.walk.shown()
        return [*self.slots, *self.shown(), self.closing, walk]

    def takes(self, partition: str) -> bool:
        """Whether the child takes a partition of this parent."""
        first, end = self.slots
        return self.slots == (0, SLOTS) or first <= slot_of_stored(partition) < end


def slot_of_stored(partition: str) -> int:
    """The slot of a partition as it came out of a store, where it need not be text."""
    return crc32(partition.encode("utf-8", "surrogateescape")) >> 8 if partition else 0


@dataclass(slots=True)
class Draft:
    """A draft of resharding `number`; with 0 nothing is there but the mark of what was dropped."""

    number: int = 0
    undrafted: int = 0
    parents: list[Parent] = field(default_factory=list)
    data: Data = field(default_factory=Data)  # without ids, which are kept by parent
    ids: list[dict[str, tuple[int, str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, undrafted: int, slots: list[Slots]) -> Draft:
        """A draft with nothing in it yet."""
        parents = [Parent(of_one) for of_one in slots]
        return cls(number, undrafted, parents, ids=[{} for _ in slots])

    def parent(self, p: int) -> Parent:
        """Raises BadArgument when there is no second one."""
        if p >= len(self.parents):
            raise BadArgument(p)
        return self.parents[int(p)]

    def copy(self) -> Draft:
        return replace(
            self,
            parents=list(self.parents),
            data=self.data.copy(),
            ids=[dict(known) for known in self.ids],
        )

    def known_ids(self) -> dict[str, tuple[int, str, Any]]:
        """Of an id that both parents remember, the first parent's record."""
        found: dict[str, tuple[int, str, Any]] = {}
        for known in reversed(self.ids):
            found |= known
        return found

    def begin(self, p: int, attempt: str, phase: str) -> None:
        """Begin a parent anew. Where it has brought something, all that came is worthless."""
        if self.parents[p].phase:
            self.empty()
        self.parents[p] = Parent(self.parents[p].slots, attempt, phase)

    def empty(self) -> None:
        """Begin with nothing; attempts so far are over."""
        self.data = Data()
        self.ids = [{} for _ in self.parents]
        self.parents = [Parent(parent.slots, parent.by) for parent in self.parents]

    def reach(self, p: int, cursor: Place) -> None:
        """Everything of a parent up to there is in."""
        parent = self.parents[p]
        final = parent.closing == cursor[1] > 0
        phase = "final" if final else "log"
        self.parents[p] = replace(parent, phase=phase, cursor=cursor, walk=None)

    def take_record(self, p: int, part: str, name: str, record: Any) -> None:
        """Take one record of a page, if it belongs to the child."""
        if part == "kv":
            partition, _, key = name.partition("\0")
            self._put(p, Put(partition, key, record[1], record[0]), record[0])
        elif part == "id":
            self.ids[p][name.partition(" ")[2]] = record
        elif p == HISTORY_OF:
            self.data.record(int(name), record)

    def apply(self, p: int, sequence: int, entry: StoredEntry) -> None:
        """Do what an entry of a parent says, as far as it concerns the child."""
        known = self.ids[p].get(entry.op_id)
        if known is not None and known[0] < sequence:
            return
        if known is None and entry.op_id:
            self.ids[p][entry.op_id] = (sequence, entry.digest, entry.outcome)
        for effect in entry.effects:
            match effect:
                case Put():
                    self._put(p, effect, sequence)
                case Delete() if effect.partition != RESERVED_PARTITION:
                    if self.parents[p].takes(effect.partition):
                        self.data.delete(effect.partition, effect.key)
                case Tenure() if p == HISTORY_OF:
                    self.data.record(effect.epoch, effect.record)
                case Forget():
                    kept = self.ids[p].items()
                    self.ids[p] = {name: of for name, of in kept if of[0] > effect.upto}

    def _put(self, p: int, put: Put, closed_at: int) -> None:
        parent = self.parents[p]
        if put.partition != RESERVED_PARTITION:
            if parent.takes(put.partition):
                self.data.put(put.partition, put.key, put.value, put.version)
        elif put.key == CLOSED_KEY:
            self.parents[p] = replace(parent, closing=closed_at)
        elif put.key == FLOOR_KEY and self.data.kv.get(FLOOR_KEY, (-1,))[0] < put.version:
            self.data.put(put.partition, put.key, put.value, put.version)

    @property
    def is_ripe(self) -> bool:
        """Whether everything up to every parent's closing entry is in."""
        return all(parent.phase == "final" for parent in self.parents)

    def ripened(self) -> Shard:
        """The shard that begins where its parents ended."""
        cursors = [parent.cursor for parent in self.parents]
        epoch, end = max(at[0] for at in cursors), max(at[1] for at in cursors)
        chain = cursors[0][2]
        if len(cursors) > 1:
            chain = crc32(" ".join(str(at[2]) for at in cursors).encode())
        data = self.data
        data.ids = self.known_ids()
        data.put(RESERVED_PARTITION, BORN_KEY, str(self.number), end)
        shard = Shard(cm=end, ap=end, data=data)
        shard.te, shard.ts, shard.tc = shard.be, shard.bs, shard.bc = epoch, end, chain
        return shard


def closes_otherwise(entry: StoredEntry, number: int) -> bool:
    """Whether an entry closes its shard for another resharding."""
    puts = (effect for effect in entry.effects if isinstance(effect, Put))
    return any(put.key == CLOSED_KEY and parse_number(put.value) != number for put in puts)
