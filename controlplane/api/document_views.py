"""What answers about documents look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from config.blast_radius import BlastRadius
from config.diff import Change
from config.document import kind_of
from config.revision import Revision

FLEET_WIDE: Final = "fleet-wide"
"""Every node takes a revision up as soon as its region's copy of the system shard shows it."""
NO_EFFECT: Final = "none"


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """A revision without its content: who made it, when, why, and after which."""

    name: str
    kind: str
    version: int
    digest: str
    etag: str
    schema: str | None
    principal: str
    reason: str
    wall_ms: int
    before: str | None
    previous: str | None
    deleted: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A revision with its content."""

    name: str
    kind: str
    version: int
    digest: str
    etag: str
    schema: str | None
    principal: str
    reason: str
    wall_ms: int
    before: str | None
    previous: str | None
    deleted: bool
    size_bytes: int
    content: Any


@dataclass(frozen=True, slots=True)
class EditedDocument:
    """What an edit came to. `effect` says where the revision is in force: `fleet-wide`, or `none`.

    `blast_radius` is of regions and constraints alone.
    """

    document: RevisionRecord
    changed: bool
    dry_run: bool
    effect: str
    diff: tuple[Change, ...]
    blast_radius: BlastRadius | None


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """How two versions of a document differ."""

    name: str
    from_version: int
    to_version: int
    diff: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class EffectiveDocument:
    """What a node of a region runs, and what its region's copy of the system shard holds.

    `drift` is `none`, or `behind`: the copy holds a revision that the node has not taken up. The
    copy itself is at most `staleness_ms` behind the fleet; `null` is without a bound.
    """

    name: str
    region: str
    node: str
    applied: RevisionRecord | None
    content: Any
    held: RevisionRecord | None
    drift: str
    staleness_ms: int | None


def revision_record(revision: Revision) -> RevisionRecord:
    """A revision without its content."""
    return RevisionRecord(**_fields(revision))


def document_view(revision: Revision) -> DocumentView:
    """A revision with its content."""
    return DocumentView(**_fields(revision), content=revision.content)


def _fields(revision: Revision) -> dict[str, Any]:
    return {
        "name": revision.name,
        "kind": kind_of(revision.name).value,
        "version": revision.version,
        "digest": revision.digest,
        "etag": revision.etag,
        "schema": revision.schema or None,
        "principal": revision.principal,
        "reason": revision.reason,
        "wall_ms": revision.wall_ms,
        "before": revision.before or None,
        "previous": revision.previous or None,
        "deleted": revision.deleted,
        "size_bytes": len(revision.data),
    }
