"""Which schemas are taken, and what is said of content that does not fit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from config.builtin import builtin_schema
from config.document import FLEET_KINDS, Kind
from config.schema import NAMES_KEYWORD, marked, validate
from config.schema_rules import check_schema, unfolded

FLAG: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["share"],
    "properties": {
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "owner": {"type": "string", "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "uniqueItems": True},
    },
}


def places(schema: Any, content: Any) -> list[str]:
    """Where content does not fit."""
    return [finding.pointer for finding in validate(schema, content)]


@pytest.mark.parametrize("kind", FLEET_KINDS)
def test_built_in_schemas_keep_the_rules_themselves(kind: Kind) -> None:
    assert check_schema(builtin_schema(kind)) == ()


def test_everything_that_does_not_fit_is_told_at_once_by_place() -> None:
    assert check_schema(FLAG) == ()
    assert places(FLAG, {"share": 0.5, "owner": "ada", "tags": [1, "1"]}) == []
    content = {"owner": "Ada", "tags": [1, 1], "x/y": 0}
    assert places(FLAG, content) == ["/owner", "/share", "/tags", "/x~1y"]
    assert places(FLAG, {"share": 2}) == ["/share"]
    assert places(FLAG, []) == [""]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"requierd": []}, "/requierd"),
        ({"$ref": "http://example.com/schema"}, "/$ref"),
        ({"$ref": "#/$defs/none"}, "/$ref"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "/$ref"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "/properties/a/pattern"),
        ({"pattern": "^a*b*c*"}, "/pattern"),
        ({"pattern": "a*b*"}, "/pattern"),
        ({"pattern": "^a|b*c*"}, "/pattern"),
        ({"pattern": "(?=a)b"}, "/pattern"),
        ({"pattern": "["}, "/pattern"),
        ({"pattern": "a?" * 30}, "/pattern"),
        ({"patternProperties": {"(a*)*": True}}, "/patternProperties/(a*)*"),
        ({"type": "text"}, "/type"),
        ({"minimum": "1"}, "/minimum"),
        ({"items": 3}, "/items"),
        ({NAMES_KEYWORD: "store"}, f"/{NAMES_KEYWORD}"),
        ([], ""),
    ],
)
def test_a_schema_that_is_wrong_or_could_hold_up_the_leader_is_refused(
    schema: Any, place: str
) -> None:
    found = [finding.pointer for finding in check_schema(schema)]
    assert place in found


def test_a_schema_that_unfolds_without_end_is_found_out_quickly() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": {}}}
    since = time.process_time()
    assert [finding.pointer for finding in check_schema(schema)] == ["/$defs"]
    assert time.process_time() - since < 2
    assert unfolded(FLAG, FLAG) == 5


def test_a_pattern_is_quick_on_the_longest_text_it_is_tried_on() -> None:
    schema = {"pattern": "^a*a*b"}
    assert check_schema(schema) == ()
    since = time.process_time()
    assert places(schema, "a" * 100_000) == [""]
    assert places(schema, "a" * 500) == [""]
    assert time.process_time() - since < 0.5


def test_a_keyword_is_followed_through_every_part_of_a_schema() -> None:
    name = {NAMES_KEYWORD: "document"}
    schema = {
        "properties": {
            "one": {"anyOf": [name, {"type": "null"}]},
            "many": {"type": "array", "prefixItems": [{}], "items": {"$ref": "#/$defs/name"}},
            "by": {"propertyNames": name, "additionalProperties": False},
        },
        "patternProperties": {"^x": name},
        "$defs": {"name": name},
    }
    content = {"one": "a", "many": ["-", "b"], "by": {"c": 1}, "x1": "d", "other": "e"}
    found = {(path, value) for path, value, _ in marked(schema, content, NAMES_KEYWORD)}
    assert found == {
        (("one",), "a"),
        (("many", 1), "b"),
        (("by", "c"), "c"),
        (("x1",), "d"),
    }
