"""Copies that rest: a shard's in a region that has no vote, and whose clients hardly read it.

Theory of operation. Stores outside the voters of a group follow every shard of it, as long as no
record of the system shard says otherwise. Where one says that a shard's copies in a region rest
(controlplane/planning/followers), the shard's leader sends these stores no entries, as if they had
no room for them (controlplane/node/headroom). They keep who leads, so their region routes as ever;
and as soon as something was written that they lack, no renewal vouches for them. So a read is never
answered there with less than was asked for: it goes to the leader. A copy that is to follow again
is caught up like any store that lags.

No voter rests, whatever a record says; nor does a copy of a shard that is closed, which has yet to
be wiped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import Put
from regions.codec import as_bytes, pack, unpack
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

PARTITION: Final = "copies"
PREFIX: Final = "{copies}/"


@dataclass(frozen=True, slots=True)
class CopyState:
    """Whether the copies in a region rest, and since when they do, or do not."""

    rests: bool
    since_wall_ms: int


@dataclass(frozen=True, slots=True)
class CopiesOf:
    """What is said of one shard's copies, by region; those of all others follow."""

    shard: str
    states: Mapping[str, CopyState]
    version: int = 0

    @property
    def key(self) -> str:
        """Where it is kept."""
        return PREFIX + self.shard

    def put(self) -> Put:
        """How it is kept."""
        rows = [[r, int(s.rests), s.since_wall_ms] for r, s in sorted(self.states.items())]
        return Put(PARTITION, self.key, pack(rows))


def read_copies(key: str, value: bytes | str, version: int) -> CopiesOf:
    """From the system shard; raises ValueError when it is something else."""
    states = {}
    rows = unpack(as_bytes(value))
    for row in rows if isinstance(rows, list) else [None]:
        match row:
            case [str() as region, int() as rests, int() as since_ms]:
                states[region] = CopyState(bool(rests), since_ms)
            case _:
                raise ValueError("this says nothing of copies")
    return CopiesOf(key.removeprefix(PREFIX), states, version)


class RestingCopies:
    """What one node knows of them."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, CopiesOf] = {}
        self._gone: dict[str, int] = {}
        self._changes = 0
        self._counted_as_of: tuple[int, ...] = ()
        self._counts: dict[str, Counter[tuple[str, bool]]] = {}

    @property
    def known(self) -> Mapping[str, CopiesOf]:
        """Every record, by shard."""
        return self._known

    def begun(self) -> None:
        """What is known stays in force; what is not put again is gone."""
        self._gone = {shard: each.version for shard, each in self._known.items()}

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A shard's copies are so."""
        shard = key.removeprefix(PREFIX)
        self._gone.pop(shard, None)
        known = self._known.get(shard)
        if known is not None and known.version >= version:
            return
        try:
            self._known[shard] = read_copies(key, value, version)
        except ValueError as complaint:
            self._known.pop(shard, None)
            detail = {"key": key, "why": str(complaint)}
            self._node.happened("copies-unreadable", SYSTEM, 0, detail)
        self._changed(shard)

    def deleted(self, key: str, version: int) -> None:
        """All copies of a shard follow again."""
        shard = key.removeprefix(PREFIX)
        known = self._known.get(shard)
        if known is not None and known.version < version:
            del self._known[shard]
            self._changed(shard)

    def scanned(self) -> None:
        """Everything there is has been put."""
        gone, self._gone = self._gone, {}
        for shard, version in gone.items():
            known = self._known.get(shard)
            if known is not None and known.version == version:
                del self._known[shard]
                self._changed(shard)

    def rests_in(self, shard: str, region: str) -> bool:
        """Whether copies of a shard that have no vote rest in a region."""
        known = self._known.get(shard)
        state = None if known is None else known.states.get(region)
        return state is not None and state.rests

    def rests_at(self, group: Group, store: int, shard: str) -> bool:
        """Whether a store's copy rests; `store` is its number in the group.

        None does of a shard that goes over into others: that may be copied from there.
        """
        if store < group.voters or not self._known:
            return False
        if self._node.reshardings.of_parent(shard, group.group) is not None:
            return False
        return self.rests_in(shard, group.plan.followers[store - group.voters].region)

    def count(self, group: str) -> Mapping[tuple[str, bool], int]:
        """Shards of a group that rest, by region and by whether they stop without a quorum."""
        node = self._node
        as_of = (self._changes, node.map_version, node.feed.position)
        if as_of != self._counted_as_of:
            self._counts = {}
            for shard, each in self._known.items():
                row = node.directory.rows.get(shard)
                if row is not None:
                    stops = node.quorum_loss.stops(shard)
                    regions = [r for r, state in each.states.items() if state.rests]
                    counts = self._counts.setdefault(row.group, Counter())
                    counts.update((region, stops) for region in regions)
            self._counted_as_of = as_of
        return self._counts.get(group, {})

    def heed(self, group: Group, store: int, leadership: Leadership) -> bool:
        """Have the log of a shard that is led here know whether a store is to be sent entries."""
        log = leadership.log
        if log is None:
            return False
        rests = not log.closed and self.rests_at(group, store, leadership.shard)
        log.followers[store].rests = rests
        return rests

    def resharded(self, shard: str) -> None:
        """A shard begins, or no longer is, to go over into others."""
        if shard in self._known:
            self._changed(shard)

    def _changed(self, shard: str) -> None:
        """Who leads the shard looks at its followers' stores again."""
        self._changes += 1
        self._node.row_changed(shard)
        led = self._node.census.leadership(shard)
        if led is not None:
            group, leadership = led
            for store in range(group.voters, group.stores):
                group.outgoing[store].urgent[shard] = leadership
