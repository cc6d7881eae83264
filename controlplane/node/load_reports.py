"""What each node says of its clients' load and of the ways between regions, and who gathers it.

Theory of operation. A node looks at what came in at it every `REPORT_EVERY_MS`, in pieces of
`ROWS_MAX` shards, so that no turn is long, and tells the global leader: of each shard that has
changed materially, or was not spoken of for `REPEAT_AFTER_MS`, its rates; and once per look the
round trips it measured, and how it is itself (controlplane/node/health). When another node leads,
or the same one anew, everything is said once more. So nothing needs to be acknowledged: what is
lost is repeated, and a new global leader knows all there is after one look of every node. `behind`
says how much of it is still to come.

The global leader keeps what it is told in memory (shards/load_table, regions/latency_matrix), in no
log: it is gone with its leadership. Another one drops what it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from config.gate_history import Histories
from controlplane.machine import Tell
from controlplane.node.following import SYSTEM
from controlplane.node.health import take_health
from regions.latency_matrix import LatencyMatrix, Measured
from shards.load import NOTHING, Rates, RouterLoad
from shards.load_table import LoadTable

if TYPE_CHECKING:
    from controlplane.node.node import Node

REPORT_EVERY_MS = 5_000
PIECE_EVERY_MS = 250
ROWS_MAX = 1_000
REGIONS_MAX = 100
REPEAT_AFTER_MS = 120_000
DIGITS = 4
"""Of a rate that is told: more would be noise."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the global leader was told since it leads, as of `now_ms`."""

    epoch: int
    since_ms: int
    now_ms: int
    load: LoadTable
    latency: LatencyMatrix
    health: Histories = field(default_factory=Histories)


@dataclass(slots=True)
class Look:
    """One look through the shards in use: those still to come."""

    shards: list[str]
    began_ms: int


class LoadReports:
    """One node's part in it: what it counts, says, and gathers."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self.load = RouterLoad(now_ms)
        self.gathered: Gathered | None = None
        self._told: dict[str, tuple[Rates, int]] = {}  # by shard: what was said last, and when
        self._listener: tuple[str, int] = ("", 0)  # who leads, at which epoch
        self._look: Look | None = None
        self._next_ms = now_ms + REPORT_EVERY_MS

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Say a piece, when it is time."""
        if now_ms < self._next_ms:
            return
        if self._look is None:
            self._drop_gathered(now_ms)
            self._node.health.look(now_ms)
        leader = self._node.census.global_leader()
        if leader is None:
            self._next_ms = now_ms + REPORT_EVERY_MS
            return
        if (leader.node, leader.epoch) != self._listener:
            self._listener = (leader.node, leader.epoch)
            self._told.clear()
            self._look = None
        if self._look is None:
            shards = list(dict.fromkeys((*self.load.shards(), *self._told)))
            shards.reverse()
            self._look = Look(shards, now_ms)
        self._say(leader.node, self._look, now_ms)

    def _say(self, leader: str, look: Look, now_ms: int) -> None:
        piece = [look.shards.pop() for _ in range(min(ROWS_MAX, len(look.shards)))]
        rows = self._rows(piece, now_ms)
        behind = len(look.shards)
        if behind:
            self._next_ms = now_ms + PIECE_EVERY_MS
        else:
            self._look = None
            self._next_ms = max(now_ms + PIECE_EVERY_MS, look.began_ms + REPORT_EVERY_MS)
        trips = [[region, *trip] for region, trip in self._node.round_trips.measured().items()]
        message = {
            "kind": "load", "region": self._node.plan.region, "behind": behind, "rows": rows,
            "trips": trips[:REGIONS_MAX],
        }  # fmt: skip
        if not behind:
            message["health"] = self._node.health.told(self._listener, now_ms)
        if leader == self._node.plan.node:
            self.heard(leader, message, now_ms)
        elif rows or not behind:
            self._node.out.append(Tell(leader, message))

    def _rows(self, shards: list[str], now_ms: int) -> list[list[Any]]:
        rows: list[list[Any]] = []
        for shard in shards:
            rates = self.load.folded(shard, now_ms)
            said = self._told.get(shard)
            if said is not None and not self._is_news(rates, *said, now_ms):
                continue
            if rates is not NOTHING:
                self._told[shard] = (rates, now_ms)
            elif self._told.pop(shard, None) is None:
                continue
            rows.append([shard, *(float(f"{rate:.{DIGITS}g}") for rate in rates)])
        return rows

    def _is_news(self, rates: Rates, said: Rates, told_ms: int, now_ms: int) -> bool:
        is_due = now_ms - told_ms >= REPEAT_AFTER_MS
        return is_due or rates is NOTHING or rates.differs(said)

    # -- at the global leader

    def as_of(self, now_ms: int) -> Gathered | None:
        """What was gathered, if this node is the one to ask; at first that is nothing."""
        found = self.gathering(now_ms)
        return None if found is None else replace(found, now_ms=now_ms)

    def gathering(self, now_ms: int) -> Gathered | None:
        """What this leadership of the system shard gathers; None where it is not led."""
        led = self._node.census.leadership(SYSTEM)
        if led is None or not led[1].serves(now_ms):
            return None
        epoch = led[1].epoch
        if self.gathered is None or self.gathered.epoch != epoch:
            matrix = LatencyMatrix(self._node.plan.region_rtt_ms)
            self.gathered = Gathered(epoch, now_ms, now_ms, LoadTable(), matrix)
        return self.gathered

    def _drop_gathered(self, now_ms: int) -> None:
        """Forget what is old; everything, where another node leads."""
        if self.gathered is None:
            return
        if self._node.census.leadership(SYSTEM) is None:
            self.gathered = None
            return
        self.gathered.load.forget_silent(now_ms)
        self.gathered.latency.forget_old(now_ms)
        self.gathered.health.forget_old(now_ms)

    def heard(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """A node reports; what has not the shape of a report is ignored, and so is everything where
        the system shard is not led."""
        gathered = self.gathering(now_ms)
        if gathered is None:
            return
        match message:
            case {
                "region": str() as region, "behind": int() as behind, "rows": list() as rows,
                "trips": list() as trips,
            }:  # fmt: skip
                gathered.load.take(sender, region, _read_rows(rows), behind, now_ms)
                gathered.latency.take(sender, region, _read_trips(trips), now_ms)
                take_health(gathered.health, sender, message, now_ms)


def _read_rows(rows: list[Any]) -> list[tuple[str, Rates]]:
    found = []
    for row in rows[:ROWS_MAX]:
        match row:
            case [str() as shard, *rates] if len(rates) == len(NOTHING) and _are_figures(rates):
                found.append((shard, Rates(*rates)))
    return found


def _read_trips(trips: list[Any]) -> Mapping[str, Measured]:
    found = {}
    for trip in trips[:REGIONS_MAX]:
        match trip:
            case [str() as region, p50_ms, p99_ms, int() as samples] if _are_figures(
                [p50_ms, p99_ms, samples]
            ):
                found[region] = Measured(float(p50_ms), float(p99_ms), samples)
    return found


def _are_figures(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and 0 <= value < 1e15 for value in values)
