"""Every route there is. What is not in ROUTES does not exist.

The same table serves the requests and generates the OpenAPI document, so neither can say more than
the other.
"""

from __future__ import annotations

from typing import Any, Final

from controlplane.api import (
    event_pages,
    fleet_pages,
    group_orders,
    health,
    kv,
    preempting,
    resolve,
    shard_orders,
    streams,
)
from controlplane.api.audit_routes import AUDIT
from controlplane.api.document_routes import DOCUMENTS
from controlplane.api.documents import (
    DryRun,
    Liveness,
    Readiness,
    RegionSummary,
    RoleDocument,
    Route,
    RouteTable,
    ScanItem,
    ShardDocument,
    Status,
    WrittenDocument,
)
from controlplane.api.drain_routes import DRAINS
from controlplane.api.fenced_routes import FENCED_WRITES
from controlplane.api.flag_routes import FLAGS
from controlplane.api.group_making import DROPPING, MAKING
from controlplane.api.headers import (
    CREATE,
    DOCUMENT_TAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    LOCATION,
    PASSED_ON,
    PROVENANCE,
    REPLAYED,
    TAGGED,
    VERSION,
)
from controlplane.api.kv_request import READ_PARAMETERS, SCAN_PARAMETERS, WRITE_PARAMETERS
from controlplane.api.parameters import LIST_PARAMETERS, ORDER_PARAMETERS
from controlplane.api.placement_routes import PLACEMENT
from controlplane.api.reshard_routes import RESHARDINGS
from controlplane.api.rollout_routes import ROLLOUTS
from controlplane.api.route import Answer, Endpoint, Needs, Raw, document_route, page_route
from controlplane.requests import Evicted, LeaderHint, StoresForced, StoresWanted, Transferred
from controlplane.views import GroupView, NodeView

ROUTED: Final = ("invalid", "no-leader", "no-quorum", "leader-unreachable", "not-leader")
READ: Final = (*ROUTED, "stale", "overloaded", "not-ready")
WRITTEN: Final = (
    *ROUTED,
    "precondition-failed",
    "idempotency-mismatch",
    "too-old",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
    "quota-exceeded",
    "store-full",
    "transferring",
    "overloaded",
    "not-ready",
    "unknown-outcome",
)
ORDERED: Final = (
    *ROUTED,
    "unknown-shard",
    "unknown-node",
    "unknown-region",
    "no-candidate",
    "idempotency-mismatch",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
    "transferring",
    "overloaded",
    "unknown-outcome",
)

CHANGED: Final = (
    "invalid",
    "unknown-group",
    "unknown-store",
    "not-changed",
    "no-member",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
    "unknown-outcome",
)

REDIRECT: Final = Answer(307, "With proxy=false: ask there.", headers=LOCATION)
DONE: Final = Answer(
    200,
    "The change is on a majority of the shard's stores.",
    WrittenDocument,
    headers=(*PROVENANCE, *VERSION, REPLAYED),
)


def _group_order(
    what: str, handler: Any, summary: str, tried: str, outcome: Any, order: Any
) -> Endpoint:
    """An order to a group of stores, which goes on after it was answered."""
    return Endpoint(
        "POST",
        f"/v1/regions/groups/{{group}}/{what}",
        handler,
        summary,
        "fleet",
        Needs.OPERATOR,
        (
            Answer(202, "Begun; the group's page says how far it is.", outcome),
            Answer(200, f"With dry_run: {tried}", outcome),
        ),
        CHANGED,
        ORDER_PARAMETERS,
        PASSED_ON,
        order,
    )


ROUTING: Final = (
    Endpoint(
        "GET",
        "/v1/route",
        resolve.resolve_key,
        "Find a key: its shard, its leader, and the best node to ask",
        "routing",
        Needs.READER,
        (Answer(200, "Where to go.", Route),),
        ("invalid", "unknown-shard", "not-ready"),
        resolve.ROUTE_PARAMETERS,
    ),
    Endpoint(
        "GET",
        "/v1/routes",
        streams.routes,
        "The routing table; with Accept: text/event-stream, a snapshot and then every change",
        "routing",
        Needs.READER,
        (
            Answer(200, "The whole table.", RouteTable, (Raw.EVENTS,), headers=TAGGED),
            Answer(304, "It is still the same.", headers=TAGGED),
        ),
        ("invalid", "compacted", "too-many-streams"),
        streams.STREAM_PARAMETERS,
        (IF_NONE_MATCH, LAST_EVENT_ID),
    ),
)

