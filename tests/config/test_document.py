"""Names and kinds of documents, canonical content, and revisions as they are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.document import (
    DEPTH_MAX,
    Kind,
    canonical,
    is_too_deep,
    kind_of,
    name_complaint,
)
from config.revision import Revision, head_key, read_revision, version_key, versions_prefix
from regions.codec import pack, unpack

FIRST = Revision("flags", 1, canonical({"a": 1}), "flag", "ada", "begin", 17, "", "", False, 3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("region.eu-1", Kind.REGION),
        ("latency", Kind.LATENCY),
        ("schema.flags", Kind.SCHEMA),
        ("flags", Kind.FREE),
        ("latency.eu", Kind.FREE),
    ],
)
def test_the_name_says_the_kind(name: str, kind: Kind) -> None:
    assert name_complaint(name) is None
    assert kind_of(name) is kind


@pytest.mark.parametrize("name", ["", "A", "a/b", ".a", "a.", "region.", "region.a.b", "x" * 129])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    assert name_complaint(name)


def test_equal_content_has_an_equal_digest_whatever_the_order_of_its_fields() -> None:
    one, other = canonical({"a": 1, "b": [True]}), canonical({"b": [True], "a": 1})
    assert one == other == b'{"a":1,"b":[true]}'
    assert Revision("x", 1, one).digest == Revision("x", 2, other).digest


def test_content_that_came_back_has_another_etag() -> None:
    assert Revision("x", 1, b"{}").etag != Revision("x", 3, b"{}").etag


def test_depth_is_counted_without_recursion() -> None:
    content: object = 1
    for _ in range(DEPTH_MAX - 1):
        content = [content]
    assert not is_too_deep(content)
    assert is_too_deep([content])
    for _ in range(10_000):
        content = [content]
    assert is_too_deep(content)


def test_a_revision_is_read_as_it_was_kept() -> None:
    assert read_revision(FIRST.packed()) == FIRST
    assert FIRST.content == {"a": 1}


def test_what_was_tampered_with_or_is_of_a_later_format_is_not_read() -> None:
    fields = unpack(FIRST.packed())
    fields[3] = '{"a":2}'
    with pytest.raises(ValueError, match="not what its digest says"):
        read_revision(pack(fields))
    fields[0] = 2
    with pytest.raises(ValueError, match="format"):
        read_revision(pack(fields))


def test_each_revision_names_the_whole_one_before_it() -> None:
    assert FIRST.record_digest() != replace(FIRST, reason="another").record_digest()
    assert Revision("flags", 0, b"{}").record_digest() == ""


def test_keys_of_versions_sort_as_versions_do_and_those_of_one_document_lie_together() -> None:
    keys = [version_key("a", 9), version_key("a", 10), version_key("a.b", 1)]
    assert keys == sorted(keys, key=lambda key: (key.split("/")[2], key))
    assert not version_key("a.b", 1).startswith(versions_prefix("a"))
    assert head_key("a") == "{config}/head/a"
