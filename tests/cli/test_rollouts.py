"""`rollouts`: what is sent to begin and to steer one, and what a person is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.freezes import freezes_of
from config.rollout import Pause, Phase, Reached, Why
from controlplane.cli.output import moment_text
from tests.cli.sample_rollout import FAILED, REGIONS, REPORTED, ROLLOUT, at, shown
from tests.cli.stub_fleet import StubFleet, leadplane

PATH = "/v1/rollouts"
BAKING = at(Phase.BAKING, Reached.APPLIED, baked_ms=190_300, sequence=4)


def columns(line: str) -> list[str]:
    """The cells of a line, which stand two spaces apart."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_rollouts_are_listed_and_those_of_a_document_picked(fleet: StubFleet) -> None:
    other = {**at(Phase.SUCCEEDED), "rollout": 6, "document": "limits"}
    fleet.pages(PATH, [[BAKING], [other]])
    lines = leadplane("rollouts").stdout.splitlines()
    assert columns(lines[0])[:6] == ["ROLLOUT", "DOCUMENT", "VERSION", "PHASE", "WAVE", "HAVE IT"]
    assert columns(lines[1])[:6] == ["7", "flags", "5", "baking", "1 of 2", "1 of 3"]
    assert len(lines) == 3
    one = leadplane("rollouts", "list", "--document", "limits", "-o", "json")
    assert [each["rollout"] for each in json.loads(one.stdout)["items"]] == [6]


def test_a_rollout_is_shown_by_wave_and_region_and_its_gates_with_more_room(
    fleet: StubFleet,
) -> None:
    fleet.document(f"{PATH}/7", BAKING)
    shown = leadplane("rollouts", "get", "7").stdout.splitlines()
    assert shown[0] == (
        "Rollout 7: flags to version 5, by canary: baking, wave 1 of 2, 3m10s of 10m."
    )
    rows = [columns(line) for line in shown[2:]]
    assert [row[:3] + row[4:] for row in rows] == [
        ["WAVE", "REGION", "STATE", "BEFORE"],
        ["1", "ap-southeast-1", "applied", "version 4"],
        ["2", "eu-central-1", "waiting", "version 4"],
        ["2", "us-east-1", "waiting", "version 4"],
    ]
    assert "elections, errors" in leadplane("rollouts", "get", "7", "-o", "wide").stdout
    assert json.loads(leadplane("rollouts", "get", "7", "-o", "json").stdout) == BAKING


def test_what_each_gate_said_last_is_shown(fleet: StubFleet) -> None:
    said = at(Phase.GATING, Reached.APPLIED, looks=(FAILED, REPORTED))
    fleet.document(f"{PATH}/7", said)
    rows = [columns(line) for line in leadplane("rollouts", "get", "7").stdout.splitlines()[7:]]
    assert [row[:2] + row[3:] for row in rows] == [
        ["GATE", "SAID", "DETAIL"],
        ["fleet", "fail", "errors: 3 % beside 0.1 %"],
        ["page", "no-data, only reported", "nobody there"],
    ]


@pytest.mark.parametrize(
    ("pause", "words"),
    [
        (Pause(Why.APPROVAL, detail="wave 1"), "Let wave 1 begin: leadplane rollouts resume 7"),
        (Pause(Why.OPERATOR, "alice", "lunch"), "Go on: leadplane rollouts resume 7"),
        (
            Pause(Why.NO_DATA, detail="p99: an empty answer"),
            "Go on without them: leadplane rollouts promote 7",
        ),
        (
            Pause(Why.UNREACHABLE, detail="us-east-1"),
            "It goes on by itself when us-east-1 answers.",
        ),
    ],
)
def test_a_pause_says_why_and_what_to_type(fleet: StubFleet, pause: Pause, words: str) -> None:
    fleet.document(f"{PATH}/7", at(Phase.APPLYING, pause=pause))
    lines = leadplane("rollouts", "get", "7").stdout.splitlines()
    who = f"by {pause.by}" if pause.by else pause.why
    assert f"paused, wave 1 of 2 ({who}: {pause.detail})." in lines[0]
    assert words in lines
    assert lines[-1] == "Go back: leadplane rollouts abort 7"


