"""What a store remembers of one shard's log and data, as plain records of the twin."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

from regions.codec import as_bytes
from shards.reserved import CLOSED_KEY, RESERVED_PARTITION, WIPED_KEY
from shards.scripts.entries import Delete, Forget, Put, StoredEntry, Tenure, Wipe, parse_number

HISTORY_MAX = 64


@dataclass(slots=True)
class Data:
    """The applied state of a shard: keys, remembered op ids, history of leadership.

    A key belongs to one partition; the leader always names the same one with it.
    """

    kv: dict[str, tuple[int, bytes | str]] = field(default_factory=dict)  # key: version, value
    names: list[bytes] = field(default_factory=list)  # partition, zero byte, key; in byte order
    ids: dict[str, tuple[int, str, Any]] = field(default_factory=dict)  # seq, digest, outcome
    history: dict[int, Any] = field(default_factory=dict)
    size_bytes: int = 0

    def copy(self) -> Data:
        return Data(
            dict(self.kv), list(self.names), dict(self.ids), dict(self.history), self.size_bytes
        )

    def put(self, partition: str, key: str, value: bytes | str, version: int) -> None:
        """Set a key and keep count of its bytes."""
        old = self.kv.get(key)
        if old is None:
            self.size_bytes += size(partition) + size(key) + size(value)
            self._index(index_name(partition, key))
        else:
            self.size_bytes += size(value) - size(old[1])
        self.kv[key] = (version, value)

    def _index(self, name: bytes) -> None:
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            self.names.insert(at, name)

    def delete(self, partition: str, key: str) -> None:
        """Remove a key, if it is there."""
        old = self.kv.pop(key, None)
        if old is not None:
            self.size_bytes -= size(partition) + size(key) + size(old[1])
        name = index_name(partition, key)
        at = bisect_left(self.names, name)
        if at < len(self.names) and self.names[at] == name:
            del self.names[at]

    def record(self, epoch: int, record: Any) -> None:
        """Add a line to the history of leadership; the oldest goes when there are too many."""
        self.history[epoch] = record
        if len(self.history) > HISTORY_MAX:
            del self.history[min(self.history)]

    def told(self, key: str) -> int:
        """The number of a resharding that the shard says of itself under this key, 0 for none."""
        known = self.kv.get(key)
        return 0 if known is None else parse_number(known[1])

    @property
    def closed_at(self) -> int:
        """The sequence of the entry that closed the shard, 0 while it is not closed."""
        known = self.kv.get(CLOSED_KEY)
        return 0 if known is None else known[0]

    def apply(self, sequence: int, entry: StoredEntry) -> None:
        """Do what an entry says, unless its op id was remembered from an earlier one.

        Behind the entry that closed the shard nothing is done but a wipe.
        """
        if 0 < self.closed_at < sequence:
            for effect in entry.effects:
                if isinstance(effect, Wipe):
                    self.wipe(sequence, effect.number)
            return
        if entry.op_id:
            known = self.ids.get(entry.op_id)
            if known is None:
                self.ids[entry.op_id] = (sequence, entry.digest, entry.outcome)
            elif known[0] < sequence:
                return
        for effect in entry.effects:
            match effect:
                case Put():
                    version = sequence if effect.key == CLOSED_KEY else effect.version
                    self.put(effect.partition, effect.key, effect.value, version)
                case Delete():
                    self.delete(effect.partition, effect.key)
                case Tenure():
                    self.record(effect.epoch, effect.record)
                case Forget():
                    kept = self.ids.items()
                    self.ids = {name: known for name, known in kept if known[0] > effect.upto}
                case Wipe():
                    self.wipe(sequence, effect.number)

    def wipe(self, sequence: int, number: int) -> None:
        """Delete all but the end and the history, if that resharding has closed the shard."""
        if self.told(CLOSED_KEY) == number:
            closed_at, closed = self.kv[CLOSED_KEY]
            self.kv, self.names, self.ids, self.size_bytes = {}, [], {}, 0
            self.put(RESERVED_PARTITION, CLOSED_KEY, closed, closed_at)
            self.put(RESERVED_PARTITION, WIPED_KEY, str(number), sequence)


@dataclass(slots=True)
class Shard:
    """The log of one shard, and its data up to `ap`. `log` holds base + 1 .. tail."""

    te: int = 0  # tail: epoch, sequence, chain
    ts: int = 0
    tc: int = 0
    ae: int = 0  # epoch of the latest append, and how far the appends of that epoch reached
    as_: int = 0
    cm: int = 0  # committed
    ap: int = 0  # applied
    fz: int = 0  # data is fuzzy until this is applied
    be: int = 0  # base: the last entry that is trimmed away
    bs: int = 0
    bc: int = 0
    lc: int = 0  # what the leader of `ae` said is committed, where that was beyond what it brought
    sn: int = 0  # the attempt whose pages are staged; earlier ones are over
    log: dict[int, bytes | str] = field(default_factory=dict)
    data: Data = field(default_factory=Data)
    stage: Data = field(default_factory=Data)

    def copy(self) -> Shard:
        return replace(self, log=dict(self.log), data=self.data.copy(), stage=self.stage.copy())


def size(value: bytes | str) -> int:
    """Length in bytes."""
    if isinstance(value, str) and not value.isascii():
        return len(as_bytes(value))
    return len(value)


def index_name(partition: str, key: str) -> bytes:
    """A key in the ordered index."""
    return as_bytes(f"{partition}\0{key}")
