"""How two contents differ, as people would tell it."""

from __future__ import annotations

from typing import Any

import pytest

from config.diff import Change, ChangeKind, diff, diff_revisions
from config.revision import Revision

STORES = [{"id": "s1", "zone": "a"}, {"id": "s2", "zone": "b"}]


def told(before: Any, after: Any) -> list[tuple[str, str, Any, Any]]:
    """All changes as plain tuples."""
    return [(c.path, c.change.value, c.before, c.after) for c in diff(before, after)]


@pytest.mark.parametrize("content", [{}, [], None, {"a": [1, {"b": None}]}])
def test_equal_contents_do_not_differ(content: Any) -> None:
    assert diff(content, content) == ()


def test_fields_are_added_removed_and_changed() -> None:
    assert told({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": None}) == [
        ("/a", "removed", 1, None),
        ("/b/c", "changed", 2, 3),
        ("/d", "added", None, None),
    ]


def test_a_thing_put_in_front_changes_nothing_else() -> None:
    new = {"id": "s0", "zone": "a"}
    assert told({"stores": STORES}, {"stores": [new, *STORES]}) == [
        ("/stores/s0", "added", None, new)
    ]


def test_a_named_thing_is_compared_with_itself() -> None:
    moved = [STORES[0], {"id": "s2", "zone": "c"}]
    assert told({"stores": STORES}, {"stores": moved}) == [("/stores/s2/zone", "changed", "b", "c")]


def test_an_order_that_changed_is_told_by_itself() -> None:
    assert told(["eu", "us", "ap"], ["us", "eu"]) == [
        ("", "reordered", ["eu", "us"], ["us", "eu"]),
        ("/ap", "removed", "ap", None),
    ]


def test_things_without_names_are_compared_by_place() -> None:
    assert told([1, 1, 2], [1, 3]) == [("/1", "changed", 1, 3), ("/2", "removed", 2, None)]


def test_one_is_not_true_and_whole_is_not_broken() -> None:
    assert told({"a": 1, "b": 1}, {"a": True, "b": 1.0}) == [
        ("/a", "changed", 1, True),
        ("/b", "changed", 1, 1.0),
    ]


def test_a_document_that_comes_or_goes_differs_as_a_whole() -> None:
    there, gone = Revision("x", 1, b'{"a":1}'), Revision("x", 2, b"", deleted=True)
    assert diff_revisions(there, gone) == (Change("", ChangeKind.REMOVED, {"a": 1}),)
    assert diff_revisions(None, there) == (Change("/a", ChangeKind.ADDED, None, 1),)
    assert diff_revisions(gone, there) == diff_revisions(None, there)
    plain = Revision("x", 3, b"17")
    assert diff_revisions(gone, plain) == (Change("", ChangeKind.ADDED, None, 17),)
    assert diff_revisions(gone, gone) == ()
