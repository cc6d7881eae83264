"""The shard map of a new fleet: equal ranges of slots, spread over groups and regions by a rule.

The rule is arithmetic on the topology, so all nodes of a fleet arrive at the same map without
asking each other. Later changes of the map are decisions of the global leader; this is only where
it begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.node_plan import ShardSeed
from controlplane.survival import SHARDS_MAX, Survival
from regions.topology import GLOBAL_GROUP, REGION_GROUP_PREFIX, Topology
from shards.keyspace import SLOTS


class FirstShards:
    """All slots cut into `count` shards; shard i prefers the regions in order, rotated by i.

    A shard that survives a region is in the group `global`. One that survives a zone is in the
    group of its preferred region, and is led there or nowhere. Regions without a group of their own
    (they have no stores) are nobody's preference. Shards are made when they are asked for: a node
    needs them once, if at all.
    """

    __slots__ = ("_count", "_regions", "_survival")

    def __init__(self, topology: Topology, count: int, survival: Survival) -> None:
        assert 1 <= count <= SHARDS_MAX, count
        groups = {group.name for group in topology.groups}
        names = [region.name for region in topology.regions]
        self._regions = tuple(name for name in names if REGION_GROUP_PREFIX + name in groups)
        self._count = count
        self._survival = survival

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ShardSeed]:
        return map(self._shard, range(self._count))

    def _shard(self, i: int) -> ShardSeed:
        count, survival = self._count, self._survival
        turn = i % len(self._regions)
        rotated = (*self._regions[turn:], *self._regions[:turn])
        wide = survival is Survival.REGION or (survival is Survival.MIXED and i % 2 == 0)
        return ShardSeed(
            shard=f"s{i:0{max(2, len(str(count - 1)))}}",
            group=GLOBAL_GROUP if wide else REGION_GROUP_PREFIX + rotated[0],
            first_slot=i * SLOTS // count,
            end_slot=(i + 1) * SLOTS // count,
            regions=rotated if wide else rotated[:1],
        )
