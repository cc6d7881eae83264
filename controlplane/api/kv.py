"""Keys and values: put, get, delete and scan, served here or wherever it is possible.

Every answer says which shard, epoch and position it comes from, how old it can be at most, and who
gave it in which role. A refusal says as much of it as is known.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from aiohttp import hdrs, web

from controlplane.api.body import read_body
from controlplane.api.dispatch import HOP_HEADER
from controlplane.api.documents import ScanItem
from controlplane.api.edge import Edge
from controlplane.api.kv_request import (
    SCAN_PARAMETERS,
    WRITE_PARAMETERS,
    Freshness,
    check_key,
    check_room,
    condition_of,
    digest_of,
    freshness_of,
    idempotency_key_of,
    key_of,
    merged_token,
    position_of,
    read_freshness,
)
from controlplane.api.paging import continue_token, read_continue
from controlplane.api.reply import Reply, header_lines
from controlplane.api.responses import (
    JSON_LINE,
    OCTETS_LINE,
    empty_response,
    json_bytes,
    json_response,
)
from controlplane.api.shortcuts import Answered
from controlplane.problems import RequestRefused
from controlplane.requests import (
    Consistency,
    Delete,
    Found,
    Outcome,
    Provenance,
    Put,
    Read,
    Role,
    Scan,
    Scanned,
    Value,
    Write,
    Written,
)
from shards.keyspace import partition_of, slot_of
from shards.position import reading_from, writing_since

SCAN_LIMIT = 100
LINES_MAX = 4_096
"""How many provenances are kept as header lines: a few for each shard, and ages up to seconds."""

# What `controlplane.api.documents.WrittenDocument` is as JSON; the tests hold it to that.
WRITTEN = b'{"key":%b,"shard":%b,"epoch":%d,"version":%d,"position":"%b"}'
STATE = b'Leadplane-Position: %b\r\nLeadplane-Version: %d\r\nETag: "%d"\r\n'
REPLAYED = b"Idempotency-Replayed: true\r\n"


async def put_key(edge: Edge, request: web.Request) -> Answered:
    """PUT /v1/kv/{key}: the body becomes the value."""
    limits = edge.service.limits
    key = key_of(request, limits.key_bytes_max)
    body = await read_body(request, limits.value_bytes_max, edge.settings.body_timeout_ms)
    return await _write(edge, request, key, body, Put(partition_of(key), key, body))


async def delete_key(edge: Edge, request: web.Request) -> Answered:
    """DELETE /v1/kv/{key}: the key has no value any more; it is no error if it had none."""
    key = key_of(request, edge.service.limits.key_bytes_max)
    body = await read_body(request, 0, edge.settings.body_timeout_ms)
    return await _write(edge, request, key, body, Delete(partition_of(key), key))


async def _write(
    edge: Edge, request: web.Request, key: str, body: bytes, mutation: Put | Delete
) -> Answered:
    found = WRITE_PARAMETERS.parse(request.rel_url.raw_query_string)
    position = position_of(found, edge.here.lineage)
    condition = condition_of(request, key)
    op_id = idempotency_key_of(request)
    shard = edge.shard_of(key)
    check_room(position, shard)
    compares = (condition,) if condition is not None else ()
    if HOP_HEADER not in request.headers:
        load = edge.service.load_of(shard)
        load.writes += 1
        load.write_bytes += len(body)
    digest = digest_of(request.method, key, body, repr(compares)) if op_id else ""
    question = Write(shard, (mutation,), compares, op_id, digest, _since(edge, position, shard))
    try:
        outcome = await edge.ask(
            request, shard, question, body=body, may_proxy=found.get("proxy", True)
        )
    except RequestRefused as refused:
        _place(edge, refused, shard)
        raise
    if not isinstance(outcome, Written):
        assert isinstance(outcome, web.Response), outcome
        return outcome
    shard = outcome.shard  # another one, if it went over into others meanwhile
    token = merged_token(position, shard, outcome.position, edge.here.lineage).encode()
    version = outcome.position
    lines = b"%b%b%b%b" % (
        JSON_LINE,
        _lines(shard, outcome.epoch, 0, edge.here.node, Role.LEADER),
        STATE % (token, version, version),
        REPLAYED if outcome.replayed else b"",
    )
    written = WRITTEN % (json_bytes(key), json_bytes(shard), outcome.epoch, version, token)
    return Reply(lines, written)


async def get_key(edge: Edge, request: web.Request) -> Answered:
    """GET /v1/kv/{key}: the value as it was put."""
    key = key_of(request, edge.service.limits.key_bytes_max)
    wanted = read_freshness(request.rel_url.raw_query_string, edge.here.lineage)
    shard = edge.shard_of(key)
    check_room(wanted.position, shard)
    outcome = await _read(edge, request, shard, (key,), wanted)
    if not isinstance(outcome, Found):
        assert isinstance(outcome, web.Response), outcome
        return outcome
    value, origin = outcome.values[0], outcome.provenance
    if value is None:
        headers = _provenance(edge, origin, wanted.position)
        raise RequestRefused("no-such-key", "the key has no value", headers=headers)
    none_match = request.headers.get(hdrs.IF_NONE_MATCH)
    if none_match is not None:
        tag = f'"{value.version}"'
        if tag in none_match or none_match.strip() == "*":
            headers = _provenance(edge, origin, wanted.position)
            return empty_response(
                304, headers | {"Leadplane-Version": str(value.version), "ETag": tag}
            )
    lineage = edge.here.lineage
    token = merged_token(wanted.position, origin.shard, origin.position, lineage).encode()
    lines = b"%b%b%b" % (
        OCTETS_LINE,
        _lines(origin.shard, origin.epoch, origin.staleness_ms, edge.here.node, origin.role),
        STATE % (token, value.version, value.version),
    )
    return Reply(lines, value.data)


def _since(edge: Edge, position: Mapping[str, int], shard: str) -> int | None:
    """From when on the client knew the shard, or one that it continues."""
    if not position:
        return None
    return writing_since(position, shard, edge.service.ancestors(shard))


def _seen(edge: Edge, position: Mapping[str, int], shard: str) -> tuple[int, tuple[str, ...]]:
    """How far a copy of the shard must have come, and what else the client has seen that the map
    here does not have."""
    known = edge.service.map_row
    return reading_from(position, shard, [name for name in position if known(name) is not None])


async def _read(
    edge: Edge, request: web.Request, shard: str, keys: tuple[str, ...], wanted: Freshness
) -> Outcome | web.Response:
    sequence, beside = _seen(edge, wanted.position, shard)
    question = Read(
        shard,
        keys,
        wanted.consistency,
        wanted.max_staleness_ms,
        sequence,
        wanted.by_quorum,
        beside,
    )
    strong = None if wanted.needs_leader else Read(shard, keys)
    return await _ask(edge, request, question, strong, wanted)


async def scan_keys(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/kv: keys of one partition in byte order, page by page."""
    found = SCAN_PARAMETERS.parse(request.rel_url.raw_query_string)
    key_bytes_max = edge.service.limits.key_bytes_max
    partition, prefix = found["partition"], found.get("prefix", "")
    check_key("partition", partition, key_bytes_max)
    if prefix:
        check_key("prefix", prefix, key_bytes_max)
    scope = f"kv {partition}\0{prefix}"
    after = read_continue(found.get("continue"), scope)
    limit = found.get("limit", SCAN_LIMIT)
    wanted = freshness_of(found, edge.here.lineage)
    shard = edge.shard_of_slot(slot_of(partition))
    check_room(wanted.position, shard)
    sequence, beside = _seen(edge, wanted.position, shard)
    question = Scan(
        shard,
        partition,
        prefix,
        after,
        limit,
        wanted.consistency,
        wanted.max_staleness_ms,
        sequence,
        wanted.by_quorum,
        beside,
    )
    strong = None if wanted.needs_leader else Scan(shard, partition, prefix, after, limit)
    outcome = await _ask(edge, request, question, strong, wanted)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Scanned), outcome
    document: dict[str, Any] = {"items": [_scan_item(*item) for item in outcome.items]}
    if outcome.more and outcome.items:
        document["continue"] = continue_token(outcome.items[-1][0], scope)
    return json_response(document, headers=_provenance(edge, outcome.provenance, wanted.position))


