"""What answers about documents look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from config.blast_radius import BlastRadius
from config.diff import Change
from config.document import kind_of
from config.revision import Revision

BY_ROLLOUT: Final = "rollout"
"""Regions take the revision up one wave after the other."""
NO_EFFECT: Final = "none"
"""It is there, and a rollout can bring it into force."""


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
    """What an edit came to. `effect` says how the revision comes into force: by a `rollout`, whose
    number stands there, or not yet (`none`).

    `blast_radius` is of regions and constraints alone.
    """

    document: RevisionRecord
    changed: bool
    dry_run: bool
    effect: str
    rollout: int | None
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
class TargetRecord:
    """What a region is to run, and which rollout ordered it; version 0 is the default."""

    version: int
    digest: str
    rollout: int


@dataclass(frozen=True, slots=True)
class EffectiveDocument:
    """What a node of a region runs, and what its region's copy of the system shard says it should.

    `drift` is `none`, or `behind`: the node runs something else than its region is to run, or
    `unknown`: the copy cannot be read. Of a rollout by nodes, `target` is what this one is to
    run. `newest` is the last revision that was made; one that was not rolled out is in force
    nowhere. The copy itself is at most `staleness_ms` behind the fleet; `null` is without a
    bound.
    """

    name: str
    region: str
    node: str
    applied: RevisionRecord | None
    content: Any
    target: TargetRecord | None
    newest: RevisionRecord | None
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
