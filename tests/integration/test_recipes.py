"""The recipes of docs/recipes do on a real fleet what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.fleet_on_test import FleetOnTest

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
S_MAX = 400


def run(fleet: FleetOnTest, recipe: str) -> str:
    """What a recipe prints; it ends well."""
    urls = ",".join(str(node["url"]) for node in fleet.state()["nodes"])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(RECIPES / recipe)],
        env={**os.environ, "LEADPLANE_URL": urls, "PATH": path, "FLEET": str(fleet.directory)},
        capture_output=True,
        text=True,
        timeout=S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_recipe_is_tried_and_listed() -> None:
    scripts = {path.name for path in RECIPES.glob("*.sh")}
    listed = set(re.findall(r"\(([a-z-]+\.sh)\)", (RECIPES / "README.md").read_text("utf-8")))
    tried = set(re.findall(r'"([a-z-]+\.sh)"', Path(__file__).read_text("utf-8")))
    assert scripts == listed == tried


def test_a_flag_gets_to_some_then_to_all_and_is_killed(fleet: FleetOnTest) -> None:
    said = run(fleet, "flag-rollout.sh")
    some, everybody, nobody = map(int, re.findall(r"of 20 users have it: (\d+)", said))
    assert some < everybody == 20
    assert nobody == 0


def test_of_two_editors_one_decides_anew(fleet: FleetOnTest) -> None:
    said = run(fleet, "concurrent-editors.sh")
    assert "limit: 200" in said
    assert "burst: 50" in said


def test_a_policy_that_drifted_is_put_right(fleet: FleetOnTest) -> None:
    assert "'1.3'" in run(fleet, "policy-drift.sh")


def test_collectors_get_their_sampling(fleet: FleetOnTest) -> None:
    assert "default_percent: 1\n" in run(fleet, "sampling-policy.sh")


def test_every_node_is_anew_and_nothing_is_lost(fleet: FleetOnTest) -> None:
    why, json = {"reason": "tests killed nodes"}, {"Content-Type": "application/json"}
    fleet.access.send("POST", "/v1/placement/release", why, json, b"{}")  # the brake
    before = {node["id"]: fleet.process("nodes", node["id"]).pid for node in fleet.state()["nodes"]}
    assert "still there" in run(fleet, "rolling-upgrade.sh")
    after = {node["id"]: fleet.process("nodes", node["id"]).pid for node in fleet.state()["nodes"]}
    assert all(after[node] != pid for node, pid in before.items())
    fleet.until_whole()
