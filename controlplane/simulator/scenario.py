"""What is simulated: which places there are, what clients do, what goes wrong, for how long.

The presets differ in shape. `zone` is the smallest fleet that can disagree, with a short lease, so
that a virtual minute holds many elections, and a short memory of operation ids, so that it is
forgotten whose retry it is. `busy` is the same with a single shard that is written
so much that its log is trimmed, and a store that was away needs a snapshot. `bulky` writes values
so large that entries travel in several calls. `wide` is `zone` over the world: much is always in
flight. `five` is one group over five stores far apart. `fleet` is the default product: three
regions, a group in each and one across, stores in several groups. In `world`, some regions are
nearer to each other by way of a third. `clocks` has clocks that keep to nothing: what must hold
without them is checked. `forgetful` has stores that are wiped, as often as their group can do
without them. In `shifting`, operators change which stores belong to a group all the time, too; in
`leasing`, how long its leases last; in `restful`, copies rest and follow again. In `resharding`,
shards are split, merged, and moved between two groups, and clients know keys alone: each node says
by its own map whose they are. In `apart`, the groups are in two regions; in `heated`, the load does
it, which comes and goes. In `rollouts`, documents are edited and rolled out over five regions, in
all ways and at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from regions.reference import DEFAULT_REGIONS, round_trips_ms
from shards.admission import ID_MEMORY_MS

REGIONS = DEFAULT_REGIONS
FAR_REGIONS = ("af-south-1", "ap-southeast-1", "ap-southeast-2", "eu-central-1", "us-east-1")
SAME_REGION_MS = 2.0
SHORT_MEMORY_MS = 12_000

ALL_FAULTS = (
    "crash node",
    "drain node",
    "pause node",
    "pause node before it sends",
    "restart all nodes",
    "bend clock",
    "cut one way",
    "partition",
    "flap link",
    "crash store",
    "restart all stores",
    "pause store",
    "slow store",
    "full store",
    "slow link",
    "break connection",
    "break connection unnoticed",
    "deafen front door",
)


@dataclass(frozen=True, slots=True)
class GroupShape:
    """A group by the names of its stores; nodes of `stands_in` regions stand there."""

    name: str
    voters: tuple[str, ...]
    followers: tuple[str, ...]
    ttl_ms: int
    stands_in: tuple[str, ...]
    shards: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a run depends on besides its seed. Places are given as (name, region)."""

    name: str
    nodes: tuple[tuple[str, str], ...]
    stores: tuple[tuple[str, str], ...]
    groups: tuple[GroupShape, ...]
    minutes: float = 1.0
    clients: int = 6
    operations_per_s: float = 12.0
    keys_per_shard: int = 3
    value_bytes_max: int = 0  # values are padded to a random size up to this
    meddling: float = 1.0  # how often operators transfer and evict, beside what clients do
    faults_per_minute: float = 20.0
    faults: tuple[str, ...] = ALL_FAULTS
    only_faults: tuple[int, ...] | None = None  # by number, from 1; the others are left out
    fault_ttl: tuple[float, float] = (0.1, 3.0)  # how long one lasts, in leases: least, most
    drift_ppm_max: int = 10_000
    trusts_clocks: bool = (
        True  # False: clocks keep to no rate, and nothing that needs them is judged
    )
    jitter: float = 0.3
    loss: float = 0.01
    id_memory_ms: int = ID_MEMORY_MS  # shorter: ids are forgotten while clients still retry
    partitions: int = 0  # clients ask for keys of so many, whatever shards there are
    split_by_load: dict[str, Any] | None = None  # as in the document `placement`
    waves_ms: int = 0  # so long clients ask as they do, then so long nearly nothing, and so on
    rollouts: bool = False  # operators edit documents, and have them rolled out

    @property
    def ttl_ms(self) -> int:
        """The longest lease of any group: what recovery is allowed to depend on."""
        return max(group.ttl_ms for group in self.groups)

    def region_of(self) -> dict[str, str]:
        """The region of every node and store."""
        return dict(self.nodes) | dict(self.stores)


def round_trips(regions: set[str]) -> dict[tuple[str, str], float]:
    """Milliseconds there and back between all regions, as published for real ones."""
    apart = round_trips_ms(sorted(regions)) if len(regions) > 1 else {}
    return {(a, b): SAME_REGION_MS if a == b else apart[a][b] for a in regions for b in regions}


def zone() -> Scenario:
    """One region, three stores, three nodes, a lease of a second."""
    stores = tuple((f"s{n}", "eu") for n in (1, 2, 3))
    names = tuple(name for name, _ in stores)
    return Scenario(
        name="zone",
        nodes=tuple((f"n{n}", "eu") for n in (1, 2, 3)),
        stores=stores,
        groups=(GroupShape("global", names, (), 1_000, ("eu",), 4),),
        faults_per_minute=40.0,
        id_memory_ms=SHORT_MEMORY_MS,
    )


