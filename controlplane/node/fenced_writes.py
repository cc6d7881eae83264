"""Writes of a leader that lost its shard before a majority had them: listed, traced, never redone.

Theory of operation. When a leadership ends, or recovers another log than its own, what it had under
way has an unknown outcome, and that is what clients are told. Here it is kept, in the memory of the
process and bounded, so that a person can look at it: what was to be written, by which epoch, and
why it was lost. What became of it can be known for certain once a store has committed the place in
the log where it was to stand: the same entry there was kept by the next leader, another one has
replaced it for good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.node.group import Group
from controlplane.requests import Fate, Outcome, Problem, Refused, Trace, Traced
from regions.codec import Code, as_bytes, unpack
from shards.entry import Entry, read_entry
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

KEPT_MAX: Final = 1_000
KEPT_BYTES_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FencedChange:
    """One change that was to be made: `value` None deletes the key."""

    partition: str
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class FencedWrite:
    """A write whose leader lost the shard: where it was to stand, what it was to do, and why not.

    `number` counts those of one process; `operation` is empty if the client gave none.
    """

    number: int
    shard: str
    epoch: int
    sequence: int
    chain: int
    operation: str
    digest: str
    why: str
    wall_ms: int
    changes: tuple[FencedChange, ...]
    size_bytes: int


class FencedWrites:
    """Those of one process, the newest KEPT_MAX of them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._kept: deque[FencedWrite] = deque()
        self._bytes = 0
        self.count = 0
        """All there have been; those that are not kept any more were the first of them."""

    def note(self, leadership: Leadership, sequences: Iterable[int], why: str) -> None:
        """A leadership leaves these entries of its log behind, and somebody waits for them."""
        log = leadership.log
        if log is None:
            return
        for sequence in sequences:
            entry = log.entry_at(sequence)
            if entry is None or not entry.blob:
                continue
            self.count += 1
            write = _fenced(self.count, leadership.shard, entry, why, self._node.wall_ms())
            self._kept.append(write)
            self._bytes += write.size_bytes
        while len(self._kept) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._bytes -= self._kept.popleft().size_bytes

    def all(self) -> tuple[FencedWrite, ...]:
        """Those that are kept, the oldest first."""
        return tuple(self._kept)

    # -- what became of one

    def trace(self, group: Group, number: int, request: Trace, attempt: int) -> None:
        """Answer what became of an entry, by a store that has committed its place in the log."""
        stores = self._node.nearby.local_stores(group)
        if attempt >= len(stores):
            refused = Refused(Problem.NO_QUORUM, "no store in reach has come that far")
            self._node.requests.answer(number, refused)
            return
        found: list[Fate] = []

        def ranged(result: list[Any] | None, now_ms: int) -> None:
            if result is not None and result[0] == Code.OK and result[8] >= request.sequence:
                found.append(_fate_by_log(request, result))

        def read(result: list[Any] | None, now_ms: int) -> None:
            if not found or result is None or result[0] != Code.OK:
                self.trace(group, number, request, attempt + 1)
            else:
                self._node.requests.answer(number, _traced(request, found[0], result))

        head = [group.group, group.version, request.shard]
        group.ask(stores[attempt], ["range", *head, request.sequence, 1], ranged)
        ids = [request.operation] if request.operation else []
        group.ask(stores[attempt], ["read", *head, "", 0, [], ids], read)


def _fenced(number: int, shard: str, entry: Entry, why: str, wall_ms: int) -> FencedWrite:
    _, operation, digest, _, _, effects = unpack(entry.blob)
    changes = tuple(
        FencedChange(effect[1], effect[2], as_bytes(effect[3]) if effect[0] == "p" else None)
        for effect in effects
        if effect[0] in ("p", "d")
    )
    return FencedWrite(
        number, shard, entry.epoch, entry.sequence, entry.chain, operation, digest, why, wall_ms,
        changes, len(entry.blob),
    )  # fmt: skip


def _fate_by_log(request: Trace, result: list[Any]) -> Fate:
    """By the committed log of a store: the reply to `range` from the entry's place."""
    trimmed_to, records = result[10], result[12]
    if trimmed_to >= request.sequence or not records:
        return Fate.UNKNOWN
    entry = read_entry(*records[0])
    is_there = (entry.epoch, entry.chain) == (request.epoch, request.chain)
    return Fate.KEPT if is_there else Fate.REPLACED


def _traced(request: Trace, by_log: Fate, result: list[Any]) -> Outcome:
    """The reply to `read` tells where an operation id was executed, if it is remembered."""
    known = result[11][0] if request.operation else None
    if by_log is Fate.KEPT:
        return Traced(request.shard, Fate.KEPT, request.sequence)
    if not known:
        return Traced(request.shard, by_log, None)
    fate = Fate.KEPT if known[0] == request.sequence else Fate.RETRIED
    return Traced(request.shard, fate, known[0])
