"""Editing documents: put and delete, checked as a whole, one edit after the other.

Theory of operation. The leader of the system shard reads all documents at one edition, decides
(config/check), and writes on the condition that the edition is still that one. When another edit
came between, it begins again, and then `If-Match` says whether this one is still meant. So nothing
is ever half applied, and of two operators who change the same version one is told.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from config.blast_radius import BlastRadius, blast_radius, stores_given_up
from config.check import Edit, Unfit, Why, decide, has_room, longest_gone
from config.diff import diff_revisions
from config.document import CONTENT_BYTES_MAX, Kind, kind_of
from config.feed import Feed
from config.revision import Revision
from config.secrets import secret_in
from config.store_places import contradicted, moved
from config.strategy import Strategy
from controlplane.api.body import Name, parse_model, read_body
from controlplane.api.document_conditions import Conditions, Wish, check, conditions_of, is_done
from controlplane.api.document_facts import fleet_facts, known_stores
from controlplane.api.document_pages import name_in_path
from controlplane.api.document_store import Asking, Known, read_known, write_revision
from controlplane.api.document_views import (
    BY_ROLLOUT,
    NO_EFFECT,
    EditedDocument,
    revision_record,
)
from controlplane.api.edge import Edge
from controlplane.api.order_read import PRINCIPAL
from controlplane.api.parameters import EDIT_PARAMETERS, reason_in
from controlplane.api.responses import json_response
from controlplane.api.rollout_of_edit import (
    check_rollout,
    rolled_out,
    rolled_out_again,
    strategy_in,
)
from controlplane.problems import InputError, RequestRefused, invalid
from regions.findings import Finding

ATTEMPTS_MAX: Final = 8
"""How often an edit is decided anew because others came first."""
FAR_REACHING: Final = (Kind.REGION, Kind.CONSTRAINTS)
"""Kinds whose edits are held against the running fleet."""

UNKNOWN_VERSION: Final = 1 << 53
"""Of a revision that is only thought of."""
REFUSED_AS: Final = {
    Why.INVALID: "invalid",
    Why.TOO_LARGE: "too-large",
    Why.IN_USE: "document-in-use",
    Why.BUILT_IN: "built-in",
    Why.TOO_MANY: "quota-exceeded",
}


class DocumentBody(BaseModel):
    """A document to be put. Without a `schema` it keeps the one it has; null frees it of any."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content: Any
    schema_name: Name | None = Field(default=None, alias="schema")


async def put_document(edge: Edge, request: web.Request) -> web.StreamResponse:
    """PUT /v1/config/{name}: another revision."""
    name = name_in_path(request)
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    put = parse_model(DocumentBody, request, body)
    keeps = "schema_name" not in put.model_fields_set

    def change(now: Revision | None) -> tuple[Any, str]:
        kept = now.schema if now is not None and keeps else ""
        return put.content, put.schema_name or kept

    if put.schema_name and kind_of(name) is not Kind.FREE:
        complaint = f"the schema of {name} is built in"
        raise invalid(InputError(complaint, pointer="#/schema"))
    return await edit_document(edge, request, body, Wish(name, change, False, "#/content"))


async def delete_document(edge: Edge, request: web.Request) -> web.StreamResponse:
    """DELETE /v1/config/{name}: the document goes; its versions are kept."""
    name = name_in_path(request)
    await read_body(request, 0, edge.settings.body_timeout_ms)
    return await edit_document(edge, request, b"", Wish(name, lambda _: (None, ""), True))


async def edit_document(
    edge: Edge,
    request: web.Request,
    body: bytes,
    wish: Wish,
    conditions: Conditions | None = None,
    how: Strategy | None = None,
) -> web.StreamResponse:
    """Make one edit, or only say what it would come to (`dry_run`). Without `conditions` the
    request's headers say on which version it is meant; without `how`, its query says how the
    revision is rolled out, if it is."""
    found = EDIT_PARAMETERS.parse(request.rel_url.raw_query_string)
    reason, dry_run = _reason_in(found), found.get("dry_run", False)
    how = strategy_in(found) or how
    conditions = conditions or conditions_of(request)
    asking = Asking(edge, request, body)
    for _ in range(ATTEMPTS_MAX):
        known = await read_known(asking, wish.name)
        if isinstance(known, web.Response):
            return known
        current = known.feed.get(wish.name)
        done = is_done(wish, conditions, current)
        if not done:
            check(conditions, wish, current)
        # Checks of a large document take a while, in which this node has other things to do.
        revision = await asyncio.to_thread(_decide, wish, known, current, reason)
        if isinstance(revision, Unfit):
            raise await _refused(revision, wish, edge, known.feed)
        before = known.feed.latest(wish.name)
        if before is not None and (done or _is_same(revision, before)):
            number = await rolled_out_again(edge, before, how, reason, dry_run=dry_run)
            return _answer(before, known.feed, None, number, changed=False, dry_run=dry_run)
        radius = await _held_against_fleet(edge, revision, known.feed, wish)
        await check_rollout(edge, revision, how, reason)
        if dry_run:
            return _answer(revision, known.feed, radius, None, changed=True, dry_run=True)
        try:
            gone = None if has_room(wish.name, known.feed) else longest_gone(known.feed)
            written = await write_revision(asking, revision, known, gone)
        except RequestRefused as refused:
            if refused.kind.name != "precondition-failed":
                raise
            continue
        if isinstance(written, web.Response):
            return written
        number = await rolled_out(edge, revision, how, reason)
        return _answer(revision, known.feed, radius, number, changed=True, dry_run=False)
    raise RequestRefused("overloaded", "other edits came first, again and again")


