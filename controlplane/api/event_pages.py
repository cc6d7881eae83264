"""Life-cycle events of the whole fleet as the system shard keeps them.

The record is read at whatever copy of the system shard is near, so there is an answer also while
nobody leads that shard. Each page says how old it may be, and from where on there are only counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from aiohttp import web

from controlplane.api.edge import Edge
from controlplane.api.paging import PAGE_ITEMS, continue_token, page, read_continue
from controlplane.api.parameters import (
    CONTINUE,
    LIMIT,
    LIST_PARAMETERS,
    Kind,
    Parameter,
    Parameters,
)
from controlplane.api.responses import json_response
from controlplane.node.event_records import (
    EARLIER,
    HEAD_KEY,
    HOUR_MS,
    HOURS_PREFIX,
    KINDS,
    PARTITION,
    RECORDS_PREFIX,
    EventHead,
    EventRecord,
    hour_key,
    read_counts,
    read_event_head,
    read_record,
    record_key,
)
from controlplane.node.following import SYSTEM
from controlplane.planning.system_shard import known_as
from controlplane.requests import Consistency, Found, Read, Scan, Scanned

LOOKED_AT_MAX: Final = 5_000
"""So many records are looked at for one page; it may be short, or empty, and have a `continue`."""
SCANNED_AT_ONCE: Final = 1_000
CLOCKS_MS_MAX: Final = 300_000
"""How far the clock of an event's node may be ahead of the global leader's that kept it; such an
event is kept so long *before* it happened."""
FILTERS: Final = ("since", "until", "shard", "kind", "node")
EVENT_PARAMETERS: Final = Parameters(
    LIMIT,
    CONTINUE,
    Parameter("since", "Only what happened from this time on, in ms since 1970.", Kind.INTEGER),
    Parameter("until", "Only what happened before this time, in ms since 1970.", Kind.INTEGER),
    Parameter("shard", "Only events of this shard."),
    Parameter("kind", "Only events of this kind.", choices=tuple(sorted(KINDS))),
    Parameter("node", "Only what happened at this node."),
)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event. `wall_ms` is of its node, `recorded_ms` of the global leader that kept it.

    `process` and `number` say which of its node's it is; "" and 0 of an election, which is kept
    with its row of the history. What `detail` holds depends on the kind.
    """

    sequence: int
    kind: str
    shard: str
    group: str
    epoch: int
    node: str
    region: str
    wall_ms: int
    recorded_ms: int
    process: str
    number: int
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of a kind there were in a group; "" of none."""

    kind: str
    group: str
    count: int


@dataclass(frozen=True, slots=True)
class CountedHour:
    """What is left of events that are not kept any more: counts, of the hour they happened in.

    `since_ms` is null of the first one when that stands for all hours before the others.
    """

    since_ms: int | None
    until_ms: int
    counts: tuple[EventCount, ...]


class _Part(NamedTuple):
    """Some of what a scan found, whether there is more, and how old it may be."""

    items: tuple[tuple[str, bytes], ...]
    more: bool
    staleness_ms: int | None


async def list_events(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/events/kept: what is kept, oldest first."""
    found = EVENT_PARAMETERS.parse(request.rel_url.raw_query_string)
    scope = f"events {[found.get(name) for name in FILTERS]}"
    token = read_continue(found.get("continue"), scope)
    limit = int(found.get("limit", PAGE_ITEMS))
    after = int(token) if token else await _before(edge, request, found.get("since", 0))
    if isinstance(after, web.Response):
        return after
    items: list[KeptEvent] = []
    ages: list[int | None] = []
    looked_at, more = 0, True
    while more and len(items) < limit and looked_at < LOOKED_AT_MAX:
        at_once = SCANNED_AT_ONCE if any(name in found for name in FILTERS) else limit - len(items)
        part = await _scan(edge, request, RECORDS_PREFIX, record_key(after), at_once)
        if isinstance(part, web.Response):
            return part
        more = part.more
        ages.append(part.staleness_ms)
        for _, data in part.items:
            if len(items) == limit:
                more = True
                break
            record = known_as(read_record, data)
            looked_at, after = looked_at + 1, record.sequence
            if _fits(record, found):
                items.append(KeptEvent(**asdict(record)))
    looked = await _head(edge, request)
    if isinstance(looked, web.Response):
        return looked
    head, staleness_ms = looked
    document: dict[str, Any] = {
        "items": items,
        "staleness_ms": _oldest([*ages, staleness_ms]),
        "summarised_before": {"sequence": head.first, "wall_ms": head.recorded_ms or None},
    }
    if more:
        document["continue"] = continue_token(f"{after:016d}", scope)
    return json_response(document)


