"""The routes of drains: of nodes, zones and regions."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from controlplane.api import canary_orders, drain_orders
from controlplane.api.drain_orders import DrainDocument, StopDocument
from controlplane.api.edge import Handler
from controlplane.api.headers import IDEMPOTENCY_KEY, PASSED_ON, REPLAYED
from controlplane.api.parameters import ORDER_PARAMETERS
from controlplane.api.placement_routes import KEPT, SENT
from controlplane.api.route import Answer, Endpoint, Needs

PROBLEMS: Final = (
    *KEPT, *SENT, "drain-refused", "quota-exceeded", "store-full", "transferring",
    "unknown-outcome", "idempotency-mismatch",
)  # fmt: skip


def _order(
    path: str, handler: Handler, summary: str, body: type[BaseModel], *answers: Answer
) -> Endpoint:
    unknown = "unknown-node" if "{node}" in path else "unknown-region"
    return Endpoint(
        "POST", path, handler, summary, "fleet", Needs.OPERATOR, answers, (*PROBLEMS, unknown),
        ORDER_PARAMETERS, (IDEMPOTENCY_KEY, *PASSED_ON), body,
    )  # fmt: skip


def _answer(status: int, what: str, model: Any = DrainDocument) -> Answer:
    return Answer(status, what, model, headers=(REPLAYED,))


BEGUN: Final = (
    _answer(202, "Begun; `leadplane placement show` says how far it is."),
    _answer(200, "It is on already; or what would be begun."),
)
OVER: Final = _answer(200, "It may lead again; its leaders come home by themselves.")

DRAINS: Final = (
    _order(
        "/v1/nodes/{node}/drain",
        drain_orders.drain_node,
        "Have everything handed over that a node leads, and give it nothing more",
        drain_orders.DrainOrder,
        *BEGUN,
    ),
    _order(
        "/v1/nodes/{node}/undrain",
        canary_orders.undrain_node,
        "Let a node lead again",
        canary_orders.UndrainOrder,
        OVER,
    ),
    _order(
        "/v1/nodes/{node}/stoppable",
        drain_orders.stoppable_node,
        "Whether a node can be stopped beside those that were promised, and promise it",
        drain_orders.StopOrder,
        _answer(200, "Whether it can, and why not.", StopDocument),
    ),
    _order(
        "/v1/regions/{region}/drain",
        drain_orders.drain_region,
        "Have everything handed over that a region, or a zone of it, leads",
        drain_orders.RegionDrainOrder,
        *BEGUN,
    ),
    _order(
        "/v1/regions/{region}/undrain",
        drain_orders.undrain_region,
        "Let a region, or a zone of it, lead again",
        drain_orders.RegionUndrainOrder,
        OVER,
    ),
)
