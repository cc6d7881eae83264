"""What flags come to: rules in their order, splits, prerequisites, the kill switch, and errors."""

from __future__ import annotations

from typing import Any

import pytest

from config.flags import ErrorCode, Evaluation, FlagSet, Reason, compile_document

BUCKETS_OF_F = [38, 29, 71]
"""Of ada, bob and é, in percent."""
HALVES = [{"serve": "on", "percent": 50}, {"serve": "off", "percent": 50}]


def flag_set(flags: dict[str, Any], region: str = "eu", name: str = "flags.web") -> FlagSet:
    """Flags of one document, at version 3."""
    return FlagSet([compile_document(name, 3, {"flags": flags}, region)])


def evaluate(flag: dict[str, Any], key: str | None = "ada", **attributes: Any) -> Evaluation:
    """What one flag comes to in region eu."""
    return flag_set({"f": flag}).evaluate("f", key, attributes)


def serves(when: dict[str, Any], **attributes: Any) -> bool:
    """Whether a rule with these conditions fits."""
    flag = {"default": "off", "rules": [{"when": when, "serve": "on"}]}
    found = evaluate(flag, **attributes)
    assert found.reason is (Reason.TARGETING_MATCH if found.value else Reason.DEFAULT)
    return bool(found.value)


def test_a_flag_without_rules_is_static() -> None:
    found = evaluate({"default": "on"})
    told = {"document": "flags.web", "version": 3}
    assert found == Evaluation(True, "on", Reason.STATIC, metadata=told)


def test_variants_are_values_of_any_type() -> None:
    sizes = {"variants": {"small": {"px": 1}, "large": {"px": 9}}, "off": "small"}
    found = evaluate(sizes | {"default": "large"})
    assert (found.value, found.variant) == ({"px": 9}, "large")


def test_a_flag_that_is_killed_has_its_off_variant_whatever_its_rules_say() -> None:
    rules = [{"when": {"a": {"exists": False}}, "serve": "on"}]
    killed = evaluate({"enabled": False, "default": "on", "rules": rules})
    assert (killed.value, killed.reason) == (False, Reason.DISABLED)
    named = {"enabled": False, "variants": {"a": 1, "b": 2}, "off": "b", "default": "a"}
    assert evaluate(named).value == 2


def test_the_first_rule_that_fits_counts() -> None:
    rules = [
        {"when": {"plan": {"equals": "gold"}}, "serve": "b"},
        {"when": {"plan": {"in": ["gold", "silver"]}, "age": {">=": 18}}, "serve": "c"},
    ]
    flag = {"variants": dict.fromkeys("abc", "x"), "off": "a", "default": "a", "rules": rules}
    found = [evaluate(flag, plan=plan, age=age).variant for plan, age in
             (("gold", 3), ("silver", 18), ("silver", 17), ("tin", 18))]  # fmt: skip
    assert found == ["b", "c", "a", "a"]


def test_a_rule_for_regions_fits_only_there() -> None:
    flag = {"default": "off", "rules": [{"regions": ["eu"], "serve": "on"}]}
    assert flag_set({"f": flag}, "eu").evaluate("f", None, {}).reason is Reason.TARGETING_MATCH
    assert flag_set({"f": flag}, "us").evaluate("f", None, {}).reason is Reason.DEFAULT


@pytest.mark.parametrize(
    ("condition", "fits", "fits_not"),
    [
        ({"equals": "a"}, ["a"], ["b", None, ["a"], 1]),
        ({"equals": 1}, [1, 1.0], [True, "1", 2]),
        ({"equals": True}, [True], [1, "true", False]),
        ({"in": ["a", 2]}, ["a", 2], ["2", None, True]),
        ({"not_in": ["a", 2]}, ["b", 3, True], ["a", 2, None]),
        ({"starts_with": "ab"}, ["abc"], ["cab", None, 7]),
        ({"ends_with": ["@a.org", "@b.org"]}, ["x@b.org"], ["x@c.org"]),
        ({"contains": "b"}, ["abc", ["b"]], ["ac", ["abc"], 3]),
        ({">": 3}, [4, 3.5], [3, "4", True, None]),
        ({">=": 3, "<": 5}, [3, 4.9], [5, 2]),
        ({"<=": 3}, [3, -1], [3.1]),
        ({"exists": True}, [0, "", False], [None]),
        ({"exists": False}, [None], [0]),
        ({"semver": {">=": "1.10.0", "<": "2.0.0"}}, ["1.10.0", "1.11.2+b7"],
         ["1.9.9", "2.0.0", "1.10.0-rc.1", "v1.11.0", "1.11", 1.11, None]),
        ({"semver": {"=": "1.0.0"}}, ["1.0.0", "1.0.0+x"], ["1.0.0-x", "1.0.1"]),
    ],
)  # fmt: skip
def test_conditions_hold_for_what_they_say_and_for_no_other_type(
    condition: dict[str, Any], fits: list[Any], fits_not: list[Any]
) -> None:
    assert [serves({"a": condition}, a=value) for value in fits] == [True] * len(fits)
    assert [serves({"a": condition}, a=value) for value in fits_not] == [False] * len(fits_not)


