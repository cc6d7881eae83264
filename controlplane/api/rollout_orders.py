"""Orders about rollouts: begin one, pause, resume, promote, abort, roll back.

The global leader answers; any other node passes them on to it. An order is one transition of the
record, written on the condition that nothing else was written meanwhile: of two that come at once,
one is decided anew, and told what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aiohttp import web

from config.document import Kind, kind_of, name_complaint
from config.revision import Revision
from config.rollout import Rollout
from config.rollout_orders import Order, Unfit, ordered
from config.strategy import StrategyName
from controlplane.api.edge import Edge
from controlplane.api.global_orders import at_global_leader
from controlplane.api.order_read import PRINCIPAL, OrderRead, read_order
from controlplane.api.responses import json_response
from controlplane.api.rollout_bodies import NoChoice, PauseOrder, RollbackOrder, RolloutOrder
from controlplane.api.rollout_views import freezes_in, rollout_document
from controlplane.node.load_reports import Gathered
from controlplane.problems import InputError, RequestRefused, from_refusal, invalid
from controlplane.requests import Problem, Refused
from controlplane.rollouts.beginning import Beginnings, Wish
from controlplane.rollouts.book import RolloutBook, ended
from controlplane.rollouts.notes import Ordered

ATTEMPTS_MAX: Final = 8
NUMBER_DIGITS_MAX: Final = 15


async def start_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts: have a version of a document in force everywhere, in waves."""
    order, read = await read_order(edge, request, RolloutOrder)
    if (complaint := name_complaint(order.document)) is not None:
        raise invalid(InputError(complaint, pointer="#/document"))

    async def carry_out(gathered: Gathered) -> web.Response:
        beginnings = Beginnings(edge.service, gathered)
        revision = await revision_of(edge, beginnings.book, order.document, order.version)
        wish = Wish(
            order.how(), PRINCIPAL, read.reason, _wall_ms(), order.asked(), order.queue,
            order.supersede,
        )  # fmt: skip
        return await _begin(edge, beginnings, revision, wish, read)

    return await at_global_leader(edge, request, read, carry_out)


async def pause_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts/{rollout}/pause: nothing more begins, and the bake's clock stops."""
    order, read = await read_order(edge, request, PauseOrder)
    until_ms = 0 if order.for_ms is None else _wall_ms() + order.for_ms
    return await _order(edge, request, read, Order.PAUSE, until_ms)


async def resume_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts/{rollout}/resume: go on where it was paused; approve a wave."""
    _, read = await read_order(edge, request, NoChoice)
    return await _order(edge, request, read, Order.RESUME)


async def promote_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts/{rollout}/promote: skip what is left of this wave's bake and gates."""
    _, read = await read_order(edge, request, NoChoice)
    return await _order(edge, request, read, Order.PROMOTE)


async def abort_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts/{rollout}/abort: all regions that were reached go back."""
    _, read = await read_order(edge, request, NoChoice)
    return await _order(edge, request, read, Order.ABORT)


async def roll_back(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/rollouts/{rollout}/rollback: abort it; if it is over, begin another one back."""
    order, read = await read_order(edge, request, RollbackOrder)

    async def carry_out(gathered: Gathered) -> web.Response:
        book = RolloutBook(edge.service)
        rollout, _ = await found_in(book, number_in_path(request))
        if not rollout.is_over:
            return await _ordered(edge, gathered, rollout.id, read, Order.ABORT, 0)
        version = version_before(rollout)
        revision = await revision_of(edge, book, rollout.document, version)
        how = order.how()
        is_emergency = how.name is StrategyName.EMERGENCY  # a person says why
        reason = read.reason or ("" if is_emergency else f"back from rollout {rollout.id}")
        # What made it necessary may still show in the gates: they only report.
        gates = tuple(replace(gate, dry_run=True) for gate in rollout.gates)
        wish = Wish(how, PRINCIPAL, reason, _wall_ms(), gates)
        return await _begin(edge, Beginnings(edge.service, gathered), revision, wish, read)

    return await at_global_leader(edge, request, read, carry_out)


