"""How much room the stores have, and what may be sent to those that have little.

Theory of operation. The driver looks at every store now and then and says what it saw. A store is

    ROOMY   --80 % of its memory, or a disk with little-->  LOW     people are told
    LOW     --95 %, or less free disk than the floor----->  FULL    its copies may not grow
    FULL    --half of the floor-------------------------->  CLOSED  it gets no entries at all
and falls back when it has a little more room than the mark. A store that declined a call because
its memory is full counts as FULL for a moment, whatever was seen of it.

A full store is spared while a majority does without it: it gets commit indexes and renewals, lags,
and is not vouched for. It gets entries again when it has room, or when they leave its copy no
larger: deletions pass, and all does of a shard that has become smaller than the copy. Once fewer
than a majority of a group's voters have room, writes that may grow a shard are refused there, and
what is under way goes to all, since it must be decided. The free disk between floor and half of it
is the reserve for that, and for deletions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from controlplane.machine import Headroom
from shards.leadership import Leadership, State
from shards.log import Log, Stream

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.lane import Lane
    from controlplane.node.node import Node

LOW_PERCENT = 80
FULL_PERCENT = 95
EASE_PERCENT = 2
"""So much below a mark a store must fall before the mark is left behind."""
DECLINED_MS = 1_000
_MIB = 1 << 20


class Level(IntEnum):
    """How little room there is."""

    ROOMY = 0
    LOW = 1
    FULL = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class Room:
    """What was last seen of a store, in a word and in a sentence."""

    level: Level
    why: str


class StoreRooms:
    """What one node knows of the room its stores have, and what follows from it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._rooms: dict[str, Room] = {}
        self._declined_until_ms: dict[str, int] = {}
        self._heavy: set[str] = set()  # shards whose quota was warned of
        self.is_tight = False  # whether any store is full

    # -- what is seen

    def seen(self, seen: Headroom) -> None:
        """The driver looked at a store."""
        before = self._rooms.get(seen.store, Room(Level.ROOMY, ""))
        now = judged(seen, before.level, self._node.plan.limits.disk_free_bytes_min)
        self._rooms[seen.store] = now
        self._judge()
        if now.level > before.level:
            detail = {"store": seen.store, "level": now.level.name.lower(), "why": now.why}
            self._node.happened("low-headroom", "", 0, detail)
        elif now.level is Level.ROOMY is not before.level:
            self._node.happened("headroom-restored", "", 0, {"store": seen.store})
        if now.level < before.level:
            self._go_on(seen.store)

    def declined(self, lane: Lane, now_ms: int) -> None:
        """A store refused a call because its memory is full; it did nothing of it."""
        self._declined_until_ms[lane.store] = now_ms + DECLINED_MS
        self._judge()

    def advance(self, now_ms: int) -> None:
        """Try those again that declined a while ago."""
        for store, until_ms in list(self._declined_until_ms.items()):
            if until_ms <= now_ms:
                del self._declined_until_ms[store]
                self._judge()
                self._go_on(store)

    def weigh(self, leadership: Leadership) -> None:
        """Say once that a shard comes near its quota."""
        log, quota = leadership.log, self._node.plan.limits.shard_bytes_max
        size_bytes = 0 if log is None else log.size_bytes
        shard = leadership.shard
        if shard not in self._heavy:
            if size_bytes * 100 >= quota * LOW_PERCENT:
                self._heavy.add(shard)
                why = f"the shard holds {_amount(size_bytes)} of {_amount(quota)}"
                detail = {"why": why, "size_bytes": size_bytes, "max_bytes": quota}
                self._node.happened("low-headroom", shard, leadership.epoch, detail)
        elif size_bytes * 100 < quota * (LOW_PERCENT - EASE_PERCENT):
            self._heavy.discard(shard)

    def _go_on(self, store: str) -> None:
        """What was held back from a store may go there now."""
        lane = self._node.lanes.get(store)
        for group in self._node.groups.values():
            number = None if lane is None else group.store_of(lane)
            if number is not None:
                group.begin_anew(number)

    def _judge(self) -> None:
        full = any(room.level >= Level.FULL for room in self._rooms.values())
        self.is_tight = full or bool(self._declined_until_ms)

    # -- what follows

    def level(self, lane: Lane) -> Level:
        """How little room a store has."""
        room = self._rooms.get(lane.store)
        level = Level.ROOMY if room is None else room.level
        return max(level, Level.FULL) if lane.store in self._declined_until_ms else level

    def why(self, lane: Lane) -> str:
        """What people are told of a store that has little room; "" of any other."""
        if lane.store in self._declined_until_ms:
            return "memory is full: the store declines"
        room = self._rooms.get(lane.store)
        return "" if room is None else room.why

    def takers(self, group: Group, below: Level) -> int:
        """How many voters of a group can be reached and have that much room."""
        lanes = group.lanes[: group.voters]
        return sum(lane.is_up and self.level(lane) < below for lane in lanes)

    def lack(self, group: Group, *, grows: bool) -> str:
        """Why a majority of a group would not take a write, "" if it would."""
        below = Level.FULL if grows else Level.CLOSED
        if not self.is_tight or self.takers(group, below) >= group.quorum:
            return ""
        lanes = [lane for lane in group.lanes[: group.voters] if self.level(lane) >= below]
        return "; ".join(f"{lane.store}: {self.why(lane)}" for lane in lanes)

    def any_low(self, group: Group) -> bool:
        """Whether a store of the group has less room than it should."""
        return any(self.level(lane) > Level.ROOMY for lane in group.lanes)

    def holds_back(self, group: Group, store: int, leadership: Leadership) -> bool:
        """Whether a store is to be spared the entries of a shard."""
        lane, log = group.lanes[store], leadership.log
        level = self.level(lane)
        if level < Level.FULL or log is None:
            return False
        if level is Level.CLOSED or lane.store in self._declined_until_ms:
            return True
        if leadership.state is not State.LEADING:
            return False  # the epoch must be opened
        follower = log.followers[store]
        shrinks = follower.sent >= log.grown_at or log.size_bytes < follower.size_bytes
        return not shrinks and self._is_spare(group, log)

    def _is_spare(self, group: Group, log: Log) -> bool:
        """Whether enough voters with room follow this log."""
        followers = zip(group.lanes, log.followers[: group.voters], strict=False)
        able = sum(
            lane.is_up and self.level(lane) < Level.FULL and follower.stream is Stream.FLOWING
            for lane, follower in followers
        )
        return able >= group.quorum


