"""What a document is called, which kinds of documents there are, and what content is as bytes.

The name says the kind. `latency`, `constraints`, `placement`, `timeouts` and `rollouts` stand for
themselves, `region.<name>` is a region, `flags.<name>` a set of feature flags, `schema.<name>` a
schema that other documents can be held to; every other name is the fleet's to give: a *free*
document.

Content is whatever JSON can say. It is kept as canonical JSON, with the names of each object in
order, so that equal content has equal bytes, and an equal digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import orjson

NAME_CHARACTERS_MAX: Final = 128
CONTENT_BYTES_MAX: Final = 120 * 1024
"""A log entry holds a revision twice, and then fits into one batch of 256 KiB."""
REVISION_BYTES_MAX: Final = CONTENT_BYTES_MAX + 4 * 1024
"""A revision with its name, reason and digests."""
DEPTH_MAX: Final = 32
REGION_PREFIX: Final = "region."
FLAGS_PREFIX: Final = "flags."
SCHEMA_PREFIX: Final = "schema."

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_PLACE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """What a document is for."""

    REGION = "region"
    LATENCY = "latency"
    CONSTRAINTS = "constraints"
    PLACEMENT = "placement"
    TIMEOUTS = "timeouts"
    ROLLOUTS = "rollouts"
    FLAGS = "flags"
    SCHEMA = "schema"
    FREE = "free"


SINGLE_KINDS: Final = (
    Kind.LATENCY, Kind.CONSTRAINTS, Kind.PLACEMENT, Kind.TIMEOUTS, Kind.ROLLOUTS,
)  # fmt: skip
"""Of each of these there is one document, with the name of the kind; it is always there."""
FLEET_KINDS: Final = (Kind.REGION, Kind.FLAGS, *SINGLE_KINDS)
"""Those that Leadplane itself reads. Their schemas are built in."""


def kind_of(name: str) -> Kind:
    """The kind of the document with this name."""
    if name.startswith(REGION_PREFIX):
        return Kind.REGION
    if name.startswith(FLAGS_PREFIX):
        return Kind.FLAGS
    if name.startswith(SCHEMA_PREFIX):
        return Kind.SCHEMA
    return Kind(name) if name in SINGLE_KINDS else Kind.FREE


def name_complaint(name: str) -> str | None:
    """Say why this cannot be the name of a document, or None if it can."""
    if len(name) > NAME_CHARACTERS_MAX:
        return f"is longer than {NAME_CHARACTERS_MAX} characters"
    if not _NAME.fullmatch(name):
        return "must be lower-case letters, digits and inner dots, hyphens or underscores"
    if kind_of(name) is Kind.REGION and not _PLACE_NAME.fullmatch(region_of(name)):
        return "must name a region: lower-case letters, digits and inner hyphens, at most 63"
    return None


def region_name(region: str) -> str:
    """The document of a region."""
    return REGION_PREFIX + region


def region_of(name: str) -> str:
    """The region that a document is of."""
    return name.removeprefix(REGION_PREFIX)


def schema_name(schema: str) -> str:
    """The document that holds the schema of this name."""
    return SCHEMA_PREFIX + schema


def canonical(content: Any) -> bytes:
    """Content as the bytes that are kept and digested."""
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def digest_of(data: bytes) -> str:
    """The digest by which content is known: SHA-256, in hexadecimal."""
    return sha256(data).hexdigest()


def is_too_deep(content: Any) -> bool:
    """Whether lists and objects lie in each other deeper than `DEPTH_MAX`."""
    level = [content]
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
