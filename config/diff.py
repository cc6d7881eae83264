"""The difference between two contents, as people would tell it.

Objects are compared field by field. A list of named things (objects that each have a `name`, an
`id`, or a `shard`, none twice) is compared by those names, so that one put in front does not change
all that follow; a list of different plain values is compared as a set, and its order by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from config.revision import Revision
from regions.findings import pointer_to

NAMING_FIELDS: Final = ("name", "id", "shard")


class ChangeKind(StrEnum):
    """What became of a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    `path` is written as a JSON pointer is, with the name of a thing instead of its place in a list.
    """

    path: str
    change: ChangeKind
    before: Any = None
    after: Any = None


def diff(before: Any, after: Any) -> tuple[Change, ...]:
    """All differences, in the order of their paths; none when the contents are equal."""
    return tuple(sorted(_compare(before, after, ()), key=lambda change: change.path))


def diff_revisions(before: Revision | None, after: Revision) -> tuple[Change, ...]:
    """How a revision differs from another, or from none; a deleted one has no content at all."""
    here, there = _content(before), _content(after)
    if here is None and there is None:
        return ()
    if there is None:
        return (Change("", ChangeKind.REMOVED, here),)
    if here is None and not isinstance(there, dict):
        return (Change("", ChangeKind.ADDED, None, there),)
    return diff({} if here is None else here, there)


def _content(revision: Revision | None) -> Any:
    return None if revision is None or revision.deleted else revision.content


def _compare(before: Any, after: Any, path: tuple[str | int, ...]) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _compare_fields(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _compare_lists(before, after, path)
    elif not _is_same(before, after):
        yield Change(pointer_to(*path), ChangeKind.CHANGED, before, after)


def _compare_fields(
    before: dict[str, Any], after: dict[str, Any], path: tuple[str | int, ...]
) -> Iterator[Change]:
    for key in before.keys() | after.keys():
        here = (*path, key)
        if key not in after:
            yield Change(pointer_to(*here), ChangeKind.REMOVED, before[key])
        elif key not in before:
            yield Change(pointer_to(*here), ChangeKind.ADDED, None, after[key])
        else:
            yield from _compare(before[key], after[key], here)


def _compare_lists(
    before: list[Any], after: list[Any], path: tuple[str | int, ...]
) -> Iterator[Change]:
    one, other = _by_name(before), _by_name(after)
    if one is None or other is None:
        yield from _compare_places(before, after, path)
        return
    yield from _compare_fields(one, other, path)
    kept = [name for name in one if name in other]
    kept_after = [name for name in other if name in one]
    if kept != kept_after:
        yield Change(pointer_to(*path), ChangeKind.REORDERED, kept, kept_after)


def _compare_places(
    before: list[Any], after: list[Any], path: tuple[str | int, ...]
) -> Iterator[Change]:
    for at in range(max(len(before), len(after))):
        here = (*path, at)
        if at >= len(after):
            yield Change(pointer_to(*here), ChangeKind.REMOVED, before[at])
        elif at >= len(before):
            yield Change(pointer_to(*here), ChangeKind.ADDED, None, after[at])
        else:
            yield from _compare(before[at], after[at], here)


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """The things of a list by name, or None where they have none, or share one."""
    if all(isinstance(item, str) for item in items):
        named = {item: item for item in items}
        return named if len(named) == len(items) else None
    for field in NAMING_FIELDS:
        names = [item.get(field) if isinstance(item, dict) else None for item in items]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return dict(zip(map(str, names), items, strict=True))
    return None


def _is_same(before: Any, after: Any) -> bool:
    """Equal as JSON has it: Python would call 1 and true the same."""
    return type(before) is type(after) and before == after