DATA: Final = (
    Endpoint(
        "GET",
        "/v1/kv",
        kv.scan_keys,
        "List the keys of a partition in byte order",
        "data",
        Needs.READER,
        (Answer(200, "One page.", ScanItem, listed=True, headers=PROVENANCE), REDIRECT),
        READ,
        SCAN_PARAMETERS,
        PASSED_ON,
    ),
    Endpoint(
        "GET",
        "/v1/kv/{key}",
        kv.get_key,
        "Read a key",
        "data",
        Needs.READER,
        (
            Answer(
                200, "The value, as it was put.", None, (Raw.OCTETS,), False, PROVENANCE + VERSION
            ),
            Answer(304, "It still has that version.", headers=PROVENANCE + VERSION),
            REDIRECT,
        ),
        ("no-such-key", *READ),
        READ_PARAMETERS,
        (IF_NONE_MATCH, *PASSED_ON),
    ),
    Endpoint(
        "PUT",
        "/v1/kv/{key}",
        kv.put_key,
        "Give a key a value",
        "data",
        Needs.WRITER,
        (DONE, REDIRECT),
        WRITTEN,
        WRITE_PARAMETERS,
        (IF_MATCH, CREATE, IDEMPOTENCY_KEY, *PASSED_ON),
        Raw.OCTETS,
    ),
    Endpoint(
        "DELETE",
        "/v1/kv/{key}",
        kv.delete_key,
        "Take a key's value away",
        "data",
        Needs.WRITER,
        (DONE, REDIRECT),
        WRITTEN,
        WRITE_PARAMETERS,
        (IF_MATCH, IDEMPOTENCY_KEY, *PASSED_ON),
    ),
)

SHARDS: Final = (
    page_route("/v1/shards", fleet_pages.list_shards, "Every shard", "shards", ShardDocument),
    document_route(
        "/v1/shards/{shard}",
        fleet_pages.get_shard,
        "One shard and its copies",
        "shards",
        ShardDocument,
        "unknown-shard",
    ),
    Endpoint(
        "GET",
        "/v1/shards/{shard}/history",
        fleet_pages.get_history,
        "Who led a shard, until which epoch, and why it ended: the last 64 tenures, oldest first",
        "shards",
        Needs.READER,
        (Answer(200, "The tenures as their leaders wrote them.", dict[str, Any], listed=True),),
        ("unknown-shard", *READ),
        LIST_PARAMETERS,
        PASSED_ON,
    ),
    Endpoint(
        "POST",
        "/v1/shards/{shard}/transfer",
        shard_orders.transfer_shard,
        "Hand a shard over, without waiting for a lease to run out",
        "shards",
        Needs.OPERATOR,
        (Answer(200, "Handed over; or what would be.", Transferred | DryRun, headers=(REPLAYED,)),),
        (*ORDERED, "move-refused", "no-member"),
        ORDER_PARAMETERS,
        (IDEMPOTENCY_KEY, *PASSED_ON),
        shard_orders.TransferOrder,
    ),
    Endpoint(
        "POST",
        "/v1/shards/{shard}/preempt",
        preempting.preempt_shard,
        "Have a better placed node take a shard over",
        "shards",
        Needs.OPERATOR,
        (Answer(200, "Handed over; or what would be.", Transferred | DryRun, headers=(REPLAYED,)),),
        (*ORDERED, "move-refused", "no-member"),
        ORDER_PARAMETERS,
        (IDEMPOTENCY_KEY, *PASSED_ON),
        preempting.PreemptOrder,
    ),
    Endpoint(
        "POST",
        "/v1/shards/{shard}/evict",
        shard_orders.evict_shard,
        "Take a shard from its holder, with or without its help",
        "shards",
        Needs.OPERATOR,
        (Answer(200, "Taken away; or what would be.", Evicted | DryRun, headers=(REPLAYED,)),),
        ORDERED,
        ORDER_PARAMETERS,
        (IDEMPOTENCY_KEY, *PASSED_ON),
        shard_orders.EvictOrder,
    ),
    Endpoint(
        "GET",
        "/v1/shards/{shard}/role/{role}",
        fleet_pages.get_role,
        "Whether the answering node leads, or follows, a shard: for load balancers",
        "shards",
        Needs.NOTHING,
        (Answer(200, "It has this role.", RoleDocument),),
        ("invalid", "unknown-shard", "no-such-route", "wrong-role"),
        also_head=True,
    ),
)

