"""Documents in the system shard, as its leader reads and writes them on behalf of a request.

A question that another node has to answer takes the whole request there: then what comes back is
that node's answer, and is given as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import web

from config.audit import Note, What
from config.effect import PARTITION as EFFECT
from config.effect import Target, live_prefix, read_target, target_key, version_of
from config.feed import Feed
from config.revision import (
    EDITION_KEY,
    HEAD_PREFIX,
    PARTITION,
    Revision,
    head_key,
    read_revision,
    version_key,
    versions_prefix,
)
from controlplane.api.edge import Edge
from controlplane.api.newest_documents import Edition
from controlplane.node.following import SYSTEM
from controlplane.planning.system_shard import known_as
from controlplane.requests import (
    Compare,
    Consistency,
    Delete,
    Found,
    Outcome,
    Put,
    Read,
    Scan,
    Scanned,
    Write,
    Written,
)

PAGE_ITEMS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """All documents at one edition."""

    feed: Feed
    edition: Edition
    last_version: int = 0
    """Of a document that is not there, but was, and is forgotten: the last that is in force."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request, and how fresh what is read for it must be."""

    edge: Edge
    request: web.Request
    body: bytes = b""
    consistency: Consistency = Consistency.STRONG

    @property
    def needs_leader(self) -> bool:
        """Only a strong read does."""
        return self.consistency is Consistency.STRONG


async def read_known(asking: Asking, name: str = "") -> Known | web.Response:
    """Every document; `name` is the one to be edited. The edition is read first: an edit meanwhile
    makes a later one fail."""
    edition = await _read_edition(asking)
    if isinstance(edition, web.Response):
        return edition
    newest = asking.edge.newest
    revisions = newest.at(edition)
    if revisions is None:
        scanned = await _scan(asking, HEAD_PREFIX)
        if isinstance(scanned, web.Response):
            return scanned
        revisions = scanned
        if asking.needs_leader and await _read_edition(asking) == edition:
            newest.keep(edition, revisions)
    feed = asking.edge.service.documents().copy(revisions)
    is_new = name != "" and feed.latest(name) is None
    last = await _last_live(asking, name) if is_new else 0
    return last if isinstance(last, web.Response) else Known(feed, edition, last)


async def _last_live(asking: Asking, name: str) -> int | web.Response:
    """The newest version of a document that some region runs, or may go back to; else 0."""
    outcome = await _ask(asking, Scan(SYSTEM, EFFECT, live_prefix(name), "", PAGE_ITEMS))
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Scanned), outcome
    found = (version_of(key) for key, _ in outcome.items)
    return max((live[1] for live in found if live is not None), default=0)


async def _read_edition(asking: Asking) -> Edition | web.Response:
    outcome = await _ask(asking, Read(SYSTEM, (EDITION_KEY,)))
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Found), outcome
    value, epoch = outcome.values[0], outcome.provenance.epoch
    return Edition(epoch=epoch) if value is None else Edition(int(value.data), value.version, epoch)


async def read_latest(asking: Asking, name: str) -> Revision | web.Response | None:
    """The newest revision of a document, or what holds before there is one."""
    found = await _read_one(asking, head_key(name))
    if isinstance(found, web.Response):
        return found
    edited = () if found is None else (known_as(read_revision, found[0]),)
    return asking.edge.service.documents().copy(edited).latest(name)


async def read_versions(asking: Asking, name: str) -> tuple[Revision, ...] | web.Response:
    """The revisions of a document that are kept, oldest first."""
    return await _scan(asking, versions_prefix(name))


async def read_version(asking: Asking, name: str, version: int) -> Revision | web.Response | None:
    """One revision, None when it is not kept."""
    found = await _read_one(asking, version_key(name, version))
    if found is None or isinstance(found, web.Response):
        return found
    return known_as(read_revision, found[0])


@dataclass(frozen=True, slots=True)
class Held:
    """What a region's copy says of a document: the newest revision, and what is to be run there.

    `staleness_ms`: how far the copy is behind at most; None is without a bound.
    """

    newest: Revision | None = None
    target: Target | None = None
    staleness_ms: int | None = None
    is_known: bool = True
    """Whether the copy could be read at all."""


