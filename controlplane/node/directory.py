"""The shard map, followed at a local copy of the system shard; placements carried to the stores.

Theory of operation. The map is data of the shard `system`, one key for each shard, in partition
`map`, and every node follows it at its region's own copy (controlplane/node/following). Where the
map places a shard's leader is written into the stores of the shard's own group (`place`), by
whichever node of that group comes first, with the map's position as revision: so a region can fail
over by itself, and an old placement never wins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from sys import intern
from typing import TYPE_CHECKING

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from regions.codec import as_bytes, pack, unpack
from shards.grant import Sighted
from shards.routing import RoutingTable, SlotRange, kept_preference, preference_of

if TYPE_CHECKING:
    from controlplane.node.node import Node

MAP = "map"
MAP_PREFIX = "{map}/"
PLACE_MAX = 250  # shards looked at in one turn: some milliseconds
PLACE_AGAIN_MS = 50
PLACE_PATIENCE_MS = 3_000


@dataclass(frozen=True, slots=True)
class MapRow:
    """One shard of the map: slots [first_slot, end_slot), its group, regions by preference.

    `node` is preferred in its region, as long as it lives; "": none is.
    """

    shard: str
    group: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]
    revision: int
    node: str = ""

    def packed(self) -> bytes:
        """As kept in the system shard."""
        regions = kept_preference(self.regions, self.node)
        return pack([self.group, self.first_slot, self.end_slot, regions])

    @classmethod
    def read(cls, key: str, value: bytes | str, revision: int) -> MapRow:
        """From the system shard; raises ValueError when it is not a row."""
        group, first, end, regions = unpack(as_bytes(value))
        name = intern(key.removeprefix(MAP_PREFIX))
        regions, node = preference_of(regions)
        return cls(name, intern(group), first, end, regions, revision, intern(node))


class Directory:
    """What one node knows of the map."""

    partition = MAP
    prefix = MAP_PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self.rows: dict[str, MapRow] = {}
        self._coming: dict[str, MapRow] | None = None  # as far as it was read anew
        self._gone: dict[str, int] = {}  # meanwhile deleted, by which entry
        self._table = RoutingTable((), -1)
        self._preferences: dict[tuple[str, ...], tuple[str, ...]] = {}  # few: each is kept once
        self.version = 0
        self._counts: Counter[str] = Counter()
        self._counted_as_of = 0
        self._place_after_ms = 0
        self._unplaced: dict[str, dict[str, bool]] = {}  # by group; whether any node is to do it
        self._awaited: dict[str, int] = {}  # until when somebody is expected to have placed it

    def advance(self, now_ms: int) -> None:
        """Carry placements, at the pace at which the map is followed."""
        if now_ms >= self._place_after_ms:
            self._place_after_ms = now_ms + 400 + int(self._node.draw() * 400)
            self._place(now_ms)

    # -- what the system shard says (controlplane/node/following)

    def begun(self) -> None:
        """It is read anew, from the beginning."""
        self._coming, self._gone = {}, {}

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A shard of the map is so."""
        row = MapRow.read(key, value, version)
        row = replace(row, regions=self._preference(row.regions))
        rows = self.rows if self._coming is None else self._coming
        known = rows.get(row.shard)
        if known is not None and known.revision > version:
            return
        rows[row.shard] = row
        if self._coming is None:
            self._changed(row.shard, version)

    def deleted(self, key: str, version: int) -> None:
        """A shard is not in the map any more."""
        shard = key.removeprefix(MAP_PREFIX)
        if self._coming is None:
            self.rows.pop(shard, None)
            self._changed(shard, version)
        elif shard not in self._coming or self._coming[shard].revision < version:
            self._coming.pop(shard, None)
            self._gone[shard] = version

    def scanned(self) -> None:
        """The map is known as a whole: only now it has a version."""
        if self._coming is None:
            return
        before, self.rows, self._coming = self.rows, self._coming, None
        revisions = [row.revision for row in self.rows.values()]
        self.version = max([self.version, *self._gone.values(), *revisions])
        for row in self.rows.values():
            self._unplaced.setdefault(row.group, {})[row.shard] = False
        for shard in before.keys() | self.rows.keys():
            if before.get(shard) != self.rows.get(shard):
                self._changed(shard, self.version)

    def _changed(self, shard: str, version: int) -> None:
        row = self.rows.get(shard)
        if row is not None:
            self._unplaced.setdefault(row.group, {})[shard] = False
        self.version = max(self.version, version)
        self._node.row_changed(shard)

    def group_came(self, group: str) -> None:
        """A group is known here from now on: its shards are to be placed at its stores."""
        for row in self.rows.values():
            if row.group == group:
                self._unplaced.setdefault(group, {})[row.shard] = False
                self._node.row_changed(row.shard)

    @property
    def is_known(self) -> bool:
        """Whether there is a map at all."""
        return self.version > 0

    @property
    def is_of_one_moment(self) -> bool:
        """Whether the rows are as new as all else that is read of the system shard."""
        return self.is_known and self._coming is None

    def shard_of_slot(self, slot: int) -> str | None:
        """The shard that has this slot, None while none is known."""
        if self._table.map_version != self.version:
            self._table = RoutingTable(self.slot_ranges(), self.version)
        return self._table.shard_of_slot(slot)

    def count(self, group: str) -> int:
        """How many shards of the map are in a group; counted once for each version of the map."""
        if self._counted_as_of != self.version:
            self._counted_as_of = self.version
            self._counts = Counter(row.group for row in self.rows.values())
        return self._counts[group]

    def slot_ranges(self) -> list[SlotRange]:
        """Which shard has which slots, in no order."""
        return [SlotRange(row.first_slot, row.end_slot, row.shard) for row in self.rows.values()]

    # -- placements

    def placement_seen(self, sighted: Sighted, rev: int, placement: bytes | str) -> None:
        """A store showed where a shard is placed; the greatest revision wins."""
        if rev > sighted.placement_rev and placement:
            kept, pin = unpack(as_bytes(placement))
            regions, node = preference_of(kept)  # as a node wrote it that knew no preferred ones
            sighted.placement_rev = rev
            sighted.regions = self._preference(regions)
            sighted.pin = intern(pin or node)

    def _preference(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        return self._preferences.setdefault(regions, regions)

    def _place(self, now_ms: int) -> None:
        """Let the first candidate place each shard, as fast as renewals permit; then any node."""
        self._place_system()
        for shard in list(takewhile(lambda name: self._awaited[name] <= now_ms, self._awaited)):
            del self._awaited[shard]
            if shard in self.rows:
                self._unplaced.setdefault(self.rows[shard].group, {})[shard] = True
        for name, shards in list(self._unplaced.items()):
            group = self._node.groups.get(name)
            if group is not None and group.session is not None:
                self._place_some(group, shards, now_ms)
            if not shards or group is None or group.session is None:
                del self._unplaced[name]
        if self._unplaced:
            self._node.following.deadline_ms = self._place_after_ms = now_ms + PLACE_AGAIN_MS
        if not self._awaited:
            self._awaited = {}  # an emptied one keeps the room it once took

    def _place_some(self, group: Group, shards: dict[str, bool], now_ms: int) -> None:
        room, desk = group.room, self._node.standing[group.group]
        for shard in list(islice(shards, PLACE_MAX)):
            if room <= 0:
                return
            anyhow, row, sighted = shards.pop(shard), self.rows.get(shard), group.sighted(shard)
            if row is None or sighted.placement_rev >= row.revision:
                continue
            self._awaited[shard] = now_ms + PLACE_PATIENCE_MS
            if anyhow or desk.comes_first(sighted):
                self._send_place(group, shard, row.revision, row.regions, row.node)
                room -= 1

    def _place_system(self) -> None:
        group = self._node.census.system_group()
        if group is None or group.session is None or group.sighted(SYSTEM).placement_rev:
            return
        self._send_place(group, SYSTEM, 1, group.regions)

    def _send_place(
        self, group: Group, shard: str, rev: int, regions: tuple[str, ...], node: str = ""
    ) -> None:
        placement = pack([list(regions), node])
        for store in range(group.stores):
            if group.lanes[store].is_up:
                command = ["place", group.group, group.version, shard, rev, placement]
                group.ask(store, command, lambda result, now_ms: None)
