"""Reading rollouts: all of them, and one. Any node answers, from its region's copy."""

from __future__ import annotations

from aiohttp import web

from config.rollout import Rollout
from controlplane.api.edge import Edge
from controlplane.api.paging import page
from controlplane.api.parameters import LIST_PARAMETERS, NO_PARAMETERS
from controlplane.api.responses import json_response
from controlplane.api.rollout_orders import number_in_path
from controlplane.api.rollout_stream import rollout_here
from controlplane.api.rollout_views import RolloutDocument, freezes_in, rollout_document
from controlplane.problems import RequestRefused


async def list_rollouts(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/rollouts: those that are remembered, the newest first."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    rollouts = [rollout for rollout, _ in edge.service.rollouts()]
    freezes = freezes_in(edge.service.documents())

    def shown(rollout: Rollout) -> RolloutDocument:
        return rollout_document(rollout, freezes)

    return json_response(page(rollouts, _place, "rollouts", found, shown))


async def get_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/rollouts/{rollout}: how far it is."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    number = number_in_path(request)
    rollout = rollout_here(edge, number)
    if rollout is None:
        raise RequestRefused("unknown-rollout", f"there is no rollout {number}, or none is kept")
    return json_response(rollout_document(rollout, freezes_in(edge.service.documents())))


def _place(rollout: Rollout) -> str:
    """The number, as a name that sorts the other way round."""
    return f"{10**15 - rollout.id:016}"
