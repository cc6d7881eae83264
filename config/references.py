"""Documents that name each other: by the schema they are held to, and by fields that say so.

A field names a document, or a region, when its schema says so (`x-leadplane-names`). What is named
has to be there, and cannot be deleted while it is named. Documents do not name each other in a
circle; regions may, since each has prices to the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.document import Kind, kind_of, region_name, schema_name
from config.feed import Feed
from config.revision import Revision
from config.schema import NAMES_KEYWORD, marked
from regions.findings import Finding, Severity, pointer_to


@dataclass(frozen=True, slots=True)
class Reference:
    """That a document names another one, at a place; "" where it is held to it as a schema."""

    document: str
    pointer: str
    names: str


def references_of(revision: Revision, feed: Feed) -> Iterator[Reference]:
    """Everything that a document names."""
    if revision.schema:
        yield Reference(revision.name, "", schema_name(revision.schema))
    schema = feed.schema_of(revision)
    if schema is None or revision.deleted:
        return
    for path, value, named in marked(schema, revision.content, NAMES_KEYWORD):
        if isinstance(value, str):
            name = region_name(value) if named == "region" else value
            yield Reference(revision.name, pointer_to(*path), name)


def unresolved(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """What a document names that is not there. `feed` holds the revision itself."""
    for reference in references_of(revision, feed):
        if feed.get(reference.names) is None:
            message = f"there is no document {reference.names}"
            hint = "create that one first, or name another"
            yield Finding(Severity.ERROR, reference.pointer, message, hint)


def named_by(name: str, feed: Feed) -> Iterator[Reference]:
    """Where other documents name this one."""
    for other in feed.all():
        if other.name != name:
            yield from (found for found in references_of(other, feed) if found.names == name)


def circles(revision: Revision, feed: Feed) -> Iterator[Finding]:
    """References of a document that lead back to it. `feed` holds the revision itself."""
    if kind_of(revision.name) is Kind.REGION:
        return
    for reference in references_of(revision, feed):
        chain = _way_back(reference.names, revision.name, feed)
        if chain is not None:
            message = f"it leads back to itself: {' -> '.join((revision.name, *chain))}"
            yield Finding(Severity.ERROR, reference.pointer, message, "name another document")


def _way_back(start: str, goal: str, feed: Feed) -> tuple[str, ...] | None:
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        if way[-1] == goal:
            return way
        found = feed.get(way[-1])
        if found is None or kind_of(found.name) is Kind.REGION:
            continue
        for reference in references_of(found, feed):
            if reference.names not in seen:
                seen.add(reference.names)
                ways.append((*way, reference.names))
    return None
