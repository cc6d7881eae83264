"""A fleet on paper: three regions, two nodes each, twelve shards, as the API would show it."""

from __future__ import annotations

from typing import Any

from controlplane.api.documents import (
    Route,
    TargetDocument,
    replica_document,
    shard_document,
    status_document,
)
from controlplane.api.service import RegionDocument
from controlplane.requests import LeaderHint
from controlplane.views import FleetView, GroupView, NodeView, ReplicaView, ShardView, StoreView

REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-1")
SLOTS = 1 << 24
SHARDS = 12


def node_id(index: int) -> str:
    """The name of the n-th node."""
    return f"{REGIONS[index // 2]}-n{index % 2 + 1}"


def leader(index: int, url: str) -> LeaderHint:
    """Who leads the n-th shard."""
    node = index % 6
    return LeaderHint(node_id(node), REGIONS[node // 2], url, 3 + index)


def shard_view(index: int, url: str) -> ShardView:
    """The n-th shard."""
    wide = index % 2 == 0
    region = REGIONS[(index % 6) // 2]
    return ShardView(
        shard=f"s{index:02}",
        group="global" if wide else f"region/{region}",
        goal="region" if wide else "zone",
        first_slot=index * SLOTS // SHARDS,
        end_slot=(index + 1) * SLOTS // SHARDS,
        regions=REGIONS if wide else (region,),
        epoch=3 + index,
        leader=leader(index, url),
        state="led",
        why="",
        lease_remaining_ms=1480 if index == 0 else None,
        position=4711 if index == 0 else None,
        size_bytes=123_456 if index == 0 else None,
    )


def replicas(url: str) -> tuple[ReplicaView, ...]:
    """A leader and two followers."""
    return (
        ReplicaView(node_id(0), REGIONS[0], url, "leader", 4711, 0),
        ReplicaView(node_id(2), REGIONS[1], url, "follower", 4711, 212),
        ReplicaView(node_id(4), REGIONS[2], url, "follower", None, None),
    )


def stores() -> tuple[StoreView, ...]:
    """Nine stores, one of them down."""
    found = []
    for region in REGIONS:
        for zone in "abc":
            down = (region, zone) == (REGIONS[2], "c")
            found.append(
                StoreView(
                    store=f"{region}-{zone}",
                    region=region,
                    zone=zone,
                    groups=("global", f"region/{region}") if zone == "a" else (f"region/{region}",),
                    state="down" if down else "up",
                    why="connection refused" if down else "",
                    opseq=0 if down else 10_000,
                    round_trip_ms=None if down else 1,
                    silent_ms=8_000 if down else 120,
                )
            )
    return tuple(found)


def fleet_view(url: str) -> FleetView:
    """What the first node knows."""
    groups = [GroupView("global", tuple(f"{r}-a" for r in REGIONS), (), 2, 3, 1, 6_000, 7, 7)]
    for number, region in enumerate(REGIONS):
        voters = tuple(f"{region}-{zone}" for zone in "abc")
        followers = tuple(f"{r}-a" for r in REGIONS if r != region)
        up = 2 if number == 2 else 3
        groups.append(GroupView(f"region/{region}", voters, followers, 2, up, up - 2, 2_000, 2, 2))
    return FleetView(
        node=node_id(0),
        region=REGIONS[0],
        global_leader=LeaderHint(node_id(0), REGIONS[0], url, 7),
        map_version=1,
        leadership_revision=42,
        groups=tuple(groups),
        stores=stores(),
        nodes=tuple(
            NodeView(node_id(n), REGIONS[n // 2], url, n != 5, 9_000 if n == 5 else 80, 2)
            for n in range(6)
        ),
        shards_total=13,
        shards_led=13,
        shards_here=3,
    )


def regions() -> tuple[RegionDocument, ...]:
    """The three regions."""
    return tuple(
        RegionDocument(name, f"Somewhere in {name[:2]}", 50.0, 8.0, ("a", "b", "c"), {}, {})
        for name in REGIONS
    )


def documents(url: str) -> dict[str, Any]:
    """What the API answers, by path."""
    view = fleet_view(url)
    status = status_document(view, regions())
    shards = [shard_document(shard_view(n, url)) for n in range(SHARDS)]
    copies = tuple(replica_document("s00", replica) for replica in replicas(url))
    target = TargetDocument(node_id(2), REGIONS[1], url, "follower")
    return {
        "/v1/status": status,
        "/v1/shards": {"items": shards},
        "/v1/shards/s00": shard_document(shard_view(0, url), copies),
        "/v1/nodes": {"items": view.nodes},
        f"/v1/nodes/{node_id(0)}": view.nodes[0],
        "/v1/regions": {"items": status.regions},
        f"/v1/regions/{REGIONS[0]}": status.regions[0],
        "/v1/route": Route("s00", 3, 1, leader(0, url), target, copies, 1_480, 1_000),
    }
