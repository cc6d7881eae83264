"""A committed log played again: which value every key had at every position, what each id did.

This is a second reading of the rules of apply in the format of stores, on purpose not shared with
the product: the two can be held against each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.requests import Value
from regions.codec import as_bytes, unpack
from shards.reserved import BORN_KEY, CLOSED_KEY, RESERVED_PARTITION, WIPED_KEY


@dataclass(slots=True)
class Timeline:
    """One key over the positions of its shard's log."""

    partition: str = ""
    positions: list[int] = field(default_factory=list)
    values: list[Value | None] = field(default_factory=list)

    def at(self, position: int) -> Value | None:
        """The value as of this position, None where the key is absent."""
        index = bisect_right(self.positions, position)
        return self.values[index - 1] if index else None


class Replay:
    """One shard's committed log from its first entry.

    `done_at` gives the positions at which an id was taken; `changed_at` those of them with effects:
    a refused compare-and-set is remembered under its id, too, but changes nothing.
    """

    def __init__(self, blobs: list[bytes], base: int = 0) -> None:
        """Entries up to `base` are none: the log continues others (`begin_with`)."""
        self.keys: dict[str, Timeline] = defaultdict(Timeline)
        self.done_at: dict[str, list[int]] = defaultdict(list)
        self.changed_at: dict[str, list[int]] = defaultdict(list)
        self.length = len(blobs)
        self.closed_at = 0
        self.closed_by = 0
        self._known: dict[str, int] = {}
        self._blobs = blobs
        self._base = base
        if not base:
            self._run()

    def _run(self) -> None:
        for sequence, blob in enumerate(self._blobs[self._base :], self._base + 1):
            self._apply(sequence, blob)

    def begin_with(self, number: int, parents: list[Replay], takes: Callable[[str], bool]) -> None:
        """Begin where closed logs ended, with those partitions that the shard takes of them."""
        for parent in parents:
            for key, timeline in parent.keys.items():
                value = timeline.at(parent.closed_at)
                if value is not None and timeline.partition and takes(timeline.partition):
                    self._set(self._base, timeline.partition, key, value)
            self._known |= parent.known_at_end
        born = Value(self._base, str(number).encode())
        self._set(self._base, RESERVED_PARTITION, BORN_KEY, born)
        self._run()

    @property
    def known_at_end(self) -> dict[str, int]:
        """Operation ids that a closed log remembered in the end."""
        return self._known

    def value(self, key: str, position: int) -> Value | None:
        """What a read of `key` at `position` must return."""
        timeline = self.keys.get(key)
        return None if timeline is None else timeline.at(position)

    def scan(self, partition: str, prefix: str, after: str, position: int) -> list[str]:
        """The keys that a scan at `position` must return, without a limit."""
        names = (
            key
            for key, timeline in self.keys.items()
            if timeline.partition == partition and key.startswith(prefix)
        )
        return sorted(
            (key for key in names if key > after and self.value(key, position) is not None),
            key=str.encode,
        )

    def _apply(self, sequence: int, blob: bytes) -> None:
        _epoch, op_id, _digest, _chain, _outcome, effects = unpack(blob)
        if self.closed_at:
            if ["w", self.closed_by] in effects:
                self._wipe(sequence)
            return
        if op_id:
            if op_id in self._known:
                return
            self._known[op_id] = sequence
            self.done_at[op_id].append(sequence)
            if effects:
                self.changed_at[op_id].append(sequence)
        for effect in effects:
            match effect:
                case ["p", _, key, data, _] if key == CLOSED_KEY:
                    self.closed_at, self.closed_by = sequence, int(as_bytes(data))
                    self._set(sequence, RESERVED_PARTITION, key, Value(sequence, as_bytes(data)))
                case ["p", partition, key, data, version]:
                    self._set(sequence, partition, key, Value(version, as_bytes(data)))
                case ["d", partition, key]:
                    self._set(sequence, partition, key, None)
                case ["x", upto]:
                    self._known = {i: seq for i, seq in self._known.items() if seq > upto}

    def _wipe(self, sequence: int) -> None:
        for key, timeline in list(self.keys.items()):
            if key not in (CLOSED_KEY, WIPED_KEY) and timeline.at(sequence) is not None:
                self._set(sequence, timeline.partition, key, None)
        wiped = Value(sequence, str(self.closed_by).encode())
        self._set(sequence, RESERVED_PARTITION, WIPED_KEY, wiped)

    def _set(self, sequence: int, partition: str, key: str, value: Value | None) -> None:
        timeline = self.keys[key]
        timeline.partition = partition
        timeline.positions.append(sequence)
        timeline.values.append(value)
