"""`leadplane fleet restart` and `upgrade`: what is asked of the fleet, run for a node, and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.stub_fleet import StubFleet, leadplane
from tests.cli.test_drains import DRAIN, placement


def node(name: str, process: str, leads: int = 0, alive: bool = True) -> dict[str, Any]:
    return {
        "node": name, "region": "eu", "url": "http://127.0.0.1:9", "alive": alive, "silent_ms": 5,
        "leads": leads, "zone": "", "draining": False, "drained": False, "suspect": False,
        "process": process,
    }  # fmt: skip


def shown(fleet: StubFleet, nodes: list[dict[str, Any]], *drains: dict[str, Any]) -> None:
    """The fleet as it is; every node answers at the stub's address."""
    rows = [{**each, "url": fleet.url} for each in nodes]
    leader = {"node": "n2", "region": "eu", "url": fleet.url, "epoch": 2}
    status = {"global_leader": leader, "shards_total": 4, "shards_led": 4}
    fleet.document("/v1/status", status)
    fleet.document("/v1/nodes", {"items": rows})
    fleet.document("/v1/placement", placement(*drains))
    fleet.document("/readyz", {"ready": True})


DRAINED = {**DRAIN, "state": "drained", "left": 0}
MAY_STOP = {
    "node": "n1", "stoppable": True, "reasons": [], "promised_until_wall_ms": 7, "dry_run": False,
}  # fmt: skip


def run(path: Path, *words: str) -> Any:
    return leadplane("fleet", "restart", "--dir", str(path), "--node", "n1", *words)


def test_a_node_is_stopped_by_the_command_that_was_given_and_told_which(
    fleet: StubFleet, tmp_path: Path
) -> None:
    shown(fleet, [node("n1", "p1"), node("n2", "q1", 4)], DRAINED)
    fleet.document("/v1/nodes/n1/stoppable", MAY_STOP, "POST")
    said = tmp_path / "said"
    command = f'echo "$LEADPLANE_NODE $LEADPLANE_REGION $LEADPLANE_NODE_URL" > {said}'
    result = run(tmp_path, "--exec", command, "--patience-s", "1")
    assert said.read_text().split() == ["n1", "eu", fleet.url]
    assert result.exit_code == 1, "the stub's process never becomes another one"
    assert "n1: its process ends, for 1 s" in result.stderr
    kept = json.loads((tmp_path / "rolling.json").read_text())
    assert (kept["at"], kept["step"], kept["began"]) == ("n1", "stop", {"n1": "p1"})


def test_it_goes_on_where_another_one_was_and_lets_the_node_lead(
    fleet: StubFleet, tmp_path: Path
) -> None:
    progress = {
        "began": {"n1": "p1"}, "done": [], "at": "n1", "step": "stop", "baked": False,
        "few_asked": False, "few_seen": False, "told_stop": True,
    }  # fmt: skip
    (tmp_path / "rolling.json").write_text(json.dumps(progress))
    shown(fleet, [node("n1", "p2"), node("n2", "q1", 4)])
    result = run(tmp_path, "--exec", "exit 7")
    assert result.exit_code == 0, result.output
    assert "goes on: 0 of 1 nodes done" in result.stderr
    assert "every node runs anew" in result.stderr
    assert not (tmp_path / "rolling.json").exists()


def test_a_command_that_fails_ends_it_and_is_run_again_by_whoever_goes_on(
    fleet: StubFleet, tmp_path: Path
) -> None:
    shown(fleet, [node("n1", "p1"), node("n2", "q1", 4)], DRAINED)
    fleet.document("/v1/nodes/n1/stoppable", MAY_STOP, "POST")
    for _ in range(2):
        result = run(tmp_path, "--exec", "exit 7")
        assert result.exit_code == 1
        assert "ended with status 7" in result.stderr


def test_a_node_that_somebody_would_miss_is_not_stopped(fleet: StubFleet, tmp_path: Path) -> None:
    shown(fleet, [node("n1", "p1"), node("n2", "q1", 4)], DRAINED)
    reason = {"why": "last-of-region", "place": "eu", "detail": "nobody else", "promised": []}
    refused = MAY_STOP | {"stoppable": False, "reasons": [reason]}
    fleet.document("/v1/nodes/n1/stoppable", refused, "POST")
    result = run(tmp_path, "--exec", f"touch {tmp_path}/stopped", "--patience-s", "1")
    assert (result.exit_code, (tmp_path / "stopped").exists()) == (1, False)
    assert "n1: nobody else, for 1 s" in result.stderr
    despite = ("--despite", "last-of-region", "--patience-s", "1")
    run(tmp_path, "--exec", f"touch {tmp_path}/stopped", *despite)
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(
    ("nodes", "what"),
    [
        ([node("n2", "q1")], "no node is called n1"),
        ([node("n1", "p1", alive=False)], "n1 not alive"),
    ],
)
def test_it_begins_with_nodes_that_are_there(
    fleet: StubFleet, tmp_path: Path, nodes: list[dict[str, Any]], what: str
) -> None:
    shown(fleet, nodes)
    result = run(tmp_path, "--exec", "true")
    assert (result.exit_code, what in result.stderr) == (1, True), result.stderr


def test_what_is_no_progress_is_said_so(fleet: StubFleet, tmp_path: Path) -> None:
    (tmp_path / "rolling.json").write_text("{}")
    result = run(tmp_path, "--exec", "true")
    assert (result.exit_code, "begin anew" in result.stderr) == (1, True)
