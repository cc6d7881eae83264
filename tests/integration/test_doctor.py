"""`leadplane doctor` and the runbooks at a real fleet: what breaks is found, and so is its end."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

STORES = [f"us-east-1-s{number}" for number in (1, 2, 3)]


@pytest.fixture
def whole(fleet: FleetOnTest, monkeypatch: pytest.MonkeyPatch) -> FleetOnTest:
    """The fleet with nothing to be felt of earlier tests, for `leadplane` in this process."""
    fleet.until_whole()
    urls = ",".join(str(node["url"]) for node in fleet.state()["nodes"])
    monkeypatch.setenv("LEADPLANE_URL", urls)
    return fleet


def found(look: str) -> dict[str, Any]:
    """What one look finds, with the exit status of the whole."""
    result = leadplane("doctor", "-o", "json")
    report = json.loads(result.stdout)
    (said,) = [each for each in report["looks"] if each["look"] == look]
    return {**said, "exit": result.exit_code}


def troubled(look: str, words: str) -> dict[str, Any] | None:
    """The same, once it finds this."""
    said = found(look)
    return said if said["troubles"] and words in said["troubles"][0]["what"] else None


def test_a_store_that_sleeps_is_named_until_it_is_awake(whole: FleetOnTest) -> None:
    with asleep(whole.process("stores", STORES[0])):
        said = wait_for(lambda: troubled("stores", STORES[0]), "the store is named")
        assert (said["state"], said["runbook"]) == ("look", "docs/runbooks/store-lost.md")
        wait_for(lambda: found("majorities")["state"] == "ok", "two of three go on")
    wait_for(lambda: found("stores")["state"] == "ok", "nothing is found any more")


def test_a_group_without_its_majority_is_grave_until_its_stores_are_awake(
    whole: FleetOnTest,
) -> None:
    with ExitStack() as sleeping:
        for store in STORES[:2]:
            sleeping.enter_context(asleep(whole.process("stores", store)))
        words = "region/us-east-1: 1 of 3 stores answer"
        said = wait_for(lambda: troubled("majorities", words), "it is found")
        assert said["exit"] == 1
    wait_for(lambda: found("majorities")["state"] == "ok", "start its stores again, it said")
    whole.until_whole()
