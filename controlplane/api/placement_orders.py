"""Carrying out a plan: begun, looked at, held up. The global leader answers; others pass it on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.drain_orders import DrainDocument, drain_document
from controlplane.api.edge import Edge
from controlplane.api.global_orders import at_global_leader
from controlplane.api.order_read import PRINCIPAL, OrderRead, read_order
from controlplane.api.parameters import NO_PARAMETERS
from controlplane.api.placement_inputs import gathered_at
from controlplane.api.responses import json_response
from controlplane.node.load_reports import Gathered
from controlplane.planning.drain_facts import drain_facts
from controlplane.planning.order_book import Book, OrderBook, is_outdated
from controlplane.planning.orders import Order, OrderState, Pause, ShardMove
from controlplane.planning.planner import Planned, Planner
from controlplane.planning.proceedings import Released
from controlplane.problems import RequestRefused, from_refusal
from controlplane.requests import Refused

PAUSE_MS: Final = 3_600_000
PAUSE_MS_MAX: Final = 30 * 86_400_000
CHANGED_SHOWN_MAX: Final = 20

_MODEL: Final = ConfigDict(frozen=True, extra="forbid", strict=True)


class ApplyOrder(BaseModel):
    """The hash of the plan that is to be carried out."""

    model_config = _MODEL

    plan: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PauseOrder(BaseModel):
    """How long nothing is to be moved; it ends by itself."""

    model_config = _MODEL

    for_ms: int = Field(default=PAUSE_MS, ge=1_000, le=PAUSE_MS_MAX)


class ResumeOrder(BaseModel):
    """Nothing can be chosen about going on."""

    model_config = _MODEL


class ReleaseOrder(BaseModel):
    """Nothing can be chosen about letting go of the brake."""

    model_config = _MODEL


@dataclass(frozen=True, slots=True)
class OrderDocument:
    """A plan that is or was carried out, and how far it is."""

    number: int
    plan: str
    principal: str
    reason: str
    wall_ms: int
    state: str
    total: int
    done: int
    moved: int
    skipped: tuple[dict[str, str], ...]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PauseDocument:
    """Until when nothing is moved."""

    until_wall_ms: int
    principal: str
    reason: str


@dataclass(frozen=True, slots=True)
class AdmissionDocument:
    """What the global leader lets move.

    `cold`: it does not know the fleet yet, and moves nothing optional. `braked`: nodes that had
    been given shards went down (`crashes`), so what was moved of late stays. `waits_for`: what
    holds the next move of a plan up. `suspects` are given nothing.
    """

    cold: bool
    braked: bool
    crashes: int
    in_flight: int
    suspects: tuple[str, ...]
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class HotPartitionDocument:
    """A shard that stays hot, since no split would help: `partition` carries `share` of its load.

    `by`: what is hot about it, `requests` or `bytes`.
    """

    shard: str
    partition: str
    share: float
    by: str


@dataclass(frozen=True, slots=True)
class PlacementDocument:
    """What is being carried out, if anything, whether it is held up, what cannot be helped, and how
    many copies rest, since they save less than they cost."""

    order: OrderDocument | None
    pause: PauseDocument | None
    drains: tuple[DrainDocument, ...]
    admission: AdmissionDocument
    hot_partitions: tuple[HotPartitionDocument, ...]
    copies_resting: int


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """Every order that is remembered, the newest first."""

    items: tuple[OrderDocument, ...]


async def get_placement(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/placement: what is being moved at present."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    elsewhere = await gathered_at(edge, request)
    if isinstance(elsewhere, web.StreamResponse):
        return elsewhere
    book = await OrderBook(edge.service).read()
    return json_response(_placement_document(edge, elsewhere, book))


async def list_orders(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/placement/history: plans that were carried out."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    elsewhere = await gathered_at(edge, request)
    if isinstance(elsewhere, web.StreamResponse):
        return elsewhere
    orders = await OrderBook(edge.service).orders()
    return json_response(OrderHistory(tuple(_order_document(order) for order in orders)))


async def apply_plan(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/apply: carry out exactly the plan of this hash, or nothing."""
    order, read = await read_order(edge, request, ApplyOrder)

    async def carry_out(_: Gathered) -> web.Response:
        async with edge.planner.ordering:
            return await _apply(edge, order.plan, read)

    return await at_global_leader(edge, request, read, carry_out)


async def _apply(edge: Edge, plan: str, read: OrderRead) -> web.Response:
    book = await OrderBook(edge.service).read()
    if book.order is not None and book.order.state is OrderState.CARRYING:
        return _busy(book.order, plan)
    planned = edge.planner.kept(plan)
    if planned is None:
        raise RequestRefused(
            "unknown-plan", "this node knows no plan of this hash; make one, then apply it"
        )
    _check(edge, planned)
    return await _begin(edge, planned, book, read)


