"""The groups that follow from the places, when a document does not name them itself.

* `region/<r>`: the first stores of the region, one a zone as far as there are zones, an odd number,
  at most `VOTERS_MAX`. The first store of every other region follows, so that every region can
  read the shards of this one nearby.
* `global`: the first store of each region, in the document's order, an odd number, at most
  `VOTERS_MAX`; the regions left over follow. Two regions make three voters, two of them in the
  first region; a single region votes with its zones.

A lease lasts as long as the settings say, or longer where the matrix demands it: ten of the round
trips that a majority takes from the worst placed region that votes.
"""

from __future__ import annotations

from regions.latency import ttl_needed_ms
from regions.settings import LeaseSettings
from regions.topology import GLOBAL_GROUP, REGION_GROUP_PREFIX, Group, StoreSite, Topology

VOTERS_MAX = 5
"""Five survive the loss of two. More would only make every write wait for more disks."""


def with_implied_groups(topology: Topology, settings: LeaseSettings | None = None) -> Topology:
    """Add every implied group that the document does not name; named groups stay as they are.

    The names in the document must resolve and the matrix must have no holes; raises KeyError
    otherwise.
    """
    settings = settings or LeaseSettings()
    named = {group.name for group in topology.groups}
    implied = [_global_group(topology, settings)]
    implied += [
        _region_group(topology, region.name, settings)
        for region in topology.regions
        if topology.stores_in(region.name)
    ]
    missing = tuple(group for group in implied if group.name not in named)
    return topology.model_copy(update={"groups": missing + topology.groups})


def _global_group(topology: Topology, settings: LeaseSettings) -> Group:
    by_region = [topology.stores_in(region.name) for region in topology.regions]
    by_region = [stores for stores in by_region if stores]
    if len(by_region) > 2:
        voters = tuple(stores[0] for stores in by_region)
    elif len(by_region) == 2:
        one, two = by_region if len(by_region[0]) > 1 else by_region[::-1]
        voters = _by_zone(one)[:2] + two[:1]
    else:
        voters = _by_zone(by_region[0])
    voters = voters[: _odd(len(voters))]
    voting_regions = {store.region for store in voters}
    followers = [stores[0] for stores in by_region if stores[0].region not in voting_regions]
    return _group(topology, GLOBAL_GROUP, voters, followers, settings.global_ttl_ms)


def _region_group(topology: Topology, region: str, settings: LeaseSettings) -> Group:
    ordered = _by_zone(topology.stores_in(region))
    voters = ordered[: _odd(len(ordered))]
    elsewhere = [topology.stores_in(other.name) for other in topology.regions]
    followers = [stores[0] for stores in elsewhere if stores and stores[0].region != region]
    name = REGION_GROUP_PREFIX + region
    return _group(topology, name, voters, followers, settings.region_ttl_ms)


def _group(
    topology: Topology,
    name: str,
    voters: tuple[StoreSite, ...],
    followers: list[StoreSite],
    ttl_ms: int,
) -> Group:
    ids = tuple(store.id for store in voters)
    return Group(
        name=name,
        stores=ids,
        followers=tuple(store.id for store in followers),
        ttl_ms=max(ttl_ms, ttl_needed_ms(topology.quorum_round_trip_ms(ids))),
    )


def _by_zone(stores: tuple[StoreSite, ...]) -> tuple[StoreSite, ...]:
    """Order stores so that each zone's first comes before any zone's second."""
    seen: dict[str, int] = {}
    ranked = []
    for store in stores:
        seen[store.zone] = seen.get(store.zone, 0) + 1
        ranked.append((seen[store.zone], store))
    return tuple(store for _, store in sorted(ranked, key=lambda pair: pair[0]))


def _odd(count: int) -> int:
    """Give the greatest odd number that is at most `count` and at most `VOTERS_MAX`."""
    return min(VOTERS_MAX, count - 1 + count % 2)
