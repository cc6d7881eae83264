"""Plans of placement: made, explained, drawn. The global leader answers; others pass it on."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.body import Name, parse_model, read_body
from controlplane.api.edge import Edge
from controlplane.api.fleet_pages import shard_in_path
from controlplane.api.parameters import NO_PARAMETERS, Parameter, Parameters
from controlplane.api.placement_inputs import gathered_at
from controlplane.api.responses import json_response
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.errors import (
    HoleInMatrix,
    NoPlacement,
    NothingToPlan,
    PlanningError,
    QuestionRefused,
)
from controlplane.planning.planner import TIME_LIMIT_S, Wish
from controlplane.planning.question import ALL, LEADERS, SCOPES, Outlook
from controlplane.planning.worker import SLACK_S
from controlplane.problems import InputError, RequestRefused, invalid

FACTOR_MAX: Final = 1e6
PICTURES: Final = ("map", "frontier")
PICTURE: Final = Parameter("what", "What is drawn.", choices=PICTURES)
PICTURE_PARAMETERS: Final = Parameters(PICTURE)
SVG: Final = "image/svg+xml"

_MODEL: Final = ConfigDict(frozen=True, extra="forbid", strict=True)
Pattern = Annotated[str, Field(min_length=1, max_length=63)]


class SupposedLoad(BaseModel):
    """Load that is multiplied: of the shards of a pattern, from one region or from all (`*`)."""

    model_config = _MODEL

    shards: Pattern = "*"
    region: Pattern = "*"
    factor: float = Field(ge=0, le=FACTOR_MAX, allow_inf_nan=False)


class WhatIf(BaseModel):
    """What is supposed to be otherwise.

    `documents`: whole contents by name, null for one that is gone; `lost`: regions that are out of
    reach; `loads`: load that grows or falls.
    """

    model_config = _MODEL

    documents: dict[str, Any] = Field(default_factory=dict, max_length=100)
    lost: list[Name] = Field(default_factory=list, max_length=64)
    loads: list[SupposedLoad] = Field(default_factory=list, max_length=100)


class PlanOrder(BaseModel):
    """What is to be planned. `scope`: who leads inside the present voters, or `all`."""

    model_config = _MODEL

    what_if: WhatIf | None = None
    scope: Annotated[str, Field(pattern=f"^({'|'.join(SCOPES)})$")] = LEADERS
    time_limit_s: float = Field(default=TIME_LIMIT_S, gt=0, le=600, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """A plan: its hash, its moves in order, costs before and after, and what is left of it then."""

    plan: str
    scope: str
    hypothetical: bool
    moves: list[dict[str, Any]]
    moves_count: int
    before: dict[str, Any]
    after: dict[str, Any]
    after_losing: list[dict[str, Any]]
    moved_bytes: float
    moved_leaders: int
    gap: float | None
    """With followers, to what no leaders, voters and followers can cost less than."""
    voters_gap: float | None
    """Of leaders and voters alone."""
    bound_usd_per_month: float
    complete: bool
    seconds: float
    forecast: dict[str, float]
    """By region of origin: by how much the load it was planned for differs from the present one."""
    not_planned: list[str]
    unavailable: list[str]


@dataclass(frozen=True, slots=True)
class FollowerDocument:
    """A copy without a vote: whether it follows or rests, and what it saves and costs in a month.

    `since_ms`: for how long, null where it was never anything else.
    """

    region: str
    rests: bool
    since_ms: int | None
    reads_per_s: float
    saves_usd: float
    costs_usd: float


@dataclass(frozen=True, slots=True)
class ExplanationDocument:
    """Why one shard is where a plan has it: what was chosen, the runner-up, what would tip it."""

    shard: str
    chosen: dict[str, Any]
    runner_up: dict[str, Any] | None
    by_itself: bool
    binding: list[dict[str, Any]]
    tipping: dict[str, Any] | None
    now: str | None
    followers: tuple[FollowerDocument, ...]


async def make_plan(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/plan: where every shard should be led, and what that would save."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    wish, gathered = await _wished(edge, request)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    planned = await told(edge.planner.plan(wish, gathered))
    return json_response(planned.document)


async def draw_plan(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /v1/placement/picture: the plan as a picture."""
    found = PICTURE_PARAMETERS.parse(request.rel_url.raw_query_string)
    wish, gathered = await _wished(edge, request)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    svg = await told(edge.planner.picture(found.get("what", "map"), wish, gathered))
    return web.Response(text=svg, content_type=SVG)


async def explain_shard(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/shards/{shard}/explain: why it is there, and what would move it."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    view = shard_in_path(edge, request)
    if view.shard == SYSTEM:
        raise RequestRefused("not-appliable", "the system shard is not placed by a plan")
    patience_ms = round((TIME_LIMIT_S + SLACK_S) * 1_000)
    gathered = await gathered_at(edge, request, patience_ms=patience_ms)
    if isinstance(gathered, web.StreamResponse):
        return gathered
    explained = await told(edge.planner.explain(view.shard, Wish(ALL), gathered))
    leader = view.leader.region if view.leader is not None else None
    copies = edge.planner.followers.copies_of(view.shard, gathered, int(time.time() * 1_000))
    followers = tuple(
        FollowerDocument(
            each.region, each.rests, each.since_ms, round(each.reads_per_s, 3),
            round(each.balance.saves_usd, 4), round(each.balance.costs_usd, 4),
        )
        for each in copies
    )  # fmt: skip
    return json_response(explained | {"now": leader, "followers": followers})


async def _wished(edge: Edge, request: web.Request) -> tuple[Wish, Gathered | web.StreamResponse]:
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    order = parse_model(PlanOrder, request, body)
    patience_ms = round((order.time_limit_s + SLACK_S) * 1_000)
    return _wish(edge, order), await gathered_at(edge, request, body, patience_ms)


def _wish(edge: Edge, order: PlanOrder) -> Wish:
    supposed = order.what_if or WhatIf()
    known = edge.service.documents().regions().keys() | {
        name.removeprefix("region.") for name in supposed.documents
    }
    errors = [
        InputError("no region has this name", pointer=f"#/what_if/lost/{index}")
        for index, region in enumerate(supposed.lost)
        if region not in known
    ]
    errors += [
        InputError("no region has this name", pointer=f"#/what_if/loads/{index}/region")
        for index, load in enumerate(supposed.loads)
        if load.region not in known | {"*"}
    ]
    if errors:
        raise invalid(*errors)
    loads = tuple((load.shards, load.region, load.factor) for load in supposed.loads)
    outlook = Outlook(frozenset(supposed.lost), loads)
    return Wish(order.scope, supposed.documents, outlook, order.time_limit_s)


async def told(planning: Awaitable[Any]) -> Any:
    """What comes of planning; its failures as problems. Raises RequestRefused."""
    try:
        return await planning
    except QuestionRefused as refused:
        errors = [
            InputError(f"{each['message']}; {each['hint']}", pointer=f"#{each['pointer']}")
            for each in refused.findings
        ]
        raise invalid(*(errors or [InputError(str(refused), pointer="#")])) from None
    except HoleInMatrix as hole:
        raise invalid(InputError(str(hole), pointer="#")) from None
    except NoPlacement as error:
        more = {"conflict": error.conflict}
        raise RequestRefused("no-placement", str(error), more=more) from None
    except NothingToPlan as error:
        raise RequestRefused("not-appliable", str(error)) from None
    except PlanningError as error:
        raise RequestRefused("planning-failed", str(error)) from None
