"""Deciding writes at a shard's leader: conditions, retries, and the effects that are logged.

Theory of operation. A write is decided against the state at the *tail* of the leader's log: what is
committed, plus its own entries under way. `_versions` holds the version of every key written by an
entry that a read of committed state might not show yet; `_ids` the same for operation ids. For
anything else the caller first reads committed state (`Lookup`) and decides then; whatever was
admitted meanwhile is in these tables, so the answer of the read is never preferred to them.

What is logged are effects with the resulting versions; stores decide nothing but one thing: an
operation id that is known with a smaller sequence is not executed twice, in log order.

Memory of ids is bounded in time and bytes. Expiry is itself an entry, and leaves the floor behind
under a reserved key: a retry that may be older than the floor is refused, not executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from shards.reserved import FLOOR_KEY, RESERVED_PARTITION

ABSENT = 0
PRESENT = -1
ID_MEMORY_MS = 600_000
ID_BYTES_MAX = 16 * 1024 * 1024
_TABLE_MAX = 4096


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation: `value` None deletes."""

    partition: str
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A write as the shard sees it; `compares` are (key, version), 0 absent, -1 present."""

    changes: tuple[Change, ...]
    compares: tuple[tuple[str, int], ...] = ()
    op_id: str = ""
    digest: str = ""
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """Log these effects with this outcome."""

    effects: list[list[Any]]
    outcome: list[Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """An earlier attempt decided it: answer its outcome once `sequence` is committed."""

    sequence: int
    outcome: list[Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Read committed state first: these keys and ids."""

    keys: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not executed: `reason` is compare, mismatch or too-old."""

    reason: str
    detail: str
    version: int | None = None


Decision: TypeAlias = Admit | Replay | Lookup | Refuse

WRITTEN = "written"
COMPARE_FAILED = "compare-failed"


class Admission:
    """The tables of one shard's leader in one epoch."""

    __slots__ = ("_floor", "_id_bytes", "_ids", "_marks", "_memory_ms", "_reads", "_versions")

    def __init__(self, memory_ms: int = ID_MEMORY_MS) -> None:
        """Ids are remembered for `memory_ms` at least, but for those beyond ID_BYTES_MAX."""
        self._memory_ms = memory_ms
        self._versions: dict[str, tuple[int, int]] = {}  # key -> (version, sequence of the entry)
        self._ids: dict[str, tuple[int, str, list[Any]]] = {}
        self._reads: dict[int, int] = {}
        self._floor: int | None = None
        self._marks: list[_Mark] = []  # oldest first
        self._id_bytes = 0

    def decide(self, proposal: Proposal, sequence: int, found: Found | None = None) -> Decision:
        """Decide a write whose entry would get `sequence`; `found` is the answer to its Lookup."""
        if proposal.op_id:
            known = self._ids.get(proposal.op_id) or (found and found.ids.get(proposal.op_id))
            if known:
                return self._replay(proposal, known)
        missing = self._missing(proposal, found)
        if missing is not None:
            return missing
        if proposal.since is not None and proposal.since < self._floor_with(found):
            return Refuse(
                "too-old", "this retry may be older than the memory of operation ids of its shard"
            )
        failed = self._failed_compare(proposal, found)
        if failed is not None:
            return self._refused_compare(proposal, sequence, failed)
        return self._admit(proposal, sequence)

    def _missing(self, proposal: Proposal, found: Found | None) -> Lookup | None:
        """What has to be read first. All keys or none: what `_versions` knows now, it may have
        forgotten by the time the answer comes, since the answer shows it."""
        if found is not None:
            return None
        keys = [key for key, _ in proposal.compares]
        ids = (proposal.op_id,) if proposal.op_id else ()
        needs_floor = proposal.since is not None and self._floor is None
        if not ids and not needs_floor and all(key in self._versions for key in keys):
            return None
        return Lookup((*keys, FLOOR_KEY) if needs_floor else tuple(keys), ids)

    def _floor_with(self, found: Found | None) -> int:
        if self._floor is None:
            self._floor = found.floor if found is not None else 0
        return self._floor

    def _replay(self, proposal: Proposal, known: tuple[int, str, list[Any]]) -> Decision:
        sequence, digest, outcome = known
        if digest != proposal.digest:
            return Refuse("mismatch", "this operation id was used for another request")
        return Replay(sequence, outcome)

    def _failed_compare(self, proposal: Proposal, found: Found | None) -> tuple[str, int] | None:
        for key, wanted in proposal.compares:
            here = self._versions.get(key)
            version = here[0] if here is not None else (found.versions.get(key, 0) if found else 0)
            if version != wanted and not (wanted == PRESENT and version != ABSENT):
                return key, version
        return None

    def _refused_compare(
        self, proposal: Proposal, sequence: int, failed: tuple[str, int]
    ) -> Decision:
        key, version = failed
        outcome = [COMPARE_FAILED, key, version]
        if not proposal.op_id:
            here = self._versions.get(key)
            if here is not None:
                return Replay(here[1], outcome)  # nobody hears of a version that is not committed
            return Refuse("compare", compare_failed(key, version), version)
        self._remember(proposal, sequence, outcome)
        return Admit([], outcome)

    def _admit(self, proposal: Proposal, sequence: int) -> Admit:
        effects: list[list[Any]] = []
        for change in proposal.changes:
            if change.value is None:
                effects.append(["d", change.partition, change.key])
                self._versions[change.key] = (ABSENT, sequence)
            else:
                effects.append(["p", change.partition, change.key, change.value, sequence])
                self._versions[change.key] = (sequence, sequence)
        outcome = [WRITTEN, sequence]
        if proposal.op_id:
            self._remember(proposal, sequence, outcome)
        return Admit(effects, outcome)

    def _remember(self, proposal: Proposal, sequence: int, outcome: list[Any]) -> None:
        self._ids[proposal.op_id] = (sequence, proposal.digest, outcome)
        self._id_bytes += 64 + len(proposal.op_id) + len(proposal.digest)

    # -- memory

    def read_began(self, number: int, commit: int) -> None:
        """A lookup was sent that will show everything up to `commit`."""
        self._reads[number] = commit

    def read_ended(self, number: int) -> None:
        """The lookup with this number was answered or lost."""
        self._reads.pop(number, None)

    def prune(self, commit: int) -> None:
        """Drop what every lookup under way, and every later one, shows by itself."""
        if len(self._versions) + len(self._ids) <= _TABLE_MAX:
            return
        shown = min([commit, *self._reads.values()])
        self._versions = {k: v for k, v in self._versions.items() if v[1] > shown}
        self._ids = {k: v for k, v in self._ids.items() if v[0] > shown}

    def expiry(self, now_ms: int, commit: int) -> list[list[Any]] | None:
        """Effects that forget ids which are old enough, or too many; None if there are none."""
        last = self._marks[-1] if self._marks else _Mark(now_ms - self._memory_ms, 0, 0)
        aged = now_ms - last.at_ms >= self._memory_ms // 10
        if aged or self._id_bytes - last.id_bytes >= ID_BYTES_MAX // 16:
            self._marks.append(_Mark(now_ms, commit, self._id_bytes))
        surplus_bytes = self._id_bytes - ID_BYTES_MAX
        freed_bytes, upto = 0, 0
        while self._marks and (
            now_ms - self._marks[0].at_ms >= self._memory_ms or freed_bytes < surplus_bytes
        ):
            mark = self._marks.pop(0)
            freed_bytes, upto = mark.id_bytes, mark.commit
        self._id_bytes -= freed_bytes
        self._marks = [m.without(freed_bytes) for m in self._marks]
        if freed_bytes == 0:
            return None
        self._floor = upto
        return forgetting(upto)


def forgetting(upto: int) -> list[list[Any]]:
    """Effects that forget the ids of all entries up to this one, and note that they are gone."""
    floor = ["p", RESERVED_PARTITION, FLOOR_KEY, str(upto).encode(), upto]
    return [["x", upto], floor]


@dataclass(frozen=True, slots=True)
class _Mark:
    """At `at_ms`, ids of `id_bytes` were remembered, those up to `commit` for good."""

    at_ms: int
    commit: int
    id_bytes: int

    def without(self, freed_bytes: int) -> _Mark:
        """The same moment, when so much of what was remembered then has been forgotten."""
        return _Mark(self.at_ms, self.commit, self.id_bytes - freed_bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """Committed state as a Lookup's read showed it."""

    versions: dict[str, int]
    ids: dict[str, tuple[int, str, list[Any]]]
    floor: int


def compare_failed(key: str, version: int) -> str:
    """What is said of a key that does not have the version that was asked for."""
    return f"key {key!r} has version {version}" if version else f"key {key!r} has no value"
