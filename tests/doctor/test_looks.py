"""Each look finds what it is there for, and nothing in a fleet that is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from controlplane.doctor.looks import DIFFERS, LOOKS, Occasion, check_up
from controlplane.doctor.sight import NodeSight, Sight
from tests.cli import sample_fleet

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
CONTROLPLANE = Path(__file__).parents[2] / "controlplane"
PLACEMENT: dict[str, Any] = {
    "pause": None, "admission": {"braked": False, "crashes": 0, "suspects": []}, "drains": [],
}  # fmt: skip
ROLLOUT: dict[str, Any] = {
    "rollout": 7, "document": "timeouts", "over": False, "pause": None, "phase": "baking",
    "why": "",
}  # fmt: skip


def healthy() -> Sight:
    """The sample fleet, with its store up and its node back."""
    status = orjson.loads(orjson.dumps(sample_fleet.documents("http://x")["/v1/status"]))
    for store in status["stores"]:
        store |= {"state": "up", "why": ""}
    for node in status["nodes"]:
        node["alive"] = True
    for group in status["groups"]:
        group |= {"reachable": 3, "spare": 1}
    for region in status["regions"]:
        region["nodes_alive"] = region["nodes"]
    nodes = tuple(NodeSight(node["node"], version="1.0") for node in status["nodes"])
    return Sight(status, (), nodes, PLACEMENT, (ROLLOUT,), {"valid": True, "problem": None})


def status_with(kind: str, **changes: Any) -> Callable[[Sight], Sight]:
    def change(sight: Sight) -> Sight:
        sight.status[kind][0].update(changes)
        return sight

    return change


def nodes_with(**changes: Any) -> Callable[[Sight], Sight]:
    return lambda sight: replace(
        sight, nodes=(replace(sight.nodes[0], **changes), *sight.nodes[1:])
    )


def leaderless(sight: Sight) -> Sight:
    sight.status["global_leader"] = None  # type: ignore[index]
    return sight


def two_regions(sight: Sight) -> Sight:
    del sight.status["regions"][2]
    return sight


def admission(**changes: Any) -> Callable[[Sight], Sight]:
    found = {**PLACEMENT, "admission": {**PLACEMENT["admission"], **changes}}
    return lambda sight: replace(sight, placement=found)


def drained(scope: str, name: str, within: str = "") -> Callable[[Sight], Sight]:
    drain = {"scope": scope, "name": name, "within": within, "principal": "ada", "reason": "power"}
    return lambda sight: replace(sight, placement={**PLACEMENT, "drains": [drain]})


def rollout_paused(sight: Sight) -> Sight:
    pause = {"why": "inconclusive", "detail": "no data", "by": "system"}
    return replace(sight, rollouts=({**ROLLOUT, "pause": pause},))


def unled(sight: Sight) -> Sight:
    shard = {"shard": "s03", "group": "global", "state": "electing", "why": "the old lease runs"}
    return replace(sight, unled=(shard,))


CASES: tuple[tuple[str, bool, str, Callable[[Sight], Sight]], ...] = (
    ("majorities", True, "1 of 3 stores", status_with("groups", reachable=1, spare=-1)),
    ("majorities", True, "forgot", status_with("groups", lost=["eu-central-1-a"])),
    ("global leader", True, "system shard", leaderless),
    ("leaders", True, "the old lease runs", unled),
    ("regions", True, "no node is left", status_with("regions", nodes_alive=0)),
    ("front doors", True, "does not answer", nodes_with(why="timed out")),
    ("front doors", False, "not ready", nodes_with(failed=({"name": "map", "why": "unknown"},))),
    ("stores", False, "is down: gone", status_with("stores", state="down", why="gone")),
    ("copies", True, "holds other data", status_with("stores", why=f"{DIFFERS}: s03")),
    ("rollouts", True, "could not be taken back: eu is gone", lambda sight: replace(
        sight, rollouts=({**ROLLOUT, "phase": "stuck", "why": "eu is gone"},))),
    ("moves", False, "nobody could say: timed out", lambda sight: replace(
        sight, placement=None, unasked={"moves": "timed out"})),
    ("releases", False, "an earlier one", nodes_with(version="")),
    ("headroom", False, "97 % of its memory", status_with("stores", why="97 % of its memory")),
    ("headroom", True, "memory 96 %", status_with("groups", full="s1: memory 96 %")),
    ("drained", False, "region eu leads nothing: drained by ada, power", drained("region", "eu")),
    ("drained", False, "zone a leads nothing", drained("zone", "a", "eu")),
    ("fenced writes", False, "3 writes", nodes_with(fenced=3)),
    ("rest", False, "leaders of s03, s07 change", lambda sight: replace(
        sight, status={**sight.status, "restless": ["s03", "s07"]})),
    ("moves", False, "went down", admission(braked=True, crashes=2)),
    ("moves", False, "is given nothing", admission(suspects=["n1"])),
    ("rollouts", False, "stands still, inconclusive: no data", rollout_paused),
    ("releases", False, "2 releases", nodes_with(version="0.9")),
    ("leases", False, "too short", status_with("groups", needed_ttl_ms=9_000)),
    ("spare stores", False, "another store", status_with("groups", spare=0, reachable=2)),
    ("spare nodes", False, "a single node", status_with("regions", nodes_alive=1, nodes=1)),
    ("forced", False, "by force", status_with(
        "groups", forced={"of": 1, "without": ["a"], "by": "ada", "why": "fire"})),
    ("audit log", True, "not whole", lambda sight: replace(
        sight, audit={"valid": False, "problem": "a hole"})),
    ("voters", True, "outlives no loss", status_with("groups", voters=["eu-central-1-a"])),
    ("voters", True, "in one zone", status_with(
        "groups", voters=["eu-central-1-a", "eu-central-1-a", "us-east-1-a"])),
    ("three regions", False, "fewer than three", two_regions),
)  # fmt: skip


def test_in_a_fleet_that_is_well_nothing_is_found() -> None:
    assert [each for each in check_up(healthy(), Occasion.PREPRODUCTION) if each.troubles] == []


@pytest.mark.parametrize(("name", "is_grave", "says", "harm"), CASES, ids=[c[2] for c in CASES])
def test_a_look_finds_what_it_is_there_for(
    name: str, is_grave: bool, says: str, harm: Callable[[Sight], Sight]
) -> None:
    results = check_up(harm(healthy()), Occasion.PREPRODUCTION)
    (found,) = [result for result in results if result.look.name == name]
    assert any(says in trouble.what for trouble in found.troubles), found
    assert found.is_grave is is_grave
    assert all(trouble.first for trouble in found.troubles)


def test_every_look_has_a_case_and_a_runbook() -> None:
    assert {look.name for look in LOOKS} == {case[0] for case in CASES}
    assert all((RUNBOOKS / f"{look.runbook}.md").is_file() for look in LOOKS)


def test_a_copy_that_differs_is_said_in_the_words_that_are_looked_for() -> None:
    assert f'"{DIFFERS}: ' in (CONTROLPLANE / "node" / "digests.py").read_text("utf-8")


def test_shards_without_a_leader_are_grave_though_nobody_can_list_them() -> None:
    sight = replace(healthy(), unasked={"leaders": "timed out"})
    sight.status["shards_led"] -= 2  # type: ignore[index]
    (found,) = [r for r in check_up(sight, Occasion.INCIDENT) if r.look.name == "leaders"]
    assert (found.is_grave, found.troubles[0].what) == (True, "2 without a leader")


def test_at_night_only_what_can_be_wrong_is_looked_at() -> None:
    at_night = {result.look.name for result in check_up(healthy(), Occasion.INCIDENT)}
    assert "spare stores" not in at_night
    assert at_night < {result.look.name for result in check_up(healthy(), Occasion.PRODUCTION)}


def test_a_rollout_that_is_frozen_goes_on_by_itself() -> None:
    pause = {"why": "frozen", "detail": "the weekend", "by": "system"}
    sight = replace(healthy(), rollouts=({**ROLLOUT, "pause": pause},))
    assert [each for each in check_up(sight, Occasion.INCIDENT) if each.troubles] == []


def test_shards_without_a_majority_are_told_of_once_by_their_group() -> None:
    sight = unled(status_with("groups", reachable=1, spare=-1)(healthy()))
    found = {r.look.name: r.troubles for r in check_up(sight, Occasion.INCIDENT) if r.troubles}
    assert list(found) == ["majorities"]


def test_a_node_that_is_known_to_be_silent_has_no_front_door_to_look_at() -> None:
    sight = nodes_with(why="refused")(healthy())
    sight.status["nodes"][0]["alive"] = False
    (found,) = [r for r in check_up(sight, Occasion.INCIDENT) if r.look.name == "front doors"]
    assert found.troubles == ()
