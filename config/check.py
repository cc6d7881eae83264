"""An edit, from what an operator sends to the revision that is kept: all of it checked first.

Theory of operation. An edit is decided against the documents as they are at one moment (a feed),
and written on the condition that it is still that moment (`edition`). So what is checked across
documents holds when the edit counts: names resolve, no circle closes, nothing that is named is
deleted, and a schema accepts what the documents under it hold. Whatever is wrong is found at once,
with its place, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from config.builtin import is_builtin_schema
from config.document import (
    CONTENT_BYTES_MAX,
    SINGLE_KINDS,
    Kind,
    canonical,
    is_too_deep,
    kind_of,
    schema_name,
)
from config.feed import Feed
from config.kind_checks import check_gone, check_kind
from config.references import circles, named_by, unresolved
from config.revision import Revision
from config.schema import SECRET_KEYWORD, marked, validate
from config.schema_rules import check_schema, unfolded
from config.secrets import HINT, find_secrets
from regions.findings import Finding, Severity, has_errors, pointer_to

DOCUMENTS_MAX: Final = 1_000
"""How many documents a fleet has, deleted ones that are remembered among them."""
CHECKS_MAX: Final = 2_000_000
"""How many values may be held to how many schemas, multiplied."""


class Why(StrEnum):
    """Why an edit is refused."""

    INVALID = "invalid"
    TOO_LARGE = "too-large"
    IN_USE = "in-use"
    BUILT_IN = "built-in"
    TOO_MANY = "too-many"


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody wants: content under a name, or that the document goes (`deletes`).

    `schema` names the schema to be held to; "" is none.
    """

    name: str
    content: Any
    schema: str
    principal: str
    reason: str
    wall_ms: int
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class Unfit:
    """The edit is refused."""

    why: Why
    findings: tuple[Finding, ...]


def decide(edit: Edit, feed: Feed, edition: int) -> Revision | Unfit:
    """The revision that an edit makes, if nothing is wrong with it.

    `edition` is the number that the edit will have.
    """
    if is_builtin_schema(edit.name):
        return _unfit(Why.BUILT_IN, "this schema is part of the release", "name one of your own")
    if edit.deletes and kind_of(edit.name) in SINGLE_KINDS:
        return _unfit(Why.BUILT_IN, "every fleet has this document", "put other content into it")
    if edit.deletes:
        revision = _revision(edit, b"", feed, edition)
        left = feed.with_one(revision)
        found = (*check_gone(revision, left), *_uses(edit.name, left))
        return Unfit(Why.IN_USE, found) if found else revision
    if is_too_deep(edit.content):
        return _unfit(Why.INVALID, "it is nested too deeply", "flatten it")
    data = canonical(edit.content)
    if len(data) > CONTENT_BYTES_MAX:
        message = f"it has {len(data)} bytes, at most {CONTENT_BYTES_MAX} are taken"
        return _unfit(Why.TOO_LARGE, message, "split it")
    revision = _revision(edit, data, feed, edition)
    if not has_room(edit.name, feed) and longest_gone(feed) is None:
        return _unfit(Why.TOO_MANY, f"there are {DOCUMENTS_MAX} documents", "join some into one")
    found = check(revision, feed.with_one(revision))
    return Unfit(Why.INVALID, found) if has_errors(found) else revision


def has_room(name: str, feed: Feed) -> bool:
    """Whether a document of this name can be kept without another one being forgotten."""
    edited = feed.edited()
    return len(edited) < DOCUMENTS_MAX or any(each.name == name for each in edited)


def longest_gone(feed: Feed) -> Revision | None:
    """The document that was deleted longest ago: it is forgotten when there is no room."""
    deleted = (each for each in feed.edited() if each.deleted)
    return min(deleted, key=lambda each: each.edition, default=None)


def check(revision: Revision, feed: Feed) -> tuple[Finding, ...]:
    """All that is wrong with a revision. `feed` holds it already. Later steps need the earlier."""
    if found := tuple(find_secrets(revision.content)):
        return found
    if kind_of(revision.name) is Kind.SCHEMA:
        return check_schema(revision.content) or tuple(_no_longer_fit(revision, feed))
    if revision.schema and feed.get(schema_name(revision.schema)) is None:
        message = f"there is no schema {revision.schema}"
        hint = f"create the document {schema_name(revision.schema)} first"
        return (Finding(Severity.ERROR, "", message, hint),)
    schema = feed.schema_of(revision)
    if schema is None:
        return ()
    if found := _held_to(schema, revision.content):
        return found
    findings = [*unresolved(revision, feed), *circles(revision, feed)]
    return tuple(findings) or tuple(check_kind(revision, feed))


def _held_to(schema: Any, content: Any) -> tuple[Finding, ...]:
    if _values(content) * unfolded(schema, schema) > CHECKS_MAX:
        message = "there is too much to check: it is large, and so is its schema"
        return (Finding(Severity.ERROR, "", message, "split it, or simplify the schema"),)
    secret = tuple(
        Finding(Severity.ERROR, pointer_to(*path), "this field is for a secret", HINT)
        for path, value, is_secret in marked(schema, content, SECRET_KEYWORD)
        if is_secret is True and value is not None
    )
    return secret or validate(schema, content)


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 1
    return 1 + sum(map(_values, inner))


def _no_longer_fit(schema: Revision, feed: Feed) -> Iterator[Finding]:
    """What documents under a schema hold that its new version would not take."""
    for other in feed.all():
        if other.schema and schema_name(other.schema) == schema.name:
            hint = "accept what is there now, or change that document first"
            for finding in check(other, feed):
                message = f"{other.name}{finding.pointer}: {finding.message}"
                yield Finding(Severity.ERROR, "", message, hint)


def _uses(name: str, feed: Feed) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            Severity.ERROR,
            "",
            f"{found.document} names it" + (f" at {found.pointer}" if found.pointer else ""),
            f"change {found.document} first",
        )
        for found in named_by(name, feed)
    )


def _revision(edit: Edit, data: bytes, feed: Feed, edition: int) -> Revision:
    before = feed.latest(edit.name)
    return Revision(
        name=edit.name,
        version=1 if before is None else before.version + 1,
        data=data,
        schema=edit.schema,
        principal=edit.principal,
        reason=edit.reason,
        wall_ms=edit.wall_ms,
        before="" if before is None or before.deleted else before.digest,
        previous="" if before is None else before.record_digest(),
        deleted=edit.deletes,
        edition=edition,
    )


def _unfit(why: Why, message: str, hint: str) -> Unfit:
    return Unfit(why, (Finding(Severity.ERROR, "", message, hint),))