async def _before(edge: Edge, request: web.Request, since_ms: int) -> int | web.Response:
    """The number of a record near the first one of this time, and before it.

    Records are numbered as they were kept, which is after they happened.
    """
    if not since_ms:
        return 0
    looked = await _head(edge, request)
    if isinstance(looked, web.Response):
        return looked
    first, end = looked[0].first, looked[0].last + 1
    while end - first > SCANNED_AT_ONCE:
        middle = (first + end) // 2
        part = await _scan(edge, request, RECORDS_PREFIX, record_key(middle - 1), 1)
        if isinstance(part, web.Response):
            return part
        records = [known_as(read_record, data) for _, data in part.items]
        if records and records[0].recorded_ms < since_ms - CLOCKS_MS_MAX:
            first = records[0].sequence + 1
        else:
            end = middle
    return first - 1


async def _head(edge: Edge, request: web.Request) -> tuple[EventHead, int | None] | web.Response:
    """The head of the record, and how old it may be."""
    read = Read(SYSTEM, (HEAD_KEY,), Consistency.ANY)
    outcome = await edge.ask(request, SYSTEM, read, needs_leader=False)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Found), outcome
    (value,) = outcome.values
    head = known_as(read_event_head, None if value is None else value.data)
    return head, outcome.provenance.staleness_ms


async def _scan(
    edge: Edge, request: web.Request, prefix: str, after: str, limit: int = SCANNED_AT_ONCE
) -> _Part | web.Response:
    scan = Scan(SYSTEM, PARTITION, prefix, after, limit, Consistency.ANY)
    outcome = await edge.ask(request, SYSTEM, scan, needs_leader=False)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Scanned), outcome
    items = tuple((key, value.data) for key, value in outcome.items)
    return _Part(items, outcome.more and bool(items), outcome.provenance.staleness_ms)


def _oldest(ages: list[int | None]) -> int | None:
    """The greatest age; None when one of them is not known."""
    known = [age for age in ages if age is not None]
    return max(known) if len(known) == len(ages) else None


def _fits(record: EventRecord, found: Mapping[str, Any]) -> bool:
    if not found.get("since", 0) <= record.wall_ms < found.get("until", record.wall_ms + 1):
        return False
    wanted = (("shard", record.shard), ("kind", record.kind), ("node", record.node))
    return all(found.get(name, value) == value for name, value in wanted)


async def summarise_events(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/events/summary: counts of the events that are not kept any more, by the hour."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    scope = "events by the hour"
    read_continue(found.get("continue"), scope)
    hours: dict[int, bytes] = {}
    after, more = "", True
    while more:
        part = await _scan(edge, request, HOURS_PREFIX, after)
        if isinstance(part, web.Response):
            return part
        hours |= {int(key.removeprefix(HOURS_PREFIX)): data for key, data in part.items}
        after, more = part.items[-1][0] if part.items else "", part.more
    first = min((hour for hour in hours if hour != EARLIER), default=EARLIER)

    def shown(hour: int) -> CountedHour:
        counts = known_as(read_counts, hours[hour])
        is_earlier = hour == EARLIER
        return CountedHour(
            None if is_earlier else hour * HOUR_MS,
            (first if is_earlier else hour + 1) * HOUR_MS,
            tuple(EventCount(kind, group, n) for (kind, group), n in sorted(counts.items())),
        )

    return json_response(page(hours, hour_key, scope, found, shown))
