"""GET /v1/route: where a key lives, and where to go with a request for it.

The second busiest path: read by hand, no model in between, put together from pieces, and given
again for a moment to those who ask the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from aiohttp import web

from controlplane.api.documents import TargetDocument
from controlplane.api.edge import Edge
from controlplane.api.kv_request import MAX_STALENESS, POSITION, check_key, position_of
from controlplane.api.parameters import Parameter, Parameters
from controlplane.api.reply import Reply
from controlplane.api.responses import JSON_LINE, json_bytes
from controlplane.problems import RequestRefused
from controlplane.requests import LeaderHint
from controlplane.views import ReplicaView
from shards.position import encode_one, sequence_of
from shards.routing import nearest

VALID_FOR_MS: Final = 2_000
"""For how long an answer is likely to stay right when the leader's lease is not known here."""
PIECES_MAX: Final = 32_768
"""How many pieces of answers are kept: a few for each node, and one for each shard."""

WRITE: Final = "write"
LEADER: Final = "leader"
ROUTE_PARAMETERS: Final = Parameters(
    Parameter("key", "The key to find.", required=True),
    Parameter("intent", "What to do with it; read if it does not say.", choices=("read", WRITE)),
    Parameter("region", "Where the client is; the region of the answering node if not given."),
    MAX_STALENESS,
    POSITION,
)


async def resolve_key(edge: Edge, request: web.Request) -> Reply:
    """GET /v1/route: shard, leader, and the best target for this intent and region."""
    found = ROUTE_PARAMETERS.parse(request.rel_url.raw_query_string)
    check_key("key", found["key"], edge.service.limits.key_bytes_max)
    shard = edge.shard_of(found["key"])
    if "position" in found or "max_staleness_ms" in found or edge.dispatch.has_hints:
        return Reply(JSON_LINE, _answer(edge, found, shard))
    kept, service = edge.kept_routes, edge.service
    question = (shard, found.get("intent"), found.get("region"))
    body = kept.get(question, (service.map_version, service.leadership_revision))
    if body is None:
        body = _answer(edge, found, shard)
        kept.keep(question, body)
    return Reply(JSON_LINE, body)


def _answer(edge: Edge, found: Mapping[str, Any], shard: str) -> bytes:
    """The answer as JSON. Ages and leases are as they will be when it is dropped at the latest."""
    view = edge.service.shard_view(shard)
    if view is None:
        raise RequestRefused("unknown-shard", f"no shard is called {shard}")
    leader = edge.dispatch.hint_of(view)
    replicas = edge.service.replicas(shard)
    target = _target(edge, found, shard, leader, replicas)
    kept_ms = edge.kept_routes.kept_ms
    lease_ms = view.lease_remaining_ms
    if lease_ms is not None:
        lease_ms = max(0, lease_ms - kept_ms)
    return ROUTE % (
        _quoted(shard),
        view.epoch if leader is None else leader.epoch,
        edge.service.map_version,
        NULL if leader is None else _leader(leader.node, leader.region, leader.url, leader.epoch),
        NULL if target is None else _place(*target) + b"}",
        b",".join([_replica(shard, each, kept_ms, edge.here.lineage) for each in replicas]),
        _number(lease_ms),
        _valid_for_ms(leader, lease_ms),
    )


def _target(
    edge: Edge,
    found: Mapping[str, Any],
    shard: str,
    leader: LeaderHint | None,
    replicas: tuple[ReplicaView, ...],
) -> tuple[str, str, str, str] | None:
    """The leader for a write; for a read the copy in the client's region, else the leader."""
    sequence = sequence_of(position_of(found, edge.here.lineage), shard)
    if found.get("intent") != WRITE:
        region = found.get("region") or edge.here.region
        near = nearest(replicas, region, found.get("max_staleness_ms"), sequence)
        if near is not None:
            return near.node, near.region, near.url, near.role
    if leader is None:
        return None
    return leader.node, leader.region, leader.url, LEADER


def _valid_for_ms(leader: LeaderHint | None, lease_remaining_ms: int | None) -> int:
    if leader is None:
        return 0
    return VALID_FOR_MS if lease_remaining_ms is None else lease_remaining_ms


# ---------------------------------------------------------------- pieces of JSON
# Nodes, and who leads, hardly ever change: these pieces are made once and used again. What they
# add up to is a `controlplane.api.documents.Route`, which the tests hold them to.

NULL: Final = b"null"
ROUTE: Final = (
    b'{"shard":%b,"epoch":%d,"map_version":%d,"leader":%b,"target":%b,"replicas":[%b],'
    b'"lease_remaining_ms":%b,"valid_for_ms":%d}'
)


@lru_cache(maxsize=PIECES_MAX)
def _quoted(text: str) -> bytes:
    return json_bytes(text)


@lru_cache(maxsize=PIECES_MAX)
def _leader(node: str, region: str, url: str, epoch: int) -> bytes:
    return json_bytes(LeaderHint(node, region, url, epoch))


@lru_cache(maxsize=PIECES_MAX)
def _place(node: str, region: str, url: str, role: str) -> bytes:
    """A place and its role, still open at the end."""
    return json_bytes(TargetDocument(node, region, url, role))[:-1]


def _replica(shard: str, view: ReplicaView, kept_ms: int, lineage: int) -> bytes:
    at, age_ms = view.position, view.staleness_ms
    if age_ms is not None and view.role != LEADER:
        age_ms += kept_ms
    return b'%b,"position":%b,"staleness_ms":%b}' % (
        _place(view.node, view.region, view.url, view.role),
        NULL if at is None else b'"%b"' % encode_one(shard, at, lineage).encode(),
        _number(age_ms),
    )


def _number(number: int | None) -> bytes:
    return NULL if number is None else b"%d" % number