def test_a_start_sends_what_was_typed_and_says_how_to_follow(fleet: StubFleet) -> None:
    fleet.document(PATH, shown(ROLLOUT), "POST", 201)
    done = leadplane(
        "rollouts", "start", "flags", "--version", "5", "--strategy", "linear", "--bake", "90s",
        "--final-bake", "5m", "--order", "us-east-1, eu-central-1", "--approve-wave", "2",
        "--approve-wave", "1", "--nodes-percent", "20", "--queue", "--reason", "try blue",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("POST", PATH)
    assert json.loads(asked.body) == {
        "document": "flags", "version": 5, "queue": True,
        "strategy": {
            "name": "linear", "bake_ms": 90_000, "final_bake_ms": 300_000,
            "order": ["us-east-1", "eu-central-1"], "approvals": [1, 2], "nodes_percent": 20,
        },
    }  # fmt: skip
    assert asked.query == {"reason": "try blue"}
    assert asked.headers["idempotency-key"]
    assert done.stdout.splitlines()[-1] == "Follow it: leadplane rollouts get 7 --watch"


def test_a_dry_run_shows_every_step_with_its_time(fleet: StubFleet) -> None:
    fleet.document(PATH, shown(ROLLOUT, dry_run=True), "POST")
    done = leadplane("rollouts", "start", "flags", "--dry-run")
    assert fleet.last("POST", PATH).query == {"dry_run": "true"}
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "Would bring flags to version 5, by canary, in 50m2s if all goes well. Nothing was done."
    )
    assert [columns(line) for line in lines[2:6]] == [
        ["STEP", "REGIONS", "BEGINS AFTER", "IS WATCHED FOR"],
        ["wave 1", "ap-southeast-1", "at once", "10m"],
        ["wave 2", "eu-central-1, us-east-1", "10m1s", "10m"],
        ["final bake", "all", "20m2s", "30m"],
    ]


def test_a_dry_run_shows_freezes_and_shares_of_nodes(fleet: StubFleet) -> None:
    once = {"from": "2020-01-01T00:00:00Z", "until": "2023-11-15T00:00:00Z"}
    freezes = freezes_of({"freezes": [{"name": "sale", "once": once, "regions": ["us-east-1"]}]})
    both = replace(ROLLOUT, waves=(REGIONS, REGIONS), percents=(20, 100))
    fleet.document(PATH, shown(both, dry_run=True, freezes=freezes), "POST")
    shown_wide = leadplane("rollouts", "start", "flags", "--dry-run", columns=200)
    lines = shown_wide.stdout.splitlines()
    waits = moment_text(1_700_006_400_000, "%m-%d %H:%M:%S")
    assert [columns(line)[4:] for line in lines[2:6]] == [
        ["OF THE NODES", "WAITS FOR"],
        ["20 %", f"a freeze, until {waits}"],
        ["-", "-"],
        ["-", "-"],
    ]
    assert columns(lines[3])[2] == "1h46m40s"


def test_a_freeze_says_until_when_and_that_no_order_ends_it(fleet: StubFleet) -> None:
    pause = Pause(Why.FROZEN, detail="weekend: us-east-1", until_ms=1_700_006_400_000)
    fleet.document(f"{PATH}/7", at(Phase.APPLYING, pause=pause))
    lines = leadplane("rollouts", "get", "7").stdout.splitlines()
    until = moment_text(1_700_006_400_000)
    assert f"(frozen until {until}: weekend: us-east-1)" in lines[0]
    assert "resume" not in "\n".join(lines)
    fleet.pages(PATH, [[at(Phase.APPLYING, pause=pause)]])
    listed = leadplane("rollouts", columns=200).stdout
    assert f"frozen until {until}: weekend: us-east-1" in listed


