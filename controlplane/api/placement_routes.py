"""The routes of placement: what it rests on, plans, and carrying them out."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from controlplane.api import placement_inputs, placement_orders, placement_plans
from controlplane.api.edge import Handler
from controlplane.api.headers import IDEMPOTENCY_KEY, PASSED_ON
from controlplane.api.parameters import (
    LIST_PARAMETERS,
    NO_PARAMETERS,
    ORDER_PARAMETERS,
    Parameters,
)
from controlplane.api.placement_orders import OrderDocument, OrderHistory, PlacementDocument
from controlplane.api.placement_plans import ExplanationDocument, PlanDocument, PlanOrder
from controlplane.api.route import Answer, Endpoint, Needs, Raw
from regions.latency_matrix import Distance

GATHERED: Final = ("invalid", "no-leader", "no-member", "leader-unreachable")
KEPT: Final = (*GATHERED, "no-quorum", "overloaded", "not-ready", "stale", "unknown-shard")
SENT: Final = ("too-large", "request-timeout", "unsupported-media-type")
PLANNED: Final = (*GATHERED, *SENT, "no-placement", "not-appliable", "planning-failed")
ORDERED: Final = (
    *KEPT, *SENT, "unknown-plan", "plan-outdated", "not-appliable", "placement-busy",
    "quota-exceeded", "store-full", "transferring", "unknown-outcome", "idempotency-mismatch",
)  # fmt: skip


def _read(
    path: str, handler: Handler, summary: str, model: Any, problems: tuple[str, ...], **more: Any
) -> Endpoint:
    parameters = more.pop("parameters", NO_PARAMETERS)
    return Endpoint(
        "GET", path, handler, summary, "placement", Needs.READER,
        (Answer(200, summary, model, **more),), problems, parameters, PASSED_ON,
    )  # fmt: skip


def _ordered(
    act: str, handler: Handler, summary: str, body: type[BaseModel], *answers: Answer
) -> Endpoint:
    return Endpoint(
        "POST", f"/v1/placement/{act}", handler, summary, "placement", Needs.OPERATOR, answers,
        ORDERED, ORDER_PARAMETERS, (IDEMPOTENCY_KEY, *PASSED_ON), body,
    )  # fmt: skip


def _planned(
    act: str, handler: Handler, summary: str, answer: Answer, parameters: Parameters
) -> Endpoint:
    return Endpoint(
        "POST", f"/v1/placement/{act}", handler, summary, "placement", Needs.READER, (answer,),
        PLANNED, parameters, PASSED_ON, PlanOrder,
    )  # fmt: skip


PLACEMENT: Final = (
    _read(
        "/v1/placement",
        placement_orders.get_placement,
        "What is being moved at present, and whether it is held up",
        PlacementDocument,
        KEPT,
    ),
    _read(
        "/v1/placement/load",
        placement_inputs.list_load,
        "What clients ask of each shard, and from where, as the global leader was told",
        placement_inputs.ShardLoadRow,
        GATHERED,
        listed=True,
        parameters=placement_inputs.LOAD_PARAMETERS,
    ),
    _read(
        "/v1/placement/latency",
        placement_inputs.list_latency,
        "Round trips between regions: measured, set, expected",
        Distance,
        GATHERED,
        listed=True,
        parameters=LIST_PARAMETERS,
    ),
    _read(
        "/v1/placement/history",
        placement_orders.list_orders,
        "Plans that were carried out, the newest first",
        OrderHistory,
        KEPT,
    ),
    _planned(
        "plan",
        placement_plans.make_plan,
        "Where every shard should be led, and what that would save",
        Answer(200, "The plan; nothing has moved.", PlanDocument),
        NO_PARAMETERS,
    ),
    _planned(
        "picture",
        placement_plans.draw_plan,
        "The plan as a picture",
        Answer(200, "An SVG image.", None, (Raw.SVG,)),
        placement_plans.PICTURE_PARAMETERS,
    ),
    _read(
        "/v1/shards/{shard}/explain",
        placement_plans.explain_shard,
        "Why a shard is where a plan has it, and what would move it",
        ExplanationDocument,
        (*PLANNED, "unknown-shard"),
    ),
    _ordered(
        "apply",
        placement_orders.apply_plan,
        "Carry out exactly the plan of this hash, or nothing",
        placement_orders.ApplyOrder,
        Answer(202, "Begun.", OrderDocument),
        Answer(200, "What would be begun; or it is being carried out already.", OrderDocument),
    ),
    _ordered(
        "pause",
        placement_orders.pause_placement,
        "Move nothing for a while",
        placement_orders.PauseOrder,
        Answer(200, "Held up.", PlacementDocument),
    ),
    _ordered(
        "resume",
        placement_orders.resume_placement,
        "Go on with what was held up",
        placement_orders.ResumeOrder,
        Answer(200, "Not held up.", PlacementDocument),
    ),
    _ordered(
        "release",
        placement_orders.release_brake,
        "Let go of the brake: what went down so far is not counted any more",
        placement_orders.ReleaseOrder,
        Answer(200, "Let go.", PlacementDocument),
    ),
)