def busy() -> Scenario:
    """One shard, written often, and stores that are away for long."""
    calm = zone()
    return replace(
        calm,
        name="busy",
        groups=(replace(calm.groups[0], shards=1),),
        clients=30,
        operations_per_s=400.0,
        meddling=0.05,
        faults_per_minute=10.0,
        faults=(
            "crash store",
            "crash store",
            "full store",
            "pause node",
            "partition",
            "break connection",
        ),
        fault_ttl=(0.5, 15.0),
    )


def bulky() -> Scenario:
    """Large values, many at once: appends in chunks, suffixes that fit in no grant."""
    calm = zone()
    return replace(
        calm,
        name="bulky",
        groups=(replace(calm.groups[0], shards=2),),
        minutes=0.4,
        clients=24,
        operations_per_s=80.0,
        value_bytes_max=60_000,
        meddling=0.3,
    )


def wide() -> Scenario:
    """A store and a node in each of three regions, a short lease: much is always in flight."""
    stores = tuple((f"s{n}", region) for n, region in enumerate(REGIONS, 1))
    names = tuple(name for name, _ in stores)
    return Scenario(
        name="wide",
        nodes=tuple((f"n{n}", region) for n, region in enumerate(REGIONS, 1)),
        stores=stores,
        groups=(GroupShape("global", names, (), 1_800, REGIONS, 3),),
        clients=15,
        operations_per_s=60.0,
        faults_per_minute=40.0,
        meddling=0.3,
    )


def five() -> Scenario:
    """Five stores and three nodes in three regions: one group, twenty shards."""
    eu, us, ap = REGIONS
    stores = (("s1", eu), ("s2", eu), ("s3", us), ("s4", us), ("s5", ap))
    names = tuple(name for name, _ in stores)
    return Scenario(
        name="five",
        nodes=(("n1", eu), ("n2", us), ("n3", ap)),
        stores=stores,
        groups=(GroupShape("global", names, (), 3_000, REGIONS, 20),),
    )


def fleet() -> Scenario:
    """Three regions with three stores and two nodes each; a group in each region and one across."""
    stores = tuple((f"{region}-s{n}", region) for region in REGIONS for n in (1, 2, 3))
    nodes = tuple((f"{region}-n{n}", region) for region in REGIONS for n in (1, 2))
    firsts = tuple(f"{region}-s1" for region in REGIONS)
    regional = tuple(
        GroupShape(
            f"region/{region}",
            tuple(f"{region}-s{n}" for n in (1, 2, 3)),
            tuple(first for first in firsts if not first.startswith(region)),
            2_000,
            (region,),
            4,
        )
        for region in REGIONS
    )
    across = GroupShape("global", firsts, (), 4_000, REGIONS, 3)
    return Scenario(name="fleet", nodes=nodes, stores=stores, groups=(across, *regional), clients=9)


def world() -> Scenario:
    """Five regions on four continents; from one to another it can be nearer by way of a third."""
    stores = tuple((f"s{n}", region) for n, region in enumerate(FAR_REGIONS, 1))
    names = tuple(name for name, _ in stores)
    nodes = tuple((f"n{n}", region) for n, region in enumerate(FAR_REGIONS[:3], 1))
    shape = GroupShape("global", names, (), 4_500, FAR_REGIONS[:3], 4)
    return Scenario(name="world", nodes=nodes, stores=stores, groups=(shape,), clients=12)


def clocks() -> Scenario:
    """Clocks up to 40 % fast or slow, and some that jump ahead."""
    calm = zone()
    return replace(
        calm,
        name="clocks",
        faults=(*ALL_FAULTS, "bend clock", "bend clock", "step clock", "step clock", "step clock"),
        drift_ppm_max=400_000,
        trusts_clocks=False,
    )


def forgetful() -> Scenario:
    """Five stores that lose everything, one after the other, and come back."""
    calm = zone()
    stores = tuple((f"s{n}", "eu") for n in range(1, 6))
    names = tuple(name for name, _ in stores)
    return replace(
        calm,
        name="forgetful",
        stores=stores,
        groups=(replace(calm.groups[0], voters=names),),
        faults=(*ALL_FAULTS, "wipe store", "wipe store"),
    )


def shifting() -> Scenario:
    """Three stores and three to spare: replaced, added, removed, and some of them forget."""
    calm = zone()
    spares = tuple((f"s{n}", "eu") for n in (4, 5, 6))
    return replace(
        calm,
        name="shifting",
        stores=(*calm.stores, *spares),
        faults=(*ALL_FAULTS, "wipe store", *["change stores"] * 4),
        faults_per_minute=50.0,
    )


