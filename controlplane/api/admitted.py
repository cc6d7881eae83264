"""Moves that people order, admitted at the global leader: at once within its limits, or refused.

The global leader judges the move (controlplane/planning/admission), has the shard's leader make it,
and tells the admission what came of it. The shard's leader asks nobody: to it the order comes with
`force`, which is also how an operator does without any admission.
"""

from __future__ import annotations

import time
from typing import NoReturn

import orjson
from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.order_read import PRINCIPAL
from controlplane.api.responses import json_response
from controlplane.planning.gathering import nodes_seen
from controlplane.planning.moving import MovedOf
from controlplane.planning.proceedings import Arrived, Began, Withdrawn
from controlplane.planning.reasons import Hindrance, MoveKind, Wanted
from controlplane.problems import RequestRefused
from controlplane.requests import Transfer, Transferred
from controlplane.views import NodeView, ShardView

TRANSFERRED = 200


def admit(edge: Edge, view: ShardView, heir: NodeView) -> Wanted:
    """The move to this node, if nothing speaks against it now. Raises RequestRefused."""
    leader = view.leader
    if leader is None:
        raise RequestRefused("no-leader", f"nobody leads shard {view.shard}: {view.why}")
    wanted = Wanted(
        view.shard, view.group, MoveKind.OPERATOR, leader.node, leader.region, heir.region,
        heir.node,
    )  # fmt: skip
    planner = edge.planner
    planner.admission.step(nodes_seen(edge.service, edge.service.fleet()), planner.now_ms)
    why = planner.admission.judge(wanted, planner.now_ms)
    if why is not None:
        refuse(why, f"shard {view.shard} is not handed to {heir.node}: {why.value}")
    return wanted


def refuse(why: Hindrance, detail: str) -> NoReturn:
    """Say no to a move, and why."""
    raise RequestRefused("move-refused", detail, more={"reason": why.value})


async def make(edge: Edge, request: web.Request, wanted: Wanted, reason: str) -> web.Response:
    """Have an admitted move made by the leader of its shard. Raises RequestRefused."""
    planner, shard = edge.planner, wanted.shard
    question = Transfer(shard, wanted.to_node, PRINCIPAL, reason)
    body = orjson.dumps({"to_node": wanted.to_node, "force": True})
    planner.admission.step(Began(wanted), planner.now_ms)
    try:
        path = f"/v1/shards/{shard}/transfer"
        outcome = await edge.ask(request, shard, question, body=body, own_path=path)
    except BaseException:
        planner.admission.step(Withdrawn(shard), planner.now_ms)
        raise
    if isinstance(outcome, web.Response) and outcome.status != TRANSFERRED:
        planner.admission.step(Withdrawn(shard), planner.now_ms)
        return outcome
    planner.admission.step(Arrived(shard, wanted.to_node), planner.now_ms)
    planner.to_remember.append(MovedOf(shard, int(time.time() * 1_000), wanted.to_region))
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Transferred), outcome
    return json_response(outcome)