FLEET: Final = (
    page_route("/v1/nodes", fleet_pages.list_nodes, "Every node", "fleet", NodeView),
    document_route(
        "/v1/nodes/{node}", fleet_pages.get_node, "One node", "fleet", NodeView, "unknown-node"
    ),
    *FENCED_WRITES,
    page_route(
        "/v1/regions/groups", group_orders.list_groups, "Every group of stores", "fleet", GroupView
    ),
    MAKING,
    DROPPING,
    document_route(
        "/v1/regions/groups/{group}",
        group_orders.get_group,
        "One group of stores, and the change that is on",
        "fleet",
        GroupView,
        "unknown-group",
    ),
    _group_order(
        "changes",
        group_orders.change_stores,
        "Change which stores belong to a group",
        "what would be wanted.",
        StoresWanted,
        group_orders.StoresOrder,
    ),
    _group_order(
        "lease",
        group_orders.change_lease,
        "Change how long leases of a group last",
        "what would be wanted.",
        StoresWanted,
        group_orders.LeaseOrder,
    ),
    _group_order(
        "force-recover",
        group_orders.force_recover,
        "Make a group go on with what is left of it, when most of its stores are lost",
        "what would be kept, and what lost.",
        StoresForced,
        group_orders.ForceOrder,
    ),
    page_route("/v1/regions", fleet_pages.list_regions, "Every region", "fleet", RegionSummary),
    document_route(
        "/v1/regions/{region}",
        fleet_pages.get_region,
        "One region",
        "fleet",
        RegionSummary,
        "unknown-region",
        headers=DOCUMENT_TAG,
    ),
    document_route("/v1/status", fleet_pages.get_status, "The fleet on one page", "fleet", Status),
    document_route(
        "/v1/leader", fleet_pages.get_leader, "The global leader", "fleet", LeaderHint, "no-leader"
    ),
    Endpoint(
        "GET",
        "/v1/events",
        streams.events,
        "Life-cycle events as the answering node sees them",
        "fleet",
        Needs.READER,
        (Answer(200, "A stream that does not end.", None, (Raw.EVENTS,)),),
        ("invalid", "compacted", "too-many-streams"),
        streams.STREAM_PARAMETERS,
        (LAST_EVENT_ID,),
    ),
    Endpoint(
        "GET",
        "/v1/events/kept",
        event_pages.list_events,
        "Life-cycle events of the whole fleet that are kept, oldest first",
        "fleet",
        Needs.READER,
        (Answer(200, "One page, by number.", event_pages.KeptEvent, listed=True),),
        ("unknown-shard", *READ),
        event_pages.EVENT_PARAMETERS,
        PASSED_ON,
    ),
    Endpoint(
        "GET",
        "/v1/events/summary",
        event_pages.summarise_events,
        "Counts of the life-cycle events that are not kept any more, by the hour",
        "fleet",
        Needs.READER,
        (Answer(200, "One page, by hour.", event_pages.CountedHour, listed=True),),
        ("unknown-shard", *READ),
        LIST_PARAMETERS,
        PASSED_ON,
    ),
)

HEALTH: Final = (
    Endpoint(
        "GET",
        "/livez",
        health.get_livez,
        "Whether the process turns; depends on nothing else",
        "health",
        Needs.NOTHING,
        (Answer(200, "It does.", Liveness),),
        ("invalid",),
        also_head=True,
    ),
    Endpoint(
        "GET",
        "/readyz",
        health.get_readyz,
        "Whether clients may be sent here",
        "health",
        Needs.NOTHING,
        (Answer(200, "They may.", Readiness),),
        ("invalid", "not-ready"),
        health.READY_PARAMETERS,
        also_head=True,
    ),
    Endpoint(
        "GET",
        "/metrics",
        health.get_metrics,
        "Metrics of this process for Prometheus; with exemplars if OpenMetrics is accepted",
        "health",
        Needs.NOTHING,
        (Answer(200, "All of them.", None, (Raw.TEXT, Raw.OPEN_METRICS)),),
        ("invalid",),
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        health.get_openapi,
        "This description",
        "health",
        Needs.NOTHING,
        (Answer(200, "OpenAPI 3.1.", dict[str, Any]),),
        ("invalid",),
    ),
    Endpoint(
        "POST",
        "/internal/v1/peer",
        health.take_message,
        "A message of another node",
        "internal",
        Needs.PEER,
        (Answer(204, "Taken note of."),),
        ("invalid", "too-large", "request-timeout", "unsupported-media-type"),
        body=health.PeerMessage,
    ),
)

ROUTES: Final = (
    *ROUTING,
    *DATA,
    *SHARDS,
    *RESHARDINGS,
    *FLEET,
    *DRAINS,
    *PLACEMENT,
    *DOCUMENTS,
    *ROLLOUTS,
    *FLAGS,
    *AUDIT,
    *HEALTH,
)
