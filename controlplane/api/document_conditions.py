"""On which version of a document an edit is meant, and whether that is still the one in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from config.revision import ETAG_DIGITS, Revision
from controlplane.problems import InputError, RequestRefused, invalid


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants of one document: its new content and schema, by what they are now.

    `content_pointer` is where the content stands in the request's body.
    """

    name: str
    change: Callable[[Revision | None], tuple[Any, str]]
    deletes: bool = False
    content_pointer: str = "#"


@dataclass(frozen=True, slots=True)
class Conditions:
    """On which version an edit is meant; `creates`: on none at all."""

    match: str
    creates: bool


def conditions_of(request: web.Request) -> Conditions:
    """On which version the edit is meant. Raises RequestRefused, 428 where that is not said."""
    match = request.headers.get(hdrs.IF_MATCH)
    none_match = request.headers.get(hdrs.IF_NONE_MATCH)
    if match is not None and none_match is not None:
        raise invalid(InputError("excludes If-Match", header="If-None-Match"))
    if none_match is not None:
        if none_match.strip() != "*" or request.method != "PUT":
            complaint = "must be * on a change, and is for PUT alone: it creates the document"
            raise invalid(InputError(complaint, header="If-None-Match"))
        return Conditions("", True)
    if match is None:
        raise RequestRefused(
            "precondition-required",
            "send the ETag that you read as If-Match, or If-None-Match: * to create a document",
        )
    return Conditions(match.strip(), False)


def check(conditions: Conditions, wish: Wish, current: Revision | None) -> None:
    """Refuse an edit of a version that is not the one in force. Raises RequestRefused."""
    if conditions.creates:
        if current is not None:
            raise _changed(f"{wish.name} is there already", current)
    elif current is None:
        raise RequestRefused("unknown-document", f"no document is called {wish.name}")
    elif conditions.match not in ("*", current.etag):
        raise _changed(f"{wish.name} is version {current.version} by now", current)


def _changed(detail: str, current: Revision) -> RequestRefused:
    more = {"etag": current.etag, "version": current.version}
    return RequestRefused("document-changed", detail, more=more, headers={"ETag": current.etag})


def is_done(wish: Wish, conditions: Conditions, current: Revision | None) -> bool:
    """Whether this very edit was made before: a retry whose first answer got lost.

    What is in force came right after the version that the edit names, and is what it asks for.
    """
    if current is None or wish.deletes or conditions.creates:
        return False
    came_after = f'"{current.version - 1}-{current.before[:ETAG_DIGITS]}"'
    if conditions.match != came_after:
        return False
    content, schema = wish.change(current)
    return current.schema == schema and content == current.content
