"""The routes of orders to split, merge and move shards: a part of the table of all routes."""

from __future__ import annotations

from typing import Any, Final

from controlplane.api import reshard_orders
from controlplane.api.headers import IDEMPOTENCY_KEY, PASSED_ON
from controlplane.api.parameters import ORDER_PARAMETERS
from controlplane.api.route import Answer, Endpoint, Needs, document_route, page_route
from controlplane.requests import Resharded
from controlplane.views import ReshardingView

_REFUSED: Final = (
    "invalid",
    "no-leader",
    "no-quorum",
    "leader-unreachable",
    "not-leader",
    "not-resharded",
    "idempotency-mismatch",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
    "overloaded",
    "store-full",
    "unknown-outcome",
)


def _resharding(path: str, handler: Any, summary: str, order: Any, *problems: str) -> Endpoint:
    """An order to the leader of the shard `system`, which goes on after it was answered."""
    return Endpoint(
        "POST",
        path,
        handler,
        summary,
        "shards",
        Needs.OPERATOR,
        (
            Answer(202, "Written down; its page says how far it is.", Resharded),
            Answer(200, "With dry_run: what would be.", Resharded),
        ),
        (*_REFUSED, *problems),
        ORDER_PARAMETERS,
        (IDEMPOTENCY_KEY, *PASSED_ON),
        order,
    )


RESHARDINGS: Final = (
    _resharding(
        "/v1/shards/{shard}/split",
        reshard_orders.split_shard,
        "Make two shards of one",
        reshard_orders.SplitOrder,
        "unknown-shard",
        "unsplittable",
    ),
    _resharding(
        "/v1/shards/{shard}/merge",
        reshard_orders.merge_shards,
        "Make one shard of two neighbours",
        reshard_orders.MergeOrder,
        "unknown-shard",
    ),
    _resharding(
        "/v1/shards/{shard}/move",
        reshard_orders.move_shard,
        "Have the stores of another group hold a shard",
        reshard_orders.MoveOrder,
        "unknown-shard",
        "unknown-group",
    ),
    page_route(
        "/v1/reshardings",
        reshard_orders.list_reshardings,
        "Shards that are, or were, split, merged or moved",
        "shards",
        ReshardingView,
    ),
    document_route(
        "/v1/reshardings/{resharding}",
        reshard_orders.get_resharding,
        "One resharding, and how far it is",
        "shards",
        ReshardingView,
        "unknown-resharding",
    ),
    _resharding(
        "/v1/reshardings/{resharding}/cancel",
        reshard_orders.cancel_resharding,
        "Drop a resharding whose parents are not closed yet",
        reshard_orders.CancelOrder,
        "unknown-resharding",
    ),
)
