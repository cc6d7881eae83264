"""The question of placement, put together from what the global leader knows.

Documents say what regions cost and carry and what is allowed; nodes say who asks for which shard
and how far regions are apart; the fleet's view says who leads where. All of it becomes one plain
document that the worker reads (shards/placement/problem_file). Nothing is computed here, and
shards are taken one by one, so that whoever has very many of them can let others go first.
"""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from sys import byteorder
from typing import Any, Final

from config.document import Kind
from config.feed import Feed, egress_usd_per_gb
from controlplane.planning.errors import HoleInMatrix, NoPlacement
from controlplane.planning.rules import Rules, ShardRules, Spread
from regions.latency_matrix import Pair
from regions.topology import ZONE_RTT_MS
from shards.load import Rates

NOWHERE: Final = -1
NO_LEADER: Final = 0.5
"""Room for less than one: nothing is led there."""
LEADERS: Final = "leaders"
ALL: Final = "all"
SCOPES: Final = (LEADERS, ALL)
"""What may change: who leads inside the present voters, or the voters as well."""
ZONES_MIN: Final = 3
_DTYPES: Final = {"d": "float64", "f": "float32", "h": "int16", "i": "int32", "B": "uint8",
                  "Q": "uint64"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard as it is now."""

    shard: str
    goal: str
    voters: int
    leader: str | None
    """The region it is led from."""
    present: tuple[str, ...]
    """The regions of its voters."""
    size_bytes: int | None
    loads: Mapping[str, Rates]
    """By region of origin."""
    stays: bool = False
    """It was moved a short while ago."""
    node: str = ""
    """The node that is preferred for it in its region."""
    zones: int | None = None
    """In how many zones its voters are; None: it is not known."""
    ancestors: tuple[str, ...] = ()
    """Shards that it continues, the nearest first: what documents say of them holds for it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A node that may lead: it lives, and does not drain."""

    node: str
    region: str
    zone: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is assumed to be otherwise, beside the documents."""

    lost: frozenset[str] = frozenset()
    loads: tuple[tuple[str, str, float], ...] = ()
    """(pattern of shards, region of origin or "*", by how much it is multiplied)"""

    def with_factors(self, by_region: Mapping[str, float]) -> Outlook:
        """The same, and the load of these regions multiplied."""
        more = tuple(("*", region, factor) for region, factor in sorted(by_region.items()))
        return replace(self, loads=(*self.loads, *more))

    def factor(self, shard: str, region: str) -> float:
        """By how much a load is multiplied."""
        found = 1.0
        for pattern, origin, factor in self.loads:
            if fnmatchcase(shard, pattern) and origin in ("*", region):
                found *= factor
        return found


@dataclass(slots=True)
class _Columns:
    writes: array[float] = field(default_factory=lambda: array("f"))
    reads: array[float] = field(default_factory=lambda: array("f"))
    write_bytes: array[float] = field(default_factory=lambda: array("f"))
    read_bytes: array[float] = field(default_factory=lambda: array("f"))
    size_bytes: array[float] = field(default_factory=lambda: array("d"))
    survival: array[int] = field(default_factory=lambda: array("B"))
    voters: array[int] = field(default_factory=lambda: array("B"))
    leader: array[int] = field(default_factory=lambda: array("h"))
    present: array[int] = field(default_factory=lambda: array("Q"))
    allowed: array[int] = field(default_factory=lambda: array("Q"))
    pin: array[int] = field(default_factory=lambda: array("h"))
    preference: array[int] = field(default_factory=lambda: array("i"))


class Question:
    """A question in the making: regions first, then shard by shard."""

    def __init__(
        self,
        feed: Feed,
        distances: Mapping[Pair, float],
        node_regions: Mapping[str, str],
        alive: frozenset[str],
        outlook: Outlook,
        seats: Sequence[Seat] = (),
    ) -> None:
        """`node_regions` has every node's region, `alive` the regions where one is alive."""
        self._feed = feed
        self._contents = feed.regions()
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self.regions = sorted(self._contents)
        self.rules = Rules(feed, self.regions, self._ancestors)
        self._at = {name: place for place, name in enumerate(self.regions)}
        self._distances = distances
        self._node_regions = node_regions
        self._alive = alive
        self._outlook = outlook
        self._seats = [
            seat for seat in seats if seat.region in self._at and seat.region not in outlook.lost
        ]
        self._wishes: dict[str, str] = {}
        self._narrow: dict[str, tuple[str, int]] = {}
        self._ids: list[str] = []
        self._pinned: dict[str, str] = {}
        self._continued: dict[str, list[str]] = {}  # by a former name: who continues it
        self.unavailable: list[str] = []
        self.not_planned: list[str] = []
        self.forecast: Mapping[str, float] = {}
        self._columns = _Columns()
        self._placement = feed.content(Kind.PLACEMENT)
        self._zonal = self._mask(n for n in self.regions if self._zones(n) >= ZONES_MIN)

    def add(self, facts: ShardFacts) -> None:
        """Take one more shard; one that lost its majority cannot be placed before it is back."""
        if self._is_unavailable(facts):
            self.unavailable.append(facts.shard)
            return
        for ancestor in facts.ancestors:
            self._continued.setdefault(ancestor, []).append(facts.shard)
        if facts.ancestors:
            self._ancestors[facts.shard] = facts.ancestors
        rules, columns = self.rules.of(facts.shard), self._columns
        self._ids.append(facts.shard)
        self._pinned[facts.shard] = rules.pin or ""
        self._add_loads(facts)
        assumed = self._placement["assumptions"]
        size = assumed["shard_bytes"] if facts.size_bytes is None else facts.size_bytes
        columns.size_bytes.append(float(size))
        goal = self._goal(facts, rules)
        columns.survival.append(1 if goal == "region" else 0)
        columns.voters.append(facts.voters)
        columns.leader.append(self._at.get(facts.leader or "", NOWHERE))
        columns.present.append(self._mask(facts.present))
        allowed = self._mask(self.regions if rules.allowed is None else rules.allowed)
        if goal != "region":
            allowed &= self._zonal & self._wide_enough(facts, rules.spread)
        columns.allowed.append(allowed)
        pin = self._at.get(self._node_regions.get(rules.pin or "", ""), NOWHERE)
        if pin == NOWHERE and facts.stays:
            pin = self._at.get(facts.leader or "", NOWHERE)
        columns.pin.append(pin)
        columns.preference.append(rules.preference)
        if facts.node:
            self._wishes[facts.shard] = facts.node

    @property
    def shards(self) -> int:
        """How many there are to plan."""
        return len(self._ids)

    def document(self, scope: str) -> dict[str, Any]:
        """The whole question. Raises HoleInMatrix for two regions nobody knows the way between,
        NoPlacement for shards that have fewer voters than places to be spread over."""
        if self._narrow:
            raise NoPlacement(_too_narrow(self._narrow))
        columns, shards, regions = self._columns, len(self._ids), len(self.regions)
        budget = self._placement.get("churn_budget", {})
        moved_bytes = budget.get("bytes_share_max", 1.0) * sum(columns.size_bytes)
        strong = self._placement["assumptions"]["strong_read_share"]
        return {
            "regions": self.regions,
            "rtt_ms": [[self._rtt_ms(a, b) for b in self.regions] for a in self.regions],
            "egress_usd_per_gb": [[self._egress(a, b) for b in self.regions] for a in self.regions],
            "storage_usd_per_gb_month": self._prices("storage_usd_per_gb_month"),
            "instance_usd_per_hour": self._prices("instance_usd_per_hour"),
            "capacities": {
                "leaders": self._leaders(scope),
                "writes_per_s": self._capacities("writes_per_s"),
                "size_bytes": self._capacities("bytes"),
            },
            "weights": self._weights(),
            "budget": {
                "moved_bytes": moved_bytes if scope == ALL else 0.0,
                "moved_leaders": None
                if self._outlook.lost
                else max(1.0, budget.get("leaders_share_max", 1.0) * shards),
            },
            "preferences": self.rules.preferences,
            "anti_affinity": self._gathering(),
            "drained": [name for name in self.regions if name in self._outlook.lost]
            if scope == ALL
            else [],
            "quarantined": [name for name in self.regions if name not in self._alive],
            "nodes": self._nodes() if self.rules.speak_of_nodes else None,
            "shards": {
                "ids": self._ids,
                "writes_per_s": _packed(columns.writes, [shards, regions]),
                "reads_per_s": _packed(columns.reads, [shards, regions]),
                "write_bytes": _packed(columns.write_bytes, [shards]),
                "read_bytes": _packed(columns.read_bytes, [shards]),
                "size_bytes": _packed(columns.size_bytes, [shards]),
                "strong_share": _packed(array("f", [strong]) * shards, [shards]),
                "survival": _packed(columns.survival, [shards]),
                "voters": _packed(columns.voters, [shards]),
                "leader": _packed(columns.leader, [shards]),
                "present": _packed(columns.present, [shards]),
                "allowed": _packed(columns.allowed, [shards]),
                "pin": _packed(columns.pin, [shards]),
                "preference": _packed(columns.preference, [shards]),
            },
        }

    # -- regions

    def _is_unavailable(self, facts: ShardFacts) -> bool:
        lost = [region for region in facts.present if region in self._outlook.lost]
        return bool(lost) and 2 * len(lost) >= len(facts.present)

    def _leaders(self, scope: str) -> list[float | None]:
        """Room for leaders. Voters of a lost region are not moved when only leaders are."""
        room = self._capacities("leaders")
        if scope == ALL:
            return room
        lost = self._outlook.lost
        return [
            NO_LEADER if region in lost else most
            for region, most in zip(self.regions, room, strict=True)
        ]

    def _zones(self, region: str) -> int:
        stores = self._contents[region].get("stores", [])
        return len({store["zone"] for store in stores})

    def _mask(self, names: Iterable[str]) -> int:
        mask = 0
        for name in names:
            if name in self._at:
                mask |= 1 << self._at[name]
        return mask

    def _rtt_ms(self, origin: str, to: str) -> float:
        if origin == to:
            return ZONE_RTT_MS
        try:
            return self._distances[origin, to]
        except KeyError:
            raise HoleInMatrix(origin, to) from None

    def _egress(self, origin: str, to: str) -> float:
        return 0.0 if origin == to else egress_usd_per_gb(self._contents[origin], to)

    def _prices(self, name: str) -> list[float]:
        return [float(self._contents[region][name]) for region in self.regions]

    def _capacities(self, name: str) -> list[float | None]:
        general = self.rules.region_capacity.get(name)
        found = (self._contents[r].get("capacity", {}).get(name) for r in self.regions)
        return [
            min((each for each in (own, general) if each is not None), default=None)
            for own in found
        ]

    def _weights(self) -> dict[str, float]:
        weighed = self._placement["usd_per_ms_per_million_requests"]
        hysteresis = self._placement.get("hysteresis", {})
        return {
            "usd_per_ms_per_million_writes": float(weighed["writes"]),
            "usd_per_ms_per_million_reads": float(weighed["reads"]),
            "hysteresis_usd_per_month": float(hysteresis.get("gain_usd_per_month_min", 0.0)),
        }

    def _gathering(self) -> list[dict[str, Any]]:
        return self._known(self.rules.gathering)

    def _known(self, sets: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Sets with those of their shards that are there, or continue them, if two or more are."""
        known = {shard: [shard] for shard in self._ids}
        known = self._continued | known
        found = (
            {**each, "shards": [s for name in each["shards"] for s in known.get(name, ())]}
            for each in sets
        )
        return [each for each in found if len(each["shards"]) > 1]

    def _nodes(self) -> dict[str, Any]:
        names = {seat.node for seat in self._seats}
        return {
            "names": [seat.node for seat in self._seats],
            "region": [seat.region for seat in self._seats],
            "zone": [seat.zone for seat in self._seats],
            "limits": self.rules.node_limits,
            "zone_limits": self.rules.zone_limits,
            "apart": self._known(self.rules.apart),
            "pins": {shard: node for shard, node in self._pinned.items() if node in names},
            "wishes": {shard: node for shard, node in self._wishes.items() if node in names},
        }

    def _goal(self, facts: ShardFacts, rules: ShardRules) -> str:
        """What the voters must outlive; to be spread over regions, each needs one of its own."""
        spread = rules.spread
        if spread is None:
            return rules.goal or facts.goal
        if max(spread.regions_min, spread.zones_min) > facts.voters:
            pointer = f"/constraints/spread/{spread.number}"
            self._narrow.setdefault(pointer, (facts.shard, facts.voters))
        return "region" if spread.regions_min > 1 else rules.goal or facts.goal

    def _wide_enough(self, facts: ShardFacts, spread: Spread | None) -> int:
        """The regions with zones enough; the present one, if the voters are in enough of them."""
        least = spread.zones_min if spread is not None else 1
        wide = self._mask(name for name in self.regions if self._zones(name) >= least)
        if facts.zones is not None and facts.zones < least and len(facts.present) == 1:
            wide &= ~self._mask(facts.present)
        return wide

    # -- shards

    def _add_loads(self, facts: ShardFacts) -> None:
        columns, writes, reads, written, read = self._columns, 0.0, 0.0, 0.0, 0.0
        for region in self.regions:
            rates = facts.loads.get(region)
            factor = self._outlook.factor(facts.shard, region) if rates is not None else 0.0
            columns.writes.append(factor * rates.writes if rates is not None else 0.0)
            columns.reads.append(factor * rates.reads if rates is not None else 0.0)
            if rates is not None:
                writes, reads = writes + rates.writes, reads + rates.reads
                written, read = written + rates.write_bytes, read + rates.read_bytes
        columns.write_bytes.append(written / writes if writes > 0 else 0.0)
        columns.read_bytes.append(read / reads if reads > 0 else 0.0)


def _too_narrow(narrow: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    said = [f"{shard} has {voters}" for shard, voters in narrow.values()]
    return {
        "constraints": list(narrow),
        "split": [],
        "message": f"voters cannot be in more places than there are voters: {', '.join(said)}",
    }


def _packed(column: array[Any], shape: list[int]) -> dict[str, Any]:
    """A column as the worker reads it: little-endian bytes with their type and shape."""
    if byteorder == "big":
        column = column[:]
        column.byteswap()
    data = b64encode(column.tobytes()).decode("ascii")
    return {"base64": data, "dtype": _DTYPES[column.typecode], "shape": shape}
