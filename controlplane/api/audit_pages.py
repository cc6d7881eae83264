"""Reading the audit log, and judging whether it is whole.

Both are answered by the leader of the system shard; every other node passes the question on. A
judgement is of the records as one store has them: that the stores agree, they are compared for
elsewhere (controlplane/node/digests).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from config.audit import What, shown
from config.audit_check import Checkpoint, Hole, Known, check, read_checkpoint
from controlplane.api.audit_store import SCANNED_AT_ONCE, read_all, read_ends, read_page
from controlplane.api.edge import Edge
from controlplane.api.paging import PAGE_ITEMS, continue_token, read_continue
from controlplane.api.parameters import CONTINUE, LIMIT, Kind, Parameter, Parameters
from controlplane.api.responses import json_response
from controlplane.problems import InputError, invalid

LOOKED_AT_MAX: Final = 5_000
"""So many records are looked at for one page; it may be short, or empty, and have a `continue`."""
LIST_PARAMETERS: Final = Parameters(
    LIMIT,
    CONTINUE,
    Parameter("after", "Only records behind this one, by number.", Kind.INTEGER),
    Parameter("last", "Only the last so many records.", Kind.INTEGER, least=1),
    Parameter("kind", "Only records of this kind.", choices=tuple(w.value for w in What)),
    Parameter("subject", "Only records of this document, shard, node, group or order."),
    Parameter("principal", "Only what this principal did."),
    Parameter("since", "Only from this time on, in milliseconds since 1970.", Kind.INTEGER),
    Parameter("until", "Only before this time, in milliseconds since 1970.", Kind.INTEGER),
)
FILTERS: Final = ("kind", "subject", "principal", "since", "until")
VERIFY_PARAMETERS: Final = Parameters(
    Parameter(
        "checkpoint",
        "`SEQUENCE:DIGEST` of a record, kept outside: whether it is still the one in the log.",
    )
)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change. `previous` is the digest of the record before, `digest` that of this one.

    `epoch` and `node`: of the leader of the system shard that recorded it, at `wall_ms` of its
    wall clock. What `before` and `after` hold depends on the kind.
    """

    sequence: int
    previous: str
    wall_ms: int
    epoch: int
    node: str
    kind: str
    subject: str
    principal: str
    reason: str
    before: Any
    after: Any
    digest: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the log is a chain without holes, from `first` to `last`, whose digest is `head`.

    `problem` says what is wrong first of all, `at` with which record. `checkpoint`: `matches`,
    `differs`, `missing`, or `trimmed` when it is older than all that is kept; null without one.
    """

    valid: bool
    records: int
    first: int
    last: int
    head: str
    holes: tuple[Hole, ...]
    problem: str | None
    at: int | None
    checkpoint: str | None


async def list_audit(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/audit: what was changed, oldest first."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    scope = f"audit {[found.get(name) for name in (*FILTERS, 'after', 'last')]}"
    token = read_continue(found.get("continue"), scope)
    after: int = int(token) if token else found.get("after", 0)
    if "last" in found and not token:
        ends = await read_ends(edge, request)
        if isinstance(ends, web.Response):
            return ends
        after = max(after, ends.head.sequence - found["last"])
    limit: int = found.get("limit", PAGE_ITEMS)
    items: list[dict[str, Any]] = []
    looked_at, more = 0, True
    while more and len(items) < limit and looked_at < LOOKED_AT_MAX:
        at_once = SCANNED_AT_ONCE if any(name in found for name in FILTERS) else limit - len(items)
        page = await read_page(edge, request, after, at_once)
        if isinstance(page, web.Response):
            return page
        more = page.more
        for record in page.records:
            if len(items) == limit:
                more = True
                break
            looked_at, after = looked_at + 1, record.sequence
            item = shown(record)
            if _fits(item, found):
                items.append(item)
    document: dict[str, Any] = {"items": items}
    if more:
        document["continue"] = continue_token(f"{after:016d}", scope)
    return json_response(document)


def _fits(item: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    if found.get("kind", item["kind"]) != item["kind"]:
        return False
    if found.get("principal", item["principal"]) != item["principal"]:
        return False
    if "subject" in found and found["subject"] not in _subjects(item):
        return False
    wall_ms: int = item["wall_ms"]
    return bool(found.get("since", wall_ms) <= wall_ms < found.get("until", wall_ms + 1))


def _subjects(item: Mapping[str, Any]) -> list[Any]:
    """What a record is about: also every shard of many that changed hands at once."""
    match item:
        case {"kind": What.LEADERSHIP.value, "after": {"changes": list() as changes}}:
            shards = [change[0] for change in changes if isinstance(change, list) and change]
            return [item["subject"], *shards]
    return [item["subject"]]


async def verify_audit(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/audit/verify: whether anything of it was changed, left out, or cut off."""
    found = VERIFY_PARAMETERS.parse(request.rel_url.raw_query_string)
    checkpoint = _checkpoint_in(found)
    head = await read_ends(edge, request)
    if isinstance(head, web.Response):
        return head
    records = await read_all(edge, request)
    if isinstance(records, web.Response):
        return records
    anchor = await read_ends(edge, request)  # what was trimmed meanwhile is not missing
    if isinstance(anchor, web.Response):
        return anchor
    begun_at = anchor.anchor.sequence
    if begun_at != head.anchor.sequence:
        records = tuple(record for record in records if record.sequence > begun_at)
    upto = head.head.sequence  # what was recorded meanwhile is looked at the next time
    kept = [record for record in records if record.sequence <= upto]
    known = Known(anchor.anchor, head.head, checkpoint)
    # Many records take a while, in which this node has other things to do.
    verdict = await asyncio.to_thread(check, kept, known)
    return json_response(
        AuditVerdict(
            verdict.valid, verdict.records, verdict.first, verdict.last, verdict.head,
            verdict.holes, verdict.problem, verdict.at,
            None if verdict.checkpoint is None else verdict.checkpoint.value,
        )
    )  # fmt: skip


def _checkpoint_in(found: Mapping[str, Any]) -> Checkpoint | None:
    if "checkpoint" not in found:
        return None
    try:
        return read_checkpoint(found["checkpoint"])
    except ValueError as complaint:
        raise invalid(InputError(str(complaint), parameter="checkpoint")) from None
