"""Flags on a real fleet: followed by applications, evaluated by nodes, kept when nobody answers."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError
from openfeature.flag_evaluation import Reason

from controlplane.cli.connection import Problem
from controlplane.flags.following import Follower, LocalCopy, News, Source, Told
from controlplane.flags.provider import LeadplaneProvider
from tests.integration.fleet_on_test import AT_ONCE, FleetOnTest, asleep, wait_for
from tests.integration.test_documents import edited_in_the_end, put

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]

PATH = "/v1/config/flags.it"
ADA = EvaluationContext("ada", {"plan": "gold"})
STALE_S = 1.0
NEWS_S_MAX = 40.0


def content(region: str, on: int) -> dict[str, Any]:
    """Flags of every kind; `on` is the share of `split`, in percent."""
    shares = [{"serve": "on", "percent": on}, {"serve": "off", "percent": 100 - on}]
    sizes = {"small": {"px": 1}, "large": {"px": 9}}
    return {
        "flags": {
            "it-split": {"split": shares},
            "it-here": {"default": "off", "rules": [{"regions": [region], "serve": "on"}]},
            "it-gold": {"default": "off", "prerequisites": {"it-here": ["on"]}, "rules": [
                {"when": {"plan": {"equals": "gold"}}, "serve": "on"}]},
            "it-size": {"variants": sizes, "off": "small", "default": "large"},
            "it-price": {"variants": {"low": 9.5, "off": 12.5}, "default": "low"},
        }
    }  # fmt: skip


@pytest.fixture
def tag(fleet: FleetOnTest) -> Iterator[str]:
    """The document is there, and gone afterwards; gives its ETag."""
    region = fleet.state()["nodes"][0]["region"]
    tag = put(fleet.access, content(region, 0), {"If-None-Match": "*"}, PATH)
    version = int(tag.strip('"').partition("-")[0])
    for node in fleet.state()["nodes"]:
        url = node["url"]
        wait_for(lambda url=url: in_force(fleet, url) == version, "the flags are in force")
    yield tag
    fleet.access.send("DELETE", f"{PATH}?{AT_ONCE}", None, {"If-Match": "*"})


def nodes_of(fleet: FleetOnTest, region: str) -> list[dict[str, Any]]:
    """The nodes of a region."""
    return [node for node in fleet.state()["nodes"] if node["region"] == region]


def in_force(fleet: FleetOnTest, url: str) -> int:
    """The version of the document that a node has in force, 0 for none."""
    documents = fleet.access.only(url).get("/v1/flags")["documents"]
    return next((each["version"] for each in documents if each["name"] == "flags.it"), 0)


def test_an_application_follows_its_region_and_keeps_the_last_copy(
    fleet: FleetOnTest, tag: str
) -> None:
    region = fleet.state()["nodes"][0]["region"]
    first, second = nodes_of(fleet, region)
    told: queue.Queue[Told] = queue.Queue()
    copy = LocalCopy(region)
    source = Source((first["url"],), region, stale_after_s=STALE_S)
    follower = Follower(source, copy, told.put)
    assert follower.start(20)
    try:
        assert copy.flags is not None
        assert copy.flags.evaluate("it-split", "ada", {}).value is False
        newer = put(fleet.by_way_of(second["id"]), content(region, 100), {"If-Match": tag}, PATH)
        assert next_news(told, News.CHANGED) == Told(News.CHANGED, ("it-split",))
        assert copy.flags.evaluate("it-split", "ada", {}).value is True
        with asleep(fleet.process("nodes", first["id"])):
            next_news(told, News.STALE)
            assert copy.flags.evaluate("it-split", "ada", {}).value is True
        next_news(told, News.READY)
        assert newer.startswith('"2-')
    finally:
        follower.stop()


def next_news(told: queue.Queue[Told], wanted: News) -> Told:
    """What is told next of this kind. On a busy machine a copy may be stale for a moment, too."""
    while (news := told.get(timeout=NEWS_S_MAX)).news is not wanted:
        assert news.news in (News.STALE, News.READY)
    return news


def test_an_application_goes_over_to_the_next_node_of_its_region(
    fleet: FleetOnTest, tag: str
) -> None:
    region = fleet.state()["nodes"][0]["region"]
    first, second = nodes_of(fleet, region)
    provider = LeadplaneProvider([first["url"], second["url"]], stale_after_s=STALE_S)
    provider.initialize(EvaluationContext())
    try:
        assert provider.resolve_boolean_details("it-gold", False, ADA).value is True
        with asleep(fleet.process("nodes", first["id"])):
            edited_in_the_end(fleet.at(second["id"]), content(region, 100), tag, PATH)
            wait_for(
                lambda: provider.resolve_boolean_details("it-split", False, ADA).value,
                "the other node tells what is in force",
            )
    finally:
        provider.shutdown()


def test_the_provider_of_the_protocol_gets_the_same_from_any_node(
    fleet: FleetOnTest, tag: str
) -> None:
    here = fleet.state()["nodes"][0]["region"]
    for node in fleet.state()["nodes"]:
        remote = OFREPProvider(node["url"])
        local = LeadplaneProvider(node["url"])
        local.initialize(EvaluationContext())
        try:
            for name in ("it-split", "it-here", "it-gold"):
                told = remote.resolve_boolean_details(name, False, ADA)
                mine = local.resolve_boolean_details(name, False, ADA)
                assert (told.value, told.variant, told.reason, dict(told.flag_metadata)) == (
                    mine.value, mine.variant, mine.reason, dict(mine.flag_metadata),
                )  # fmt: skip
            assert told.value is (node["region"] == here)
            assert remote.resolve_object_details("it-size", {}, ADA).value == {"px": 9}
            assert remote.resolve_float_details("it-price", 0.0, ADA).reason is Reason.STATIC
            with pytest.raises(FlagNotFoundError):
                remote.resolve_boolean_details("it-none", False, ADA)
            with pytest.raises(TargetingKeyMissingError):
                remote.resolve_boolean_details("it-split", False, EvaluationContext())
        finally:
            local.shutdown()


def test_flags_that_cannot_be_evaluated_are_refused_and_those_in_force_stay(
    fleet: FleetOnTest, tag: str
) -> None:
    circle = {"flags": {
        "it-a": {"default": "on", "prerequisites": {"it-b": ["on"]}},
        "it-b": {"default": "on", "prerequisites": {"it-a": ["on"]}},
    }}  # fmt: skip
    with pytest.raises(Problem) as refused:
        put(fleet.access, circle, {"If-Match": tag}, PATH)
    pointers = [error["pointer"] for error in refused.value.document["errors"]]
    assert pointers == [
        "#/content/flags/it-a/prerequisites/it-b",
        "#/content/flags/it-b/prerequisites/it-a",
    ]
    assert fleet.access.get(PATH)["etag"] == tag