async def pause_placement(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/pause: move nothing for a while."""
    order, read = await read_order(edge, request, PauseOrder)

    async def carry_out(gathered: Gathered) -> web.Response:
        until_ms = int(time.time() * 1000) + order.for_ms
        return await _hold(edge, gathered, Pause(until_ms, PRINCIPAL, read.reason), read)

    return await at_global_leader(edge, request, read, carry_out)


async def resume_placement(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/resume: go on with what was held up."""
    _, read = await read_order(edge, request, ResumeOrder)

    async def carry_out(gathered: Gathered) -> web.Response:
        return await _hold(edge, gathered, None, read)

    return await at_global_leader(edge, request, read, carry_out)


async def release_brake(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/release: what went down so far pulls the brake no more."""
    _, read = await read_order(edge, request, ReleaseOrder)

    async def carry_out(gathered: Gathered) -> web.Response:
        book, planner = OrderBook(edge.service), edge.planner
        if not read.dry_run:
            known = await book.brake()
            _raise_refusal(await book.release(known, PRINCIPAL, read.reason))
            planner.admission.step(Released(), planner.now_ms)
        return json_response(_placement_document(edge, gathered, await book.read()))

    return await at_global_leader(edge, request, read, carry_out)


def _busy(order: Order, plan: str) -> web.Response:
    """The same plan is under way already; another one has to wait. Raises RequestRefused."""
    if order.plan == plan:
        return json_response(_order_document(order))
    raise RequestRefused(
        "placement-busy",
        f"order {order.number} has {order.total - order.next} moves to go",
        more={"order": _order_document(order)},
    )


def _check(edge: Edge, planned: Planned) -> None:
    """Refuse what cannot be carried out, or not any more. Raises RequestRefused."""
    if not planned.is_real:
        raise RequestRefused("not-appliable", "this plan is of a fleet that is not there: what_if")
    if not planned.moves:
        raise RequestRefused("not-appliable", "this plan moves nothing")
    changed = [move.shard for move in planned.moves if _is_changed(edge, move)]
    if changed or edge.service.documents().position != planned.position:
        what = f"shards: {', '.join(changed[:CHANGED_SHOWN_MAX])}" if changed else "documents"
        raise RequestRefused(
            "plan-outdated",
            f"since it was made, the fleet has changed ({what}); plan again",
            more={"shards": changed[:CHANGED_SHOWN_MAX]},
        )


def _is_changed(edge: Edge, move: ShardMove) -> bool:
    row, view = edge.service.map_row(move.shard), edge.service.shard_view(move.shard)
    if row is None or view is None or view.leader is None:
        return True
    return row.revision != move.version or view.leader.region != move.from_region


async def _begin(edge: Edge, planned: Planned, book: Book, read: OrderRead) -> web.Response:
    number = 1 if book.order is None else book.order.number + 1
    now_ms = int(time.time() * 1000)
    order = Order(
        number, planned.hash, PRINCIPAL, read.reason, now_ms, OrderState.CARRYING,
        len(planned.moves),
    )  # fmt: skip
    if read.dry_run:
        return json_response(_order_document(order, dry_run=True))
    refused = await OrderBook(edge.service).begin(order, planned.moves, book)
    if refused is not None and is_outdated(refused):
        raise RequestRefused("placement-busy", "another plan was begun at the same moment")
    _raise_refusal(refused)
    return json_response(_order_document(order), status=202)


async def _hold(
    edge: Edge, gathered: Gathered, pause: Pause | None, read: OrderRead
) -> web.Response:
    book = OrderBook(edge.service)
    if not read.dry_run:
        _raise_refusal(await book.pause(pause, PRINCIPAL, read.reason))
    known = await book.read()
    shown = Book(known.order, known.order_version, pause)
    return json_response(_placement_document(edge, gathered, shown))


def _raise_refusal(refused: Refused | None) -> None:
    if refused is not None:
        raise from_refusal(refused)


def _placement_document(edge: Edge, gathered: Gathered, book: Book) -> PlacementDocument:
    pause = None
    if book.pause is not None and book.pause.until_wall_ms > time.time() * 1000:
        pause = PauseDocument(book.pause.until_wall_ms, book.pause.principal, book.pause.reason)
    order = _order_document(book.order) if book.order is not None else None
    hot = tuple(
        HotPartitionDocument(each.shard, each.partition, each.share, each.measure)
        for each in edge.planner.resharder.hot_partitions
    )
    records = edge.service.copies().values()
    resting = sum(state.rests for each in records for state in each.states.values())
    return PlacementDocument(
        order, pause, _drains(edge, gathered), _admission(edge.planner), hot, resting
    )


def _drains(edge: Edge, gathered: Gathered) -> tuple[DrainDocument, ...]:
    fleet, service = edge.service.fleet(), edge.service
    return tuple(
        drain_document(edge, drain, drain_facts(service, gathered, drain, fleet))
        for drain, _ in service.drains()
        if drain.is_on
    )


def _admission(planner: Planner) -> AdmissionDocument:
    standing = planner.admission.standing(planner.now_ms)
    waits_for = planner.waits_for
    return AdmissionDocument(
        standing.is_cold, standing.is_braked, standing.crashes, standing.in_flight,
        standing.suspects, None if waits_for is None else waits_for.value,
    )  # fmt: skip


def _order_document(order: Order, *, dry_run: bool = False) -> OrderDocument:
    return OrderDocument(
        order.number, order.plan, order.principal, order.reason, order.wall_ms,
        order.state.value, order.total, order.next, order.moved,
        tuple({"shard": shard, "why": why.value} for shard, why in order.skipped), dry_run,
    )  # fmt: skip
