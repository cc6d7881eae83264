"""The shard map of a new fleet: equal ranges of slots, spread over groups and regions by a rule.

The rule is arithmetic on the topology, so all nodes of a fleet arrive at the same map without
asking each other. Later changes of the map are decisions of the global leader; this is only where
it begins.
"""

from __future__ import annotations

from controlplane.node_plan import ShardSeed
from controlplane.survival import SHARDS_MAX, Survival
from regions.topology import GLOBAL_GROUP, REGION_GROUP_PREFIX, Topology
from shards.keyspace import SLOTS


def first_shards(topology: Topology, count: int, survival: Survival) -> tuple[ShardSeed, ...]:
    """Cut all slots into `count` shards; shard i prefers the regions in order, rotated by i.

    A shard that survives a region is in the group `global`. One that survives a zone is in the
    group of its preferred region, and is led there or nowhere. Regions without a group of their own
    (they have no stores) are nobody's preference.
    """
    assert 1 <= count <= SHARDS_MAX, count
    groups = {group.name for group in topology.groups}
    names = [r.name for r in topology.regions if REGION_GROUP_PREFIX + r.name in groups]
    width = max(2, len(str(count - 1)))
    seeds = []
    for i in range(count):
        turn = i % len(names)
        rotated = (*names[turn:], *names[:turn])
        wide = survival is Survival.REGION or (survival is Survival.MIXED and i % 2 == 0)
        seeds.append(
            ShardSeed(
                shard=f"s{i:0{width}}",
                group=GLOBAL_GROUP if wide else REGION_GROUP_PREFIX + rotated[0],
                first_slot=i * SLOTS // count,
                end_slot=(i + 1) * SLOTS // count,
                regions=rotated if wide else rotated[:1],
            )
        )
    return tuple(seeds)
