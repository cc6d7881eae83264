"""Reading documents: all of them, one, its versions, and how two differ.

Documents are read at the leader of the system shard, or, with `consistency=any`, from the copy of
the answering node's region, which is there when no leader is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from config.diff import diff_revisions
from config.document import name_complaint
from config.revision import Revision
from controlplane.api.document_store import (
    Asking,
    read_known,
    read_latest,
    read_version,
    read_versions,
)
from controlplane.api.document_views import (
    DocumentDiff,
    document_view,
    revision_record,
)
from controlplane.api.edge import Edge
from controlplane.api.paging import page
from controlplane.api.parameters import CONTINUE, LIMIT, Kind, Parameter, Parameters
from controlplane.api.responses import empty_response, json_response
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.requests import Consistency

DIGITS_MAX: Final = 12
CONSISTENCY: Final = Parameter(
    "consistency",
    "`strong`, as the leader has it, or `any`: as the copy of the answering node's region does.",
    choices=(Consistency.STRONG.value, Consistency.ANY.value),
)
READ_PARAMETERS: Final = Parameters(CONSISTENCY)
LIST_PARAMETERS: Final = Parameters(LIMIT, CONTINUE, CONSISTENCY)
DIFF_PARAMETERS: Final = Parameters(
    Parameter("from", "The older version; the one before `to` if not given.", Kind.INTEGER),
    Parameter("to", "The newer version; the one in force if not given.", Kind.INTEGER),
    CONSISTENCY,
)


async def list_documents(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config: every document, by name, without its content."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    known = await read_known(_asking(edge, request, found))
    if isinstance(known, web.Response):
        return known
    documents = known.feed.all()
    return json_response(page(documents, lambda d: d.name, "config", found, revision_record))


async def get_document(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config/{name}: the revision in force."""
    found = READ_PARAMETERS.parse(request.rel_url.raw_query_string)
    name = name_in_path(request)
    revision = await read_latest(_asking(edge, request, found), name)
    if isinstance(revision, web.Response):
        return revision
    if revision is None or revision.deleted:
        raise RequestRefused("unknown-document", f"no document is called {name}")
    headers = {"ETag": revision.etag}
    if request.headers.get(hdrs.IF_NONE_MATCH, "").strip() in (revision.etag, "*"):
        return empty_response(304, headers)
    return json_response(document_view(revision), headers=headers)


async def list_versions(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config/{name}/versions: what is kept of a document, oldest first."""
    found = LIST_PARAMETERS.parse(request.rel_url.raw_query_string)
    name = name_in_path(request)
    kept = await read_versions(_asking(edge, request, found), name)
    if isinstance(kept, web.Response):
        return kept
    default = _default(edge, name)
    versions = ((default,) if default is not None else ()) + kept
    if not versions:
        raise RequestRefused("unknown-document", f"no document is called {name}")
    scope = f"versions of {name}"
    return json_response(page(versions, _place, scope, found, revision_record))


async def get_version(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config/{name}/versions/{version}: one revision, in force or not."""
    found = READ_PARAMETERS.parse(request.rel_url.raw_query_string)
    text = request.match_info["version"]
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise invalid(InputError("must be the number of a version", parameter="version"))
    asking = _asking(edge, request, found)
    revision = await _version(asking, name_in_path(request), int(text))
    if isinstance(revision, web.Response):
        return revision
    return json_response(document_view(revision), headers={"ETag": revision.etag})


async def get_diff(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/config/{name}/diff: how two versions differ."""
    found = DIFF_PARAMETERS.parse(request.rel_url.raw_query_string)
    name = name_in_path(request)
    asking = _asking(edge, request, found)
    latest = await read_latest(asking, name)
    if isinstance(latest, web.Response):
        return latest
    if latest is None:
        raise RequestRefused("unknown-document", f"no document is called {name}")
    to = found.get("to", latest.version)
    newer = await _version(asking, name, to)
    if isinstance(newer, web.Response):
        return newer
    older = await _version(asking, name, found.get("from", max(0, to - 1)), may_be_absent=True)
    if isinstance(older, web.Response):
        return older
    changes = diff_revisions(older, newer)
    return json_response(DocumentDiff(name, older.version, newer.version, changes))


def name_in_path(request: web.Request) -> str:
    """The document that the path names. Raises RequestRefused when none can be called so."""
    name = request.match_info["name"]
    complaint = name_complaint(name)
    if complaint is not None:
        raise invalid(InputError(complaint, parameter="name"))
    return name


async def _version(
    asking: Asking, name: str, version: int, *, may_be_absent: bool = False
) -> Revision | web.Response:
    """A version of a document; `may_be_absent`: version 0 of one without a default is empty."""
    if version == 0:
        default = _default(asking.edge, name)
        if default is not None:
            return default
        if may_be_absent:
            return Revision(name, 0, b"", deleted=True)
    found = await read_version(asking, name, version)
    if found is None:
        raise RequestRefused("unknown-version", f"{name} has no version {version}, or none is kept")
    return found


def _default(edge: Edge, name: str) -> Revision | None:
    return edge.service.documents().copy(()).get(name)


def _place(revision: Revision) -> str:
    """The number of a version, as a name that sorts as the number does."""
    return f"{revision.version:020}"


def _asking(edge: Edge, request: web.Request, found: Mapping[str, Any]) -> Asking:
    wanted = found.get("consistency", Consistency.STRONG.value)
    return Asking(edge, request, consistency=Consistency(wanted))
