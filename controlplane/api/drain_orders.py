"""Orders to empty a node, a zone or a region of leaders, to let it lead again, and the question
whether a node can be stopped. The global leader answers; others pass it on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from config.document import Kind
from controlplane.api.body import Name
from controlplane.api.edge import Edge
from controlplane.api.global_orders import at_global_leader
from controlplane.api.order_read import PRINCIPAL, OrderRead, read_order
from controlplane.api.responses import json_response
from controlplane.node.drains import Drain, DrainState, Scope, drain_key
from controlplane.node.load_reports import Gathered
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.drain_checks import Refused as DrainRefused
from controlplane.planning.drain_checks import check_begin, check_end, is_same, place_text
from controlplane.planning.drain_facts import DrainFacts, drain_facts, voting_regions
from controlplane.planning.limits import Limits, limits_of
from controlplane.planning.order_book import is_outdated
from controlplane.planning.order_notes import promise_note
from controlplane.planning.pace import needed_per_minute, soonest_ms
from controlplane.planning.stopping import Promise, Reason, in_force, obstacles, with_promise
from controlplane.problems import RequestRefused, from_refusal
from controlplane.requests import Refused
from controlplane.views import NodeView

DEADLINE_MS_MAX: Final = 30 * 86_400_000
PROMISE_MS: Final = 600_000
PROMISE_MS_MAX: Final = 86_400_000

_MODEL: Final = ConfigDict(frozen=True, extra="forbid", strict=True)


class DrainOrder(BaseModel):
    """How fast, and how gently, a node is to be emptied of leaders.

    `added_p99_ms`: by how much the 99th percentile of writes may grow meanwhile.
    """

    model_config = _MODEL

    deadline_ms: int | None = Field(default=None, ge=1_000, le=DEADLINE_MS_MAX)
    added_p99_ms: int | None = Field(default=None, ge=1, le=600_000)


class RegionDrainOrder(DrainOrder):
    """The same of a region, or of one zone of it."""

    zone: Name | None = None


class RegionUndrainOrder(BaseModel):
    """A region that is to lead again, or one zone of it."""

    model_config = _MODEL

    zone: Name | None = None


class StopOrder(BaseModel):
    """For how long the promise holds that a node can be stopped; 0 takes it back."""

    model_config = _MODEL

    promise_ms: int = Field(default=PROMISE_MS, ge=0, le=PROMISE_MS_MAX)


@dataclass(frozen=True, slots=True)
class DrainDocument:
    """A place that is to lead nothing, and how far it is.

    `left` it still leads, of which `stays` can be led by nobody else; of `canaries` it may lead
    all the same. `eta_ms`: until nothing else
    is left, at `per_minute`; null when it does not go on, for the reason in `waits_for`.
    """

    scope: str
    name: str
    within: str
    state: str
    principal: str
    reason: str
    began_wall_ms: int
    deadline_wall_ms: int | None
    added_p99_ms: int | None
    ended_wall_ms: int | None
    total: int
    left: int
    stays: int
    per_minute: float | None
    eta_ms: int | None
    waits_for: str | None
    canaries: tuple[str, ...]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class StopDocument:
    """Whether a node can be stopped, why not, and until when that was promised."""

    node: str
    stoppable: bool
    reasons: tuple[Reason, ...]
    promised_until_wall_ms: int | None
    dry_run: bool = False


async def drain_node(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/nodes/{node}/drain: have everything handed over that it leads."""
    node = node_in_path(edge, request)
    order, read = await read_order(edge, request, DrainOrder)
    return await _begin(edge, request, read, order, Scope.NODE, node.node, "")


async def drain_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/{region}/drain: have everything handed over that it, or a zone, leads."""
    region = request.match_info["region"]
    order, read = await read_order(edge, request, RegionDrainOrder)
    scope, name, within = _place(edge, region, order.zone)
    return await _begin(edge, request, read, order, scope, name, within)


async def undrain_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/regions/{region}/undrain: let it, or a zone of it, lead again."""
    region = request.match_info["region"]
    order, read = await read_order(edge, request, RegionUndrainOrder)
    return await end_drain(edge, request, read, *_place(edge, region, order.zone))