def leasing() -> Scenario:
    """Leases that are made longer and shorter all the time, at whatever node; stores forget."""
    calm = zone()
    return replace(
        calm,
        name="leasing",
        groups=(replace(calm.groups[0], ttl_ms=2_000),),
        faults=(*ALL_FAULTS, "wipe store", *["change lease"] * 5),
        faults_per_minute=50.0,
    )


def restful() -> Scenario:
    """Copies in regions without a vote that rest, and follow again, all the time."""
    calm = fleet()
    return replace(
        calm,
        name="restful",
        faults=(*ALL_FAULTS, *["rest copies"] * 8),
        faults_per_minute=40.0,
    )


def resharding() -> Scenario:
    """Two groups that share a store, and shards that do not stay what they are."""
    calm = zone()
    stores = tuple((f"s{n}", "eu") for n in range(1, 6))
    names = tuple(name for name, _ in stores)
    groups = (
        replace(calm.groups[0], voters=names[:3], shards=2),
        GroupShape("region/eu", names[2:], (), 1_000, ("eu",), 2),
    )
    return replace(
        calm,
        name="resharding",
        stores=stores,
        groups=groups,
        clients=8,
        operations_per_s=20.0,
        partitions=16,
        faults=(*ALL_FAULTS, *["reshard"] * 12),
        faults_per_minute=60.0,
        fault_ttl=(0.1, 2.0),
        id_memory_ms=ID_MEMORY_MS,
    )


def apart() -> Scenario:
    """Two regions, far from each other, and shards that move between the groups of both."""
    over = resharding()
    eu, us, _ = REGIONS
    stores = tuple((f"s{n}", eu if n <= 3 else us) for n in range(1, 7))
    names = tuple(name for name, _ in stores)
    return replace(
        over,
        name="apart",
        nodes=(("n1", eu), ("n2", eu), ("n3", us), ("n4", us)),
        stores=stores,
        groups=(
            GroupShape("global", (*names[:2], names[3]), (), 3_000, (eu, us), 1),
            GroupShape(f"region/{eu}", names[:3], (), 2_000, (eu,), 2),
            GroupShape(f"region/{us}", names[3:], (), 2_000, (us,), 2),
        ),
        faults_per_minute=40.0,
    )


def heated() -> Scenario:
    """Load that comes and goes, and shards that are split and merged because of it."""
    over = resharding()
    merge = {"requests_per_s": 1.5, "after_ms": 6_000, "shards_min": 1}
    return replace(
        over,
        name="heated",
        clients=16,
        operations_per_s=80.0,
        meddling=0.3,
        faults=ALL_FAULTS,
        faults_per_minute=10.0,
        waves_ms=30_000,
        split_by_load={
            "requests_per_s": 8, "after_ms": 5_000, "cool_down_ms": 8_000, "merge": merge
        },
    )  # fmt: skip


def rollouts() -> Scenario:
    """Five regions, two of which have copies alone, and documents that are rolled out all the time;
    the global leader is struck on purpose, and whole regions are cut off."""
    eu, us, ap = REGIONS
    af, au = FAR_REGIONS[0], FAR_REGIONS[2]
    places = (eu, us, ap, af, au)
    stores = tuple((f"s{n}", region) for n, region in enumerate(places, 1))
    names = tuple(name for name, _ in stores)
    return Scenario(
        name="rollouts",
        nodes=(*((f"n{n}", region) for n, region in enumerate(places, 1)), ("n6", eu)),
        stores=stores,
        groups=(GroupShape("global", names[:3], names[3:], 2_000, REGIONS, 1),),
        minutes=2.0,
        clients=2,
        operations_per_s=2.0,
        meddling=0.0,
        faults=(*ALL_FAULTS, *["strike global leader"] * 5, *["cut off region"] * 4),
        faults_per_minute=10.0,
        fault_ttl=(0.2, 4.0),
        rollouts=True,
    )


_MAKERS = {
    "zone": zone,
    "busy": busy,
    "bulky": bulky,
    "wide": wide,
    "five": five,
    "fleet": fleet,
    "world": world,
    "clocks": clocks,
    "forgetful": forgetful,
    "shifting": shifting,
    "leasing": leasing,
    "restful": restful,
    "resharding": resharding,
    "apart": apart,
    "heated": heated,
    "rollouts": rollouts,
}
PRESETS = tuple(_MAKERS)


def preset(name: str, minutes: float | None = None) -> Scenario:
    """A scenario by name, for other than its own number of minutes if given. Raises KeyError."""
    scenario = _MAKERS[name]()
    return scenario if minutes is None else replace(scenario, minutes=minutes)