def judged(seen: Headroom, before: Level, floor_bytes: int) -> Room:
    """The level of a store by what was seen of it, coming from another level."""
    level, why = _by_memory(seen, before)
    by_disk = _by_disk(seen, before, floor_bytes)
    return max(Room(level, why), by_disk, key=lambda room: room.level)


def _by_memory(seen: Headroom, before: Level) -> tuple[Level, str]:
    if not seen.memory_max_bytes:
        return Level.ROOMY, ""
    percent = seen.memory_used_bytes * 100 / seen.memory_max_bytes
    marks = ((Level.FULL, FULL_PERCENT), (Level.LOW, LOW_PERCENT))
    for level, mark in marks:
        if percent >= mark - (EASE_PERCENT if before >= level else 0):
            return level, f"memory {percent:.0f} % of {_amount(seen.memory_max_bytes)}"
    return Level.ROOMY, ""


def _by_disk(seen: Headroom, before: Level, floor_bytes: int) -> Room:
    if seen.disk_free_bytes is None:
        return Room(Level.ROOMY, "")
    marks = ((Level.CLOSED, 50), (Level.FULL, 100), (Level.LOW, 400))
    for level, percent in marks:
        ease = 100 + (EASE_PERCENT if before >= level else 0)
        if seen.disk_free_bytes * 10_000 < floor_bytes * percent * ease:
            size = "" if seen.disk_size_bytes is None else f" of {_amount(seen.disk_size_bytes)}"
            return Room(level, f"disk has {_amount(seen.disk_free_bytes)} free{size}")
    return Room(Level.ROOMY, "")


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:,.1f} MiB"