async def stoppable_node(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/nodes/{node}/stoppable: whether it can be stopped beside those promised before."""
    node = node_in_path(edge, request)
    order, read = await read_order(edge, request, StopOrder)

    async def carry_out(_: Gathered) -> web.Response:
        return await _promise(edge, node, order.promise_ms, read)

    return await at_global_leader(edge, request, read, carry_out)


def node_in_path(edge: Edge, request: web.Request) -> NodeView:
    """The node that the path names. Raises RequestRefused (`unknown-node`)."""
    for node in edge.service.fleet().nodes:
        if node.node == request.match_info["node"]:
            return node
    raise RequestRefused("unknown-node", "no node has this name")


def _place(edge: Edge, region: str, zone: str | None) -> tuple[Scope, str, str]:
    nodes = [node for node in edge.service.fleet().nodes if node.region == region]
    known = {each.region for each in edge.service.regions()}
    if not nodes and region not in known:
        raise RequestRefused("unknown-region", "no region has this name")
    if zone is None:
        return Scope.REGION, region, ""
    if zone not in {node.zone for node in nodes}:
        raise RequestRefused("unknown-region", f"no node of {region} stands in a zone of this name")
    return Scope.ZONE, zone, region


async def _begin(
    edge: Edge,
    request: web.Request,
    read: OrderRead,
    order: DrainOrder,
    scope: Scope,
    name: str,
    within: str,
) -> web.StreamResponse:
    async def carry_out(gathered: Gathered) -> web.Response:
        async with edge.planner.ordering:
            return await begin(gathered)

    async def begin(gathered: Gathered) -> web.Response:
        now_ms = int(time.time() * 1000)
        deadline = None if order.deadline_ms is None else now_ms + order.deadline_ms
        wanted = Drain(
            scope, name, within, DrainState.DRAINING, PRINCIPAL, read.reason, now_ms, deadline,
            order.added_p99_ms, 0,
        )  # fmt: skip
        facts = drain_facts(edge.service, gathered, wanted, edge.service.fleet())
        wanted = replace(wanted, total=len(facts.led))
        book = DrainBook(edge.service)
        records = {drain.key: (drain, version) for drain, version in await book.drains()}
        before, version = records.get(wanted.key, (None, 0))
        if before is not None and before.is_on:
            return _again(edge, wanted, before, facts)
        known = [drain for drain, _ in records.values()]
        _refuse(check_begin(wanted, facts, known, _limits(edge)))
        if read.dry_run:
            return json_response(drain_document(edge, wanted, facts, dry_run=True))
        refused = await book.put(wanted, version, before)
        if refused is not None and is_outdated(refused):
            raise RequestRefused("drain-refused", "another order about it came at the same moment")
        raise_refusal(refused)
        return json_response(drain_document(edge, wanted, facts), status=202)

    return await at_global_leader(edge, request, read, carry_out)


def _again(edge: Edge, wanted: Drain, before: Drain, facts: DrainFacts) -> web.Response:
    """The same drain is on already; one with other wishes is refused."""
    if is_same(wanted, before):
        return json_response(drain_document(edge, before, facts))
    raise RequestRefused(
        "drain-refused",
        f"{place_text(before)} is draining with another deadline or bound; undrain it first",
        more={"reason": "contradicts"},
    )


async def end_drain(
    edge: Edge, request: web.Request, read: OrderRead, scope: Scope, name: str, within: str
) -> web.StreamResponse:
    """Let a place lead again. Raises RequestRefused."""

    async def carry_out(gathered: Gathered) -> web.Response:
        book = DrainBook(edge.service)
        records = {drain.key: (drain, version) for drain, version in await book.drains()}
        before, version = records.get(drain_key(scope, name, within), (None, 0))
        now_ms = int(time.time() * 1000)
        if before is None or not before.is_on:
            over = before or Drain(
                scope, name, within, DrainState.OVER, PRINCIPAL, read.reason, now_ms, None, None, 0
            )
            _refuse(check_end(over, _known(records), edge.service.fleet().nodes))
        else:
            _refuse(check_end(before, _known(records), edge.service.fleet().nodes))
            over = replace(
                before, state=DrainState.OVER, principal=PRINCIPAL, reason=read.reason,
                ended_wall_ms=now_ms, canaries=(),
            )  # fmt: skip
            if not read.dry_run:
                raise_refusal(await book.put(over, version, before))
        facts = drain_facts(edge.service, gathered, over, edge.service.fleet())
        return json_response(drain_document(edge, over, facts, dry_run=read.dry_run))

    return await at_global_leader(edge, request, read, carry_out)


def _known(records: dict[str, tuple[Drain, int]]) -> list[Drain]:
    return [drain for drain, _ in records.values()]


async def _promise(edge: Edge, node: NodeView, for_ms: int, read: OrderRead) -> web.Response:
    book, fleet = DrainBook(edge.service), edge.service.fleet()
    now_ms = int(time.time() * 1000)
    made, version = await book.promises()
    promised = frozenset(each.node for each in in_force(made, now_ms))
    led = len(edge.service.led_by({node.node}))
    reasons = obstacles(node, fleet.nodes, voting_regions(fleet), promised, led)
    until_ms = now_ms + for_ms if for_ms and not reasons else None
    if (until_ms is not None or not for_ms) and not read.dry_run:
        new = in_force(made, now_ms, but=node.node)
        if until_ms is not None:
            new = with_promise(made, Promise(node.node, until_ms), now_ms)
        note = promise_note(node.node, made, until_ms, PRINCIPAL, read.reason)
        refused = await book.promise(new, version, note)
        if refused is not None and is_outdated(refused):
            raise RequestRefused("drain-refused", "another promise was made just now; ask again")
        raise_refusal(refused)
    return json_response(StopDocument(node.node, not reasons, reasons, until_ms, read.dry_run))


def drain_document(
    edge: Edge, drain: Drain, facts: DrainFacts, *, dry_run: bool = False
) -> DrainDocument:
    """A drain as it is at present."""
    limits, moving = _limits(edge), len(facts.led - facts.stays)
    allowed = facts.allowed_per_minute(limits, drain)
    deadline = drain.deadline_wall_ms
    ms_left = None if deadline is None else deadline - int(time.time() * 1000)
    rate = needed_per_minute(moving, ms_left, allowed) if moving else allowed
    eta_ms = soonest_ms(moving, rate)
    if ms_left is not None:  # done by then, if that can be kept
        eta_ms = min(eta_ms, max(ms_left, soonest_ms(moving, allowed)))
    waits_for = edge.planner.draining.waits_for(drain) if drain.is_on else None
    goes_on = drain.state is DrainState.DRAINING and waits_for is None
    return DrainDocument(
        drain.scope.value, drain.name, drain.within, drain.state.value, drain.principal,
        drain.reason, drain.began_wall_ms, deadline, drain.added_p99_ms, drain.ended_wall_ms,
        drain.total, len(facts.led), len(facts.stays), round(rate, 1) if goes_on else None,
        eta_ms if goes_on else None,
        None if waits_for is None else waits_for.value, drain.canaries, dry_run,
    )  # fmt: skip


def _limits(edge: Edge) -> Limits:
    return limits_of(edge.service.documents().content(Kind.PLACEMENT))


def _refuse(refused: DrainRefused | None) -> None:
    if refused is None:
        return
    more: dict[str, object] = {"reason": refused.why.value}
    if refused.soonest_ms is not None:
        more["soonest_ms"] = refused.soonest_ms
    raise RequestRefused("drain-refused", refused.detail, more=more)


def raise_refusal(refused: Refused | None) -> None:
    """Raises RequestRefused if the system shard refused."""
    if refused is not None:
        raise from_refusal(refused)