def version_before(rollout: Rollout) -> int:
    """The version that all of its regions had before. Raises RequestRefused when they differed."""
    versions = {each.before for each in rollout.regions}
    if len(versions) > 1:
        had = ", ".join(f"{each.region} had {each.before}" for each in rollout.regions)
        detail = f"before rollout {rollout.id}, {had}: begin a rollout of the one that is meant"
        raise RequestRefused("rollout-refused", detail)
    return versions.pop() if versions else 0


async def _begin(
    edge: Edge, beginnings: Beginnings, revision: Revision, wish: Wish, read: OrderRead
) -> web.Response:
    freezes = freezes_in(edge.service.documents())
    if read.dry_run:
        planned = await beginnings.plan(revision, wish)
        return json_response(rollout_document(planned.rollout, freezes, dry_run=True))
    rollout = await beginnings.begin(revision, wish)
    headers = {"Location": f"/v1/rollouts/{rollout.id}"}
    return json_response(rollout_document(rollout, freezes), status=201, headers=headers)


async def _order(
    edge: Edge, request: web.Request, read: OrderRead, order: Order, until_ms: int = 0
) -> web.StreamResponse:
    number = number_in_path(request)

    async def carry_out(gathered: Gathered) -> web.Response:
        return await _ordered(edge, gathered, number, read, order, until_ms)

    return await at_global_leader(edge, request, read, carry_out)


async def _ordered(
    edge: Edge, gathered: Gathered, number: int, read: OrderRead, order: Order, until_ms: int
) -> web.Response:
    """Write the transition that an order is. Raises RequestRefused."""
    book = RolloutBook(edge.service)

    def change(rollout: Rollout) -> Rollout | Unfit:
        return ordered(rollout, order, PRINCIPAL, read.reason, until_ms)

    by = Ordered(PRINCIPAL, read.reason)
    after = await _written(book, number, change, gathered.epoch, by, dry_run=read.dry_run)
    freezes = freezes_in(edge.service.documents())
    return json_response(rollout_document(after, freezes, dry_run=read.dry_run))


async def _written(
    book: RolloutBook,
    number: int,
    change: Callable[[Rollout], Rollout | Unfit],
    epoch: int,
    by: Ordered,
    *,
    dry_run: bool,
) -> Rollout:
    for _ in range(ATTEMPTS_MAX):
        before, version = await found_in(book, number)
        after = change(before)
        if isinstance(after, Unfit):
            raise RequestRefused("rollout-refused", f"{after.why}; {after.hint}")
        after = ended(after, _wall_ms())
        if dry_run:
            return after
        outcome = await book.step(before, after, version, epoch, by)
        if not isinstance(outcome, Refused):
            return after
        if outcome.problem is not Problem.PRECONDITION_FAILED:
            raise from_refusal(outcome)
    raise RequestRefused("overloaded", "the rollout went on at the same moment, again and again")


async def found_in(book: RolloutBook, number: int) -> tuple[Rollout, int]:
    """A rollout with the version of its record. Raises RequestRefused (`unknown-rollout`)."""
    found = await book.rollout(number)
    if found is None:
        raise RequestRefused("unknown-rollout", f"there is no rollout {number}, or none is kept")
    return found


async def revision_of(
    edge: Edge, book: RolloutBook, document: str, version: int | None
) -> Revision:
    """What is to be rolled out; version 0 is the default, or that there is none. Raises
    RequestRefused."""
    default = edge.service.documents().copy(()).get(document)
    if version == 0:
        return default or Revision(document, 0, b"", deleted=True)
    found = await book.revision(document, version)
    if found is not None:
        return found
    if version is not None:
        detail = f"{document} has no version {version}, or none is kept"
        raise RequestRefused("unknown-version", detail)
    if default is None or kind_of(document) is Kind.FREE:
        raise RequestRefused("unknown-document", f"no document is called {document}")
    return default


def number_in_path(request: web.Request) -> int:
    """The rollout that the path names. Raises RequestRefused when none can be called so."""
    text = request.match_info["rollout"]
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise invalid(InputError("must be the number of a rollout", parameter="rollout"))
    return int(text)


def _wall_ms() -> int:
    return int(time.time() * 1_000)
