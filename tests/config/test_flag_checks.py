"""Documents of flags that cannot be evaluated are refused, each mistake with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.builtin import builtin_content
from config.check import Unfit
from config.document import Kind, kind_of
from config.flags import compile_document
from config.revision import Revision
from tests.config.sample_fleet import feed, put, refused

HALVES = [{"serve": "on", "percent": 50}, {"serve": "off", "percent": 50}]


def asks(*names: str) -> dict[str, Any]:
    """A flag with prerequisites."""
    return {"default": "on", "prerequisites": {name: ["on"] for name in names}}


def rule(**fields: Any) -> dict[str, Any]:
    """A flag with one rule."""
    return {"f": {"default": "on", "rules": [fields]}}


WHEN = {"a": {"equals": 1}}


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        ({"f": {}}, ["/flags/f"]),
        ({"f": {"default": "on", "split": HALVES}}, ["/flags/f"]),
        ({"f": {"default": "blue"}}, ["/flags/f/default"]),
        ({"f": {"default": "on", "off": "no"}}, ["/flags/f/off"]),
        ({"f": {"variants": {"a": 1}, "default": "a"}}, ["/flags/f/off"]),
        ({"f": {"variants": {"a": 1, "b": 1.5, "off": True}, "default": "a"}},
         ["/flags/f/variants/off"]),
        ({"f": {"variants": {"off": None}, "default": "off"}}, ["/flags/f/variants/off"]),
        ({"f": {"default": "on", "colour": 1}}, ["/flags/f/colour"]),
        ({"f": {"split": HALVES[:1]}}, ["/flags/f/split"]),
        ({"f": {"split": [{"serve": "on", "percent": 33.3333}, HALVES[1]]}},
         ["/flags/f/split/0/percent", "/flags/f/split"]),
        ({"f": {"split": [{"serve": "x", "percent": 100}]}}, ["/flags/f/split/0/serve"]),
        (rule(serve="on"), ["/flags/f/rules/0"]),
        (rule(when=WHEN), ["/flags/f/rules/0"]),
        (rule(when=WHEN, serve="x"), ["/flags/f/rules/0/serve"]),
        (rule(when=WHEN, split=HALVES[:1]), ["/flags/f/rules/0/split"]),
        (rule(regions=["mars"], serve="on"), ["/flags/f/rules/0/regions/0"]),
        (rule(when={}, serve="on"), ["/flags/f/rules/0/when"]),
        (rule(when={"a": {"near": 1}}, serve="on"), ["/flags/f/rules/0/when/a/near"]),
        (rule(when={"a": {"semver": {">": "1.2"}}}, serve="on"), ["/flags/f/rules/0/when/a"]),
        ({"f": asks("g")}, ["/flags/f/prerequisites/g"]),
        ({"f": {"default": "on", "prerequisites": {"g": ["on", "x"]}}, "g": {"default": "on"}},
         ["/flags/f/prerequisites/g/1"]),
        ({"a b": {"default": "on"}}, ["/flags"]),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_by_place(
    flags: dict[str, Any], places: list[str]
) -> None:
    documents = feed()
    assert refused(documents, "flags.web", {"flags": flags}) == places
    assert documents.get("flags.web") is None


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        ({"f": asks("f")}, ["f/prerequisites/f"]),
        ({"f": asks("g"), "g": asks("f"), "h": asks("f"), "k": {"default": "on"}},
         ["f/prerequisites/g", "g/prerequisites/f"]),
        ({"a": asks("b", "d"), "b": asks("c"), "c": asks("a"), "d": {"default": "on"}},
         ["a/prerequisites/b", "b/prerequisites/c", "c/prerequisites/a"]),
    ],
)  # fmt: skip
def test_prerequisites_do_not_lead_back(flags: dict[str, Any], places: list[str]) -> None:
    found = refused(feed(), "flags.web", {"flags": flags})
    assert found == [f"/flags/{place}" for place in places]


def test_the_circle_is_told() -> None:
    flags = {"a": asks("b"), "b": asks("c"), "c": asks("a")}
    unfit = put(feed(), "flags.web", {"flags": flags})
    assert isinstance(unfit, Unfit)
    assert unfit.findings[0].message == "it leads back to itself: a -> b -> c -> a"


def test_prerequisites_that_take_too_many_evaluations_are_refused() -> None:
    layers: dict[str, Any] = {"l0a": {"default": "on"}, "l0b": {"default": "on"}}
    for depth in range(1, 30):
        below = (f"l{depth - 1}a", f"l{depth - 1}b")
        layers |= {f"l{depth}a": asks(*below), f"l{depth}b": asks(*below)}
    found = refused(feed(), "flags.web", {"flags": layers})
    assert "/flags/l6a/prerequisites" in found
    five = {name: flag for name, flag in layers.items() if int(name[1:-1]) <= 5}
    assert isinstance(put(feed(), "flags.web", {"flags": five}), Revision)


def test_a_name_belongs_to_one_document() -> None:
    documents = feed()
    assert isinstance(put(documents, "flags.web", {"flags": {"f": {"default": "on"}}}), Revision)
    again = {"flags": {"f": {"default": "on"}, "g": {"default": "on"}}}
    assert refused(documents, "flags.app", again) == ["/flags/f"]
    put(documents, "flags.web", None, deletes=True)
    assert isinstance(put(documents, "flags.app", again), Revision)


def test_a_document_of_flags_can_be_deleted_and_is_not_there_from_the_start() -> None:
    documents = feed()
    assert kind_of("flags.web") is Kind.FLAGS
    assert documents.get("flags.web") is None
    assert isinstance(put(documents, "flags.web", builtin_content(Kind.FLAGS)), Revision)
    assert isinstance(put(documents, "flags.web", None, deletes=True), Revision)


def test_a_region_that_flags_name_stays() -> None:
    documents = feed()
    put(documents, "flags.web", {"flags": rule(regions=["us"], serve="on")})
    unfit = put(documents, "region.us", None, deletes=True)
    assert isinstance(unfit, Unfit)
    assert unfit.findings[0].message == "flags.web names it at /flags/f/rules/0/regions/0"


def test_the_sample_of_the_documentation_is_taken_and_can_be_evaluated() -> None:
    page = (Path(__file__).parents[2] / "docs" / "flags.md").read_text()
    sample = page.split("```json\n")[1].split("```")[0]
    content = json.loads(sample.replace("eu-central-1", "eu"))
    assert isinstance(put(feed(), "flags.web", content), Revision)
    compiled = compile_document("flags.web", 1, content, "eu")
    found = {name: decide("ada", {}) for name, decide in compiled.flags.items()}
    assert found
    assert {each.error for each in found.values()} == {None}


def test_as_many_flags_as_a_document_holds_are_checked_in_good_time() -> None:
    """They come to fewer values times schemas than an edit may take."""
    conditions = {"country": {"in": ["DE", "AT"]}, "age": {">=": 18}}
    flag = {"default": "off", "rules": [{"when": conditions, "split": HALVES}]}
    flags = {f"flag-{n:04}": flag for n in range(700)}
    assert isinstance(put(feed(), "flags.web", {"flags": flags}), Revision)