def test_versions_come_in_the_order_of_semantic_versioning() -> None:
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
             "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]  # fmt: skip
    for at, version in enumerate(order):
        less = [serves({"v": {"semver": {"<": version}}}, v=other) for other in order]
        assert less == [True] * at + [False] * (len(order) - at)


def test_the_targeting_key_is_an_attribute_too() -> None:
    flag = {"default": "off", "rules": [{"when": {"targetingKey": {"in": ["ada"]}}, "serve": "on"}]}
    assert [evaluate(flag, key).value for key in ("ada", "bob", None)] == [True, False, False]


def test_a_split_needs_a_targeting_key_and_nothing_else_does() -> None:
    split = evaluate({"split": HALVES})
    assert (split.reason, split.error) == (Reason.SPLIT, None)
    for key in (None, ""):
        found = evaluate({"split": HALVES}, key)
        assert (found.reason, found.error) == (Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)
        assert found.value is None
    rules = [{"when": {"a": {"equals": 1}}, "split": HALVES}]
    flag = {"default": "on", "rules": rules}
    assert evaluate(flag, None, a=2).value is True
    assert evaluate(flag, None, a=1).error is ErrorCode.TARGETING_KEY_MISSING
    assert evaluate(flag, "ada", a=1).reason is Reason.SPLIT


def test_the_bucket_of_a_key_is_fixed_for_ever() -> None:
    """Another hash would give everybody another variant: these were computed once, by hand."""
    shares = [{"serve": f"v{n}", "percent": 1} for n in range(100)]
    flag = {"variants": {f"v{n}": n for n in range(100)}, "off": "v0", "split": shares}
    found = [flag_set({"f": flag}).evaluate("f", key, {}).value for key in ("ada", "bob", "é")]
    assert found == BUCKETS_OF_F
    salted = flag_set({"g": flag | {"salt": "f"}})
    assert [salted.evaluate("g", key, {}).value for key in ("ada", "bob", "é")] == BUCKETS_OF_F
    other = [flag_set({"g": flag}).evaluate("g", key, {}).value for key in ("ada", "bob", "é")]
    assert other != BUCKETS_OF_F


def test_a_prerequisite_must_have_one_of_the_variants_named() -> None:
    flags = {
        "base": {"default": "off", "rules": [{"when": {"a": {"equals": 1}}, "serve": "on"}]},
        "more": {"default": "on", "prerequisites": {"base": ["on"]}},
        "most": {"default": "on", "prerequisites": {"more": ["on"]}},
    }
    found = flag_set(flags)
    met = found.evaluate("most", None, {"a": 1})
    assert (met.value, met.reason) == (True, Reason.DEFAULT)
    unmet = found.evaluate("most", None, {"a": 2})
    assert (unmet.value, unmet.reason) == (False, Reason.DISABLED)
    assert unmet.metadata["prerequisite"] == "more"


def test_what_a_prerequisite_cannot_say_its_flag_cannot_either() -> None:
    flags = {"a": {"split": HALVES}, "b": {"default": "on", "prerequisites": {"a": ["on"]}}}
    found = flag_set(flags).evaluate("b", None, {})
    assert found.error is ErrorCode.TARGETING_KEY_MISSING
    assert found.message == "prerequisite a: a is split, and there is no targeting key"


def test_a_flag_that_is_not_there_is_not_found() -> None:
    found = flag_set({}).evaluate("none", "ada", {})
    assert (found.error, found.reason) == (ErrorCode.FLAG_NOT_FOUND, Reason.ERROR)


def test_a_flag_that_a_newer_release_wrote_is_an_error_by_itself() -> None:
    flags = {
        "good": {"default": "on"},
        "field": {"default": "on", "schedule": []},
        "operator": {"default": "on", "rules": [{"when": {"a": {"near": 1}}, "serve": "on"}]},
        "variant": {"default": "blue"},
        "shares": {"split": HALVES[:1]},
        "nonsense": 3,
        "circle": {"default": "on", "prerequisites": {"circle": ["on"]}},
        "behind": {"default": "on", "prerequisites": {"field": ["on"]}},
    }
    found = flag_set(flags)
    errors = {name: found.evaluate(name, "ada", {}).error for name in found.names()}
    assert errors.pop("good") is None
    assert set(errors) == flags.keys() - {"good"}
    assert set(errors.values()) == {ErrorCode.PARSE_ERROR}


@pytest.mark.parametrize("content", [None, 3, [], {}, {"flags": []}])
def test_a_document_that_is_none_of_flags_has_none(content: Any) -> None:
    assert FlagSet([compile_document("flags.old", 1, content, "eu")]).names() == []


def test_of_two_documents_with_one_name_the_first_counts() -> None:
    documents = [
        compile_document(name, 1, {"flags": {"f": {"default": default}}}, "eu")
        for name, default in (("flags.b", "off"), ("flags.a", "on"))
    ]
    assert FlagSet(documents).evaluate("f", None, {}).value is True


def test_flags_differ_with_those_they_ask_for() -> None:
    asks = {"default": "on", "prerequisites": {"a": ["on"]}}
    before = flag_set({"a": {"default": "on"}, "b": asks, "c": {"default": "on"}, "old": {}})
    after = flag_set({"a": {"default": "off"}, "b": asks, "c": {"default": "on"}, "new": {}})
    assert before.differing(after) == ["a", "b", "new", "old"]
    assert after.differing(after) == []