def _decide(wish: Wish, known: Known, current: Revision | None, reason: str) -> Revision | Unfit:
    content, schema = wish.change(current)
    wall_ms = int(time.time() * 1000)
    edit = Edit(wish.name, content, schema, PRINCIPAL, reason, wall_ms, wish.deletes)
    found = decide(edit, known.feed, known.edition.number + 1)
    if isinstance(found, Unfit) or not known.last_version:
        return found
    return replace(found, version=known.last_version + 1)


async def _held_against_fleet(
    edge: Edge, revision: Revision, feed: Feed, wish: Wish
) -> BlastRadius | None:
    """What the edit would do to the fleet as it runs. Raises RequestRefused for stores in use, and
    for what the topology says otherwise."""
    known = known_stores(edge.service)
    if otherwise := tuple(contradicted(revision.name, feed.with_one(revision), known)):
        raise invalid(*(_input_error(finding, wish.content_pointer) for finding in otherwise))
    radius, given_up = await _what_it_would_do(edge, revision, feed)
    if given_up:
        raise _in_use(given_up, radius)
    return radius


async def _what_it_would_do(
    edge: Edge, revision: Revision, feed: Feed
) -> tuple[BlastRadius | None, tuple[Finding, ...]]:
    if kind_of(revision.name) not in FAR_REACHING:
        return None, ()
    facts, after = fleet_facts(edge.service), feed.with_one(revision)
    radius = await asyncio.to_thread(blast_radius, feed, after, facts)
    elsewhere = moved(revision.name, after, known_stores(edge.service))
    return radius, (*stores_given_up(feed, after, revision.name, facts), *elsewhere)


async def _refused(unfit: Unfit, wish: Wish, edge: Edge, feed: Feed) -> RequestRefused:
    if unfit.why is Why.INVALID:
        return invalid(*(_input_error(f, wish.content_pointer) for f in unfit.findings))
    if unfit.why is Why.IN_USE:
        gone = Revision(wish.name, UNKNOWN_VERSION, b"", deleted=True)
        radius, given_up = await _what_it_would_do(edge, gone, feed)
        return _in_use((*unfit.findings, *given_up), radius)
    first = unfit.findings[0]
    more = {"limit_bytes": CONTENT_BYTES_MAX} if unfit.why is Why.TOO_LARGE else {}
    return RequestRefused(REFUSED_AS[unfit.why], f"{first.message}: {first.hint}", more=more)


def _in_use(findings: tuple[Finding, ...], radius: BlastRadius | None) -> RequestRefused:
    more = {"blast_radius": radius} if radius is not None else {}
    errors = [_input_error(finding, "#") for finding in findings]
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return RequestRefused(
        "document-in-use", f"{errors[0].detail}{others}", errors=errors, more=more
    )


def _input_error(finding: Finding, pointer: str) -> InputError:
    return InputError(f"{finding.message}; {finding.hint}", pointer=pointer + finding.pointer)


def _answer(
    revision: Revision,
    feed: Feed,
    radius: BlastRadius | None,
    rollout: int | None,
    *,
    changed: bool,
    dry_run: bool,
) -> web.Response:
    before = feed.get(revision.name)
    document = EditedDocument(
        document=revision_record(revision),
        changed=changed,
        dry_run=dry_run,
        effect=NO_EFFECT if rollout is None else BY_ROLLOUT,
        rollout=rollout,
        diff=diff_revisions(before, revision) if changed else (),
        blast_radius=radius,
    )
    status = 201 if before is None and changed and not dry_run else 200
    headers = {} if dry_run else {"ETag": revision.etag}
    return json_response(document, status=status, headers=headers)


def _is_same(revision: Revision, before: Revision) -> bool:
    return (revision.data, revision.schema, revision.deleted) == (
        before.data,
        before.schema,
        before.deleted,
    )


def _reason_in(found: dict[str, Any]) -> str:
    reason = reason_in(found)
    if secret_in(reason):
        raise invalid(InputError("holds what looks like a secret", parameter="reason"))
    return reason
