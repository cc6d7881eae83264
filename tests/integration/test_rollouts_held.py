"""Rollouts on a fleet of real processes that wait, hurry, or go by nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.effect import place_in_line
from controlplane.cli.connection import FleetAccess
from tests.integration.fleet_on_test import AT_ONCE, FleetOnTest, wait_for
from tests.integration.test_rollouts import (
    QUICK,
    everywhere,
    name,
    only_these_run,
    send,
    until,
    until_over,
)

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

__all__ = ["name"]


def freeze(fleet: FleetOnTest, *windows: dict[str, Any]) -> None:
    """These windows are in force at every node: the leader is one of them."""
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    body = json.dumps({"content": {"freezes": windows}}).encode()
    path = f"/v1/config/rollouts?{AT_ONCE}"
    made = fleet.access.send("PUT", path, None, headers, body).document()
    number = made["rollout"]
    if number is not None:
        assert until_over(fleet.access, number)["phase"] == "succeeded"
    wanted = list(windows)

    def are_in_force() -> bool:
        found = [
            fleet.at(node["id"]).get("/v1/config/rollouts/effective")["content"]["freezes"]
            for node in fleet.state()["nodes"]
        ]
        return all(each == wanted for each in found)

    wait_for(are_in_force, "the windows are in force")


@pytest.fixture
def thawed(fleet: FleetOnTest) -> Iterator[None]:
    """Whatever a test froze is not frozen any more afterwards."""
    yield
    freeze(fleet)


def window(**more: Any) -> dict[str, Any]:
    """A window that holds from yesterday until tomorrow."""
    now = datetime.now(UTC)
    once = {
        "from": (now - timedelta(days=1)).isoformat(timespec="seconds"),
        "until": (now + timedelta(days=1)).isoformat(timespec="seconds"),
    }
    return {"name": "audit", "once": once, **more}


@pytest.mark.usefixtures("thawed")
def test_a_freeze_of_a_region_holds_its_wave_up_until_it_is_lifted(
    fleet: FleetOnTest, name: str
) -> None:
    access: FleetAccess = fleet.access
    tried = send(access, "/v1/rollouts?dry_run=true", document=name, strategy=QUICK)
    first, second, _ = (wave["regions"][0] for wave in tried["waves"])
    freeze(fleet, window(regions=[second]))
    begun = send(access, "/v1/rollouts", document=name, strategy=QUICK, gates=[])
    paused = until(access, begun["rollout"], phase="paused")
    assert (paused["pause"]["why"], paused["pause"]["detail"]) == ("frozen", f"audit: {second}")
    assert paused["pause"]["until_wall_ms"] == paused["waves"][1]["frozen_until_wall_ms"]
    region_of = {n["id"]: n["region"] for n in fleet.state()["nodes"]}
    only_these_run(fleet, name, 2, {node for node, region in region_of.items() if region == first})
    freeze(fleet)
    assert until_over(access, begun["rollout"])["phase"] == "succeeded"
    everywhere(fleet, name, 2)


@pytest.mark.usefixtures("thawed")
def test_an_emergency_supersedes_what_a_freeze_holds_up(fleet: FleetOnTest, name: str) -> None:
    access = fleet.access
    freeze(fleet, window())
    held = send(access, "/v1/rollouts", document=name, strategy=QUICK, gates=[])
    until(access, held["rollout"], phase="paused")
    quick = {"name": "emergency", "bake_ms": 1_000, "final_bake_ms": 1_000}
    path = "/v1/rollouts?reason=logins+fail"
    begun = send(access, path, document=name, strategy=quick, supersede=True)
    assert until_over(access, begun["rollout"])["phase"] == "succeeded"
    everywhere(fleet, name, 2)
    until(access, held["rollout"], phase="superseded")

    def last_recorded() -> str:
        return str(access.items("/v1/audit", kind="emergency")["items"][-1]["subject"])

    wait_for(lambda: last_recorded() == f"{begun['rollout']}/{name}", "it is recorded")


def test_by_nodes_each_region_has_some_that_have_it_and_then_all(
    fleet: FleetOnTest, name: str
) -> None:
    access, nodes = fleet.access, fleet.state()["nodes"]
    half = {**QUICK, "nodes_percent": 50, "approvals": [2]}
    begun = send(access, "/v1/rollouts", document=name, strategy=half, gates=[])
    assert [wave["nodes_percent"] for wave in begun["waves"]] == [50, 100]
    until(access, begun["rollout"], phase="paused")
    by_region: dict[str, list[str]] = {}
    for node in nodes:
        by_region.setdefault(node["region"], []).append(node["id"])
    first = set()
    for names in by_region.values():
        in_line = sorted(names, key=lambda node: place_in_line(name, node))
        first |= set(in_line[: -(-len(in_line) // 2)])
    only_these_run(fleet, name, 2, first)
    send(access, f"/v1/rollouts/{begun['rollout']}/resume")
    assert until_over(access, begun["rollout"])["phase"] == "succeeded"
    everywhere(fleet, name, 2)
