"""The routes of documents, and of regions as the documents they are."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from controlplane.api import document_edits, document_pages, effective, pins, region_edits
from controlplane.api.document_views import (
    DocumentDiff,
    DocumentView,
    EditedDocument,
    EffectiveDocument,
    RevisionRecord,
)
from controlplane.api.edge import Handler
from controlplane.api.headers import (
    DOCUMENT_TAG,
    IF_NONE_MATCH,
    MATCH_DOCUMENT,
    NEW_DOCUMENT,
    PASSED_ON,
)
from controlplane.api.parameters import EDIT_PARAMETERS, Parameters
from controlplane.api.route import Answer, Endpoint, Header, Needs

READ: Final = (
    "invalid", "no-leader", "no-quorum", "leader-unreachable", "not-leader", "stale",
    "overloaded", "not-ready", "unknown-shard",
)  # fmt: skip
EDITED: Final = (
    *READ, "unknown-document", "document-in-use", "document-changed", "built-in",
    "precondition-required", "too-large", "request-timeout", "unsupported-media-type",
    "quota-exceeded", "store-full", "transferring", "unknown-outcome", "rollout-unfinished",
    "rollout-refused",
)  # fmt: skip


def _read(
    path: str, handler: Handler, summary: str, model: Any, parameters: Parameters, **more: Any
) -> Endpoint:
    """Something to be read of documents."""
    answers = (Answer(200, summary, model, **more),)
    problems = (*READ, "unknown-document", "unknown-version")
    return Endpoint(
        "GET", path, handler, summary, "documents", Needs.READER, answers, problems, parameters,
        PASSED_ON,
    )  # fmt: skip


def _edit(
    method: str, path: str, handler: Handler, summary: str, body: type[BaseModel] | None
) -> Endpoint:
    """A change of one document."""
    answers: tuple[Answer, ...] = (
        Answer(200, "Changed; or what would be.", EditedDocument),
        Answer(201, "Created.", EditedDocument, headers=DOCUMENT_TAG),
    )
    headers: tuple[Header, ...] = (MATCH_DOCUMENT, *PASSED_ON)
    if method == "PUT":
        headers = (NEW_DOCUMENT, *headers)
    else:
        answers = answers[:1]
    return Endpoint(
        method, path, handler, summary, "documents", Needs.OPERATOR, answers, EDITED,
        EDIT_PARAMETERS, headers, body,
    )  # fmt: skip


DOCUMENTS: Final = (
    _read(
        "/v1/config",
        document_pages.list_documents,
        "Every document, by name, without its content",
        RevisionRecord,
        document_pages.LIST_PARAMETERS,
        listed=True,
    ),
    Endpoint(
        "GET",
        "/v1/config/{name}",
        document_pages.get_document,
        "A document as it is in force",
        "documents",
        Needs.READER,
        (
            Answer(200, "The revision in force.", DocumentView, headers=DOCUMENT_TAG),
            Answer(304, "It is still the same.", headers=DOCUMENT_TAG),
        ),
        (*READ, "unknown-document"),
        document_pages.READ_PARAMETERS,
        (IF_NONE_MATCH, *PASSED_ON),
    ),
    _edit(
        "PUT",
        "/v1/config/{name}",
        document_edits.put_document,
        "Create a document, or give it another content",
        document_edits.DocumentBody,
    ),
    _edit(
        "DELETE",
        "/v1/config/{name}",
        document_edits.delete_document,
        "Delete a document; its versions are kept",
        None,
    ),
    _read(
        "/v1/config/{name}/versions",
        document_pages.list_versions,
        "The versions of a document that are kept, oldest first",
        RevisionRecord,
        document_pages.LIST_PARAMETERS,
        listed=True,
    ),
    _read(
        "/v1/config/{name}/versions/{version}",
        document_pages.get_version,
        "One version of a document",
        DocumentView,
        document_pages.READ_PARAMETERS,
        headers=DOCUMENT_TAG,
    ),
    _read(
        "/v1/config/{name}/diff",
        document_pages.get_diff,
        "How two versions of a document differ",
        DocumentDiff,
        document_pages.DIFF_PARAMETERS,
    ),
    Endpoint(
        "GET",
        "/v1/config/{name}/effective",
        effective.get_effective,
        "What a node of a region runs now, and whether it is behind; or wait for another",
        "documents",
        Needs.READER,
        (
            Answer(200, "What the answering node runs.", EffectiveDocument, headers=DOCUMENT_TAG),
            Answer(304, "It is still the same.", headers=DOCUMENT_TAG),
        ),
        ("invalid", "unknown-document", "unknown-region", "no-member", "not-ready"),
        effective.EFFECTIVE_PARAMETERS,
        (IF_NONE_MATCH, *PASSED_ON),
    ),
    _edit(
        "PUT",
        "/v1/regions/{region}",
        region_edits.put_region,
        "Create a region, or describe it anew",
        region_edits.RegionContent,
    ),
    _edit(
        "PATCH",
        "/v1/regions/{region}",
        region_edits.patch_region,
        "Change some fields of a region, by a JSON merge patch",
        region_edits.RegionContent,
    ),
    _edit("DELETE", "/v1/regions/{region}", region_edits.delete_region, "Take a region away", None),
    Endpoint(
        "POST",
        "/v1/shards/{shard}/pin",
        pins.pin_shard,
        "Have a shard led by one node, or by nobody in particular: an edit of `constraints`",
        "shards",
        Needs.OPERATOR,
        (Answer(200, "Changed; or what would be.", EditedDocument),),
        (*EDITED, "unknown-node", "no-candidate"),
        EDIT_PARAMETERS,
        PASSED_ON,
        pins.PinOrder,
    ),
)