async def _ask(
    edge: Edge,
    request: web.Request,
    question: Read | Scan,
    strong: Read | Scan | None,
    wanted: Freshness,
) -> Outcome | web.Response:
    load = None if HOP_HEADER in request.headers else edge.service.load_of(question.shard)
    if load is not None:
        load.reads += 1
    try:
        outcome = await edge.ask(
            request,
            question.shard,
            question,
            needs_leader=wanted.consistency is Consistency.STRONG,
            may_proxy=wanted.may_proxy,
            at_leader=strong,
        )
    except RequestRefused as refused:
        _place(edge, refused, question.shard)
        raise
    if load is not None:
        load.read_bytes += _size_of(outcome)
    return outcome


def _size_of(outcome: Outcome | web.Response) -> int:
    """The bytes of values that were read, here or elsewhere."""
    match outcome:
        case Found(values):
            return sum([len(value.data) for value in values if value is not None])
        case Scanned(items):
            return sum([len(value.data) for _, value in items])
        case web.Response(body=bytes() as body):
            return len(body)
    return 0


def _scan_item(key: str, value: Value) -> ScanItem:
    try:
        return ScanItem(key, value.version, value.data.decode(), "utf-8")
    except UnicodeDecodeError:
        return ScanItem(key, value.version, b64encode(value.data).decode(), "base64")


def _provenance(edge: Edge, origin: Provenance, position: Mapping[str, int]) -> dict[str, str]:
    """What an answer says of itself."""
    fields = _fields(origin.shard, origin.epoch, origin.staleness_ms, edge.here.node, origin.role)
    token = merged_token(position, origin.shard, origin.position, edge.here.lineage)
    return {**dict(fields), "Leadplane-Position": token}


def _fields(
    shard: str, epoch: int, age_ms: int | None, node: str, role: Role
) -> tuple[tuple[str, str], ...]:
    """Where an answer comes from and how old it can be; an age not known is called that."""
    return (
        ("Leadplane-Shard", shard),
        ("Leadplane-Epoch", str(epoch)),
        ("Leadplane-Staleness-Ms", str(age_ms) if age_ms is not None else "unknown"),
        ("Leadplane-Served-By", node),
        ("Leadplane-Role", role.value),
    )


@lru_cache(maxsize=LINES_MAX)
def _lines(shard: str, epoch: int, age_ms: int | None, node: str, role: Role) -> bytes:
    """The same as header lines: hardly ever new, least of all at a leader."""
    return header_lines(*_fields(shard, epoch, age_ms, node, role))


def _place(edge: Edge, refused: RequestRefused, shard: str) -> None:
    """Add to a refusal what is known of where it comes from."""
    view = edge.service.shard_view(shard)
    if view is not None:
        leads = view.leader is not None and view.leader.node == edge.here.node
        refused.headers |= {
            "Leadplane-Shard": shard,
            "Leadplane-Epoch": str(view.epoch),
            "Leadplane-Served-By": edge.here.node,
            "Leadplane-Role": "leader" if leads else "follower",
        }
