"""GET /v1/route: where a key lives, and where to go with a request for it.

The second busiest path: read by hand, no model in between, nothing computed that was not asked for.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from controlplane.api.documents import Route, TargetDocument, leader_hint, replica_document
from controlplane.api.edge import Edge
from controlplane.api.kv_request import MAX_STALENESS, POSITION, check_key, position_of
from controlplane.api.parameters import Parameter, Parameters
from controlplane.api.responses import JSON, bytes_response, json_bytes
from controlplane.problems import RequestRefused
from controlplane.requests import LeaderHint
from controlplane.views import ReplicaView
from shards.routing import nearest

VALID_FOR_MS: Final = 2_000
"""For how long an answer is likely to stay right when the leader's lease is not known here."""

WRITE: Final = "write"
ROUTE_PARAMETERS: Final = Parameters(
    Parameter("key", "The key to find.", required=True),
    Parameter("intent", "What to do with it; read if it does not say.", choices=("read", WRITE)),
    Parameter("region", "Where the client is; the region of the answering node if not given."),
    MAX_STALENESS,
    POSITION,
)


async def resolve_key(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/route: shard, leader, and the best target for this intent and region."""
    found = ROUTE_PARAMETERS.parse(request.rel_url.raw_query_string)
    key = found["key"]
    service = edge.service
    check_key("key", key, service.limits.key_bytes_max)
    shard = edge.shard_of(key)
    view = service.shard_view(shard)
    if view is None:
        raise RequestRefused("unknown-shard", f"no shard is called {shard}")
    known = edge.dispatch.leader_of(view)
    leader = leader_hint(known) if known is not None else None
    replicas = service.replicas(shard)
    document = Route(
        shard=shard,
        epoch=leader.epoch if leader is not None else view.epoch,
        map_version=service.map_version,
        leader=leader,
        target=_target(edge, found, shard, leader, replicas),
        replicas=tuple([replica_document(shard, replica) for replica in replicas]),
        lease_remaining_ms=view.lease_remaining_ms,
        valid_for_ms=_valid_for_ms(leader, view.lease_remaining_ms),
    )
    return bytes_response(json_bytes(document), JSON)


def _target(
    edge: Edge,
    found: dict[str, object],
    shard: str,
    leader: LeaderHint | None,
    replicas: tuple[ReplicaView, ...],
) -> TargetDocument | None:
    """The leader for a write; for a read the copy in the client's region, else the leader."""
    if found.get("intent") != WRITE:
        region = found.get("region") or edge.here.region
        staleness = found.get("max_staleness_ms")
        sequence = position_of(found).get(shard, 0)
        assert isinstance(region, str)
        assert staleness is None or isinstance(staleness, int)
        near = nearest(replicas, region, staleness, sequence)
        if near is not None:
            return TargetDocument(near.node, near.region, near.url, near.role)
    if leader is None:
        return None
    return TargetDocument(leader.node, leader.region, leader.url, "leader")


def _valid_for_ms(leader: LeaderHint | None, lease_remaining_ms: int | None) -> int:
    if leader is None:
        return 0
    return VALID_FOR_MS if lease_remaining_ms is None else lease_remaining_ms