async def read_held(asking: Asking, name: str) -> Held:
    """What this region's copy holds.

    Must be asked with consistency `any`, which no other node is asked for when this one can answer.
    """
    here = asking.edge.here
    keys = (head_key(name), target_key(name, here.region), target_key(name))
    outcome = await asking.edge.service.submit(Read(SYSTEM, keys, Consistency.ANY))
    if not isinstance(outcome, Found):
        return Held(is_known=False)
    head, own, all_others = outcome.values
    target = own or all_others
    return Held(
        None if head is None else known_as(read_revision, head.data),
        None if target is None else known_as(read_target, target.data).at(name, here.node),
        outcome.provenance.staleness_ms,
    )


async def write_revision(
    asking: Asking, revision: Revision, known: Known, gone: Revision | None
) -> Written | web.Response:
    """Keep a revision, if nothing was edited since `known`, and drop the oldest that is too many.

    `gone`: a deleted document to be forgotten with all of its versions. Raises RequestRefused,
    `precondition-failed` when something was edited.
    """
    most = asking.edge.service.limits.document_versions_max
    packed = revision.packed()
    keys = (head_key(revision.name), version_key(revision.name, revision.version))
    mutations: list[Put | Delete] = [Put(PARTITION, key, packed) for key in keys]
    mutations.append(Put(PARTITION, EDITION_KEY, str(revision.edition).encode()))
    oldest = revision.version - most
    dropped = [version_key(revision.name, oldest)] if oldest > 0 else []
    if gone is not None:
        dropped.append(head_key(gone.name))
        kept = range(max(1, gone.version - most), gone.version + 1)
        dropped += [version_key(gone.name, version) for version in kept]
    mutations += [Delete(PARTITION, key) for key in dropped]
    compare = Compare(EDITION_KEY, known.edition.version)
    question = Write(SYSTEM, tuple(mutations), (compare,), notes=_notes(revision, gone))
    outcome = await asking.edge.ask(asking.request, SYSTEM, question, body=asking.body)
    assert isinstance(outcome, Written | web.Response), outcome
    if isinstance(outcome, Written):
        after = Edition(revision.edition, outcome.position, outcome.epoch)
        asking.edge.newest.edited(known.edition, after, revision, gone)
    return outcome


def _notes(revision: Revision, gone: Revision | None) -> tuple[Note, ...]:
    """What the audit log says of an edit, and of a document that it lets be forgotten."""
    before = {"version": revision.version - 1, "digest": revision.before}
    after: dict[str, Any] = {"version": revision.version, "digest": revision.digest}
    if revision.schema:
        after["schema"] = revision.schema
    if revision.deleted:
        after = {"version": revision.version, "deleted": True}
    edit = Note(
        What.DOCUMENT, revision.name, revision.principal, revision.reason,
        before if revision.before else None, after,
    )  # fmt: skip
    if gone is None:
        return (edit,)
    forgotten = {"version": gone.version, "forgotten": True}
    return edit, Note(What.DOCUMENT, gone.name, before={"deleted": True}, after=forgotten)


async def _read_one(asking: Asking, key: str) -> tuple[bytes, int] | web.Response | None:
    """A value and its version."""
    outcome = await _ask(asking, Read(SYSTEM, (key,)))
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Found), outcome
    value = outcome.values[0]
    return (value.data, value.version) if value is not None else None


async def _scan(asking: Asking, prefix: str) -> tuple[Revision, ...] | web.Response:
    found: list[Revision] = []
    after = ""
    while True:
        outcome = await _ask(asking, Scan(SYSTEM, PARTITION, prefix, after, PAGE_ITEMS))
        if isinstance(outcome, web.Response):
            return outcome
        assert isinstance(outcome, Scanned), outcome
        found += [known_as(read_revision, value.data) for _, value in outcome.items]
        if not outcome.more or not outcome.items:
            return tuple(found)
        after = outcome.items[-1][0]


async def _ask(asking: Asking, strong: Read | Scan) -> Outcome | web.Response:
    """As fresh as is asked for: nearby, or, where home cannot answer so, as a strong read."""
    return await asking.edge.ask(
        asking.request,
        SYSTEM,
        replace(strong, consistency=asking.consistency),
        body=asking.body,
        needs_leader=asking.needs_leader,
        at_leader=None if asking.needs_leader else strong,
    )