def test_gates_of_files_are_asked_beside_the_fleets_own(fleet: StubFleet, tmp_path: Path) -> None:
    one, more = tmp_path / "one.yaml", tmp_path / "more.json"
    one.write_text("name: page\nkind: http\nurl: http://a/\n")
    more.write_text('[{"name": "p99", "kind": "prometheus"}]')
    fleet.document(PATH, shown(ROLLOUT), "POST", 201)
    leadplane("rollouts", "start", "flags", "--gate", str(one), "--gate", str(more))
    gates = json.loads(fleet.last("POST", PATH).body)["gates"]
    assert [gate["name"] for gate in gates] == ["fleet", "page", "p99"]
    one.write_text("name: ours\nmeasures: [nodes]\n")
    leadplane("rollouts", "start", "flags", "--gate", str(one))
    gates = json.loads(fleet.last("POST", PATH).body)["gates"]
    assert gates == [{"name": "ours", "measures": ["nodes"]}]


def test_what_is_wrong_with_a_gate_is_told_by_file_and_line(
    fleet: StubFleet, tmp_path: Path
) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text(
        "- name: page\n  kind: http\n- name: p99\n  kind: prometheus\n  passes: often\n"
    )
    problem = {
        "type": "/problems/invalid", "title": "The request is not valid", "status": 400,
        "errors": [{"pointer": "#/gates/2/passes", "detail": "must be a comparison"}],
    }  # fmt: skip
    fleet.document(PATH, problem, "POST", 400)
    done = leadplane("rollouts", "start", "flags", "--gate", str(file))
    assert done.exit_code == 1
    assert f"  {file}, line 5, /1/passes: must be a comparison" in done.stderr.splitlines()
    file.write_text("just words\n")
    assert "no list of gates" in leadplane("rollouts", "start", "f", "--gate", str(file)).stderr


def test_a_refused_start_names_the_rollout_that_is_in_the_way(fleet: StubFleet) -> None:
    problem = {
        "type": "/problems/rollout-unfinished", "status": 409, "title": "Another one is not over",
        "detail": "flags waits: rollout 6 of it is baking; let it queue", "rollout": 6,
    }  # fmt: skip
    fleet.document(PATH, problem, "POST", 409)
    done = leadplane("rollouts", "start", "flags")
    assert done.exit_code == 1
    assert "rollout 6 of it is baking" in done.stderr
    assert "--queue" in done.stderr
    both = leadplane("rollouts", "start", "flags", "--queue", "--supersede")
    assert (both.exit_code, "exclude each other" in both.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("pause", "7"), "pause", {}),
        (("pause", "7", "--for", "1h"), "pause", {"for_ms": 3_600_000}),
        (("resume", "7"), "resume", {}),
        (("promote", "7"), "promote", {}),
        (("abort", "7"), "abort", {}),
        (("rollback", "7"), "rollback", {"strategy": "all-at-once"}),
    ],
)
def test_orders(fleet: StubFleet, words: tuple[str, ...], path: str, body: dict[str, Any]) -> None:
    fleet.document(f"{PATH}/7/{path}", BAKING, "POST")
    done = leadplane("rollouts", *words, "--reason", "why not")
    assert done.exit_code == 0, done.stderr
    asked = fleet.last("POST", f"{PATH}/7/{path}")
    assert (json.loads(asked.body), asked.query) == (body, {"reason": "why not"})
    assert asked.headers["idempotency-key"]
    assert done.stdout.startswith("Rollout 7: flags to version 5")


def test_an_order_can_be_tried_without_effect(fleet: StubFleet) -> None:
    trial = {**at(Phase.ROLLING_BACK, Reached.APPLIED), "dry_run": True}
    fleet.document(f"{PATH}/7/abort", trial, "POST")
    done = leadplane("rollouts", "abort", "7", "--dry-run")
    assert done.stdout == (
        "Rollout 7: flags to version 5, by canary: rolling-back, wave 1 of 2. "
        "So it would be. Nothing was done.\n"
    )


def test_what_is_over_is_rolled_back_by_another_rollout(fleet: StubFleet) -> None:
    back = {**shown(ROLLOUT), "rollout": 8, "version": 4}
    fleet.document(f"{PATH}/7/rollback", back, "POST", 201)
    lines = leadplane("rollouts", "rollback", "7").stdout.splitlines()
    assert lines[0].startswith("Rollout 8: flags to version 4")
    assert lines[-1] == "Follow it: leadplane rollouts get 8 --watch"
