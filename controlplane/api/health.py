"""For machines that watch over this one: alive, ready, metrics; and for other nodes: messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from controlplane.api.body import parse_model, read_body
from controlplane.api.documents import Liveness, Readiness
from controlplane.api.edge import Edge
from controlplane.api.parameters import NO_PARAMETERS, Kind, Parameter, Parameters
from controlplane.api.responses import JSON, bytes_response, empty_response, json_response
from controlplane.problems import RequestRefused

RELEASE: Final = version("leadplane")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text"
OPEN_METRICS_TYPE: Final = f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"
NEVER: Final = re.compile(r"q\s*=\s*0(\.0*)?")
READY_PARAMETERS: Final = Parameters(
    Parameter("verbose", "List every check, also when all is well.", Kind.FLAG)
)


class PeerMessage(BaseModel):
    """What one node tells another. Nothing depends on its arrival."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sender: str = Field(min_length=1, max_length=128)
    message: dict[str, Any]


async def get_livez(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /livez: the process turns. Depends on nothing else."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    return json_response(Liveness("alive", edge.here.node, RELEASE))


async def get_readyz(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /readyz: clients may be sent here."""
    verbose = READY_PARAMETERS.parse(request.rel_url.raw_query_string).get("verbose", False)
    checks = edge.service.readiness()
    failed = [check for check in checks if not check.ok]
    if failed:
        detail = "; ".join(f"{check.name}: {check.why}" for check in failed)
        shown = checks if verbose else failed
        more = {"checks": [{"name": c.name, "ok": c.ok, "why": c.why} for c in shown]}
        raise RequestRefused("not-ready", detail, more=more)
    return json_response(Readiness("ready", edge.here.node, checks if verbose else None))


async def get_metrics(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /metrics: counters and gauges of this process."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    if takes_open_metrics(request.headers.getall("Accept", ())):
        return bytes_response(edge.service.metrics(exemplars=True), OPEN_METRICS_TYPE)
    return bytes_response(edge.service.metrics(), METRICS_TYPE)


def takes_open_metrics(accept: Iterable[str]) -> bool:
    """Whether these headers name OpenMetrics, and not as what is not wanted."""
    for each in ",".join(accept).lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == OPEN_METRICS:
            return not any(NEVER.fullmatch(parameter) for parameter in parameters)
    return False


async def get_openapi(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /openapi.json: the description of every route, made once."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    return bytes_response(edge.describe(), JSON)


async def take_message(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /internal/v1/peer: a message of another node."""
    NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    settings = edge.settings
    body = await read_body(request, settings.peer_bytes_max, settings.body_timeout_ms)
    told = parse_model(PeerMessage, request, body)
    edge.service.told(told.sender, told.message)
    return empty_response(204)
