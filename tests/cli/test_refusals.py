"""What a person is told when something does not work: what, where, and what to do next."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.cli import connection
from controlplane.cli.connection import NEXT_STEPS
from controlplane.cli.main import COMMANDS
from controlplane.problems import KINDS
from tests.cli.stub_fleet import StubFleet, leadplane

PROBLEM = {
    "type": "/problems/no-quorum",
    "title": "A majority of the shard's stores is out of reach",
    "status": 503,
    "detail": "s03: only us-east-1-a answers",
    "retry_after_ms": 250,
}


def test_a_problem_goes_to_stderr_with_what_to_do_next(fleet: StubFleet) -> None:
    fleet.document("/v1/kv/k", PROBLEM, "PUT", 503)
    result = leadplane("kv", "put", "k", "v")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: A majority of the shard's stores is out of reach: s03: only us-east-1-a answers",
        f"  at:   PUT {fleet.url}/v1/kv/k",
        f"  next: {NEXT_STEPS['no-quorum']}; try again in 250 ms",
    ]


def test_an_election_is_waited_for(fleet: StubFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ELECTION_WAIT_S", 30.0)
    monkeypatch.setattr(connection, "ELECTION_PAUSE_S", 0.01)
    kinds = ("no-leader", "not-leader")
    refusals = [{"type": f"/problems/{kind}", "title": "x", "status": 503} for kind in kinds]
    fleet.one_after_the_other("/v1/rollouts/7", *refusals, {"rollout": 7})
    assert connection.fleet_access().get("/v1/rollouts/7") == {"rollout": 7}
    assert len(fleet.asked) == 3


@pytest.mark.parametrize(
    ("kind", "wait_s"), [("no-quorum", 30.0), ("unknown-outcome", 30.0), ("no-leader", 0.0)]
)
def test_only_an_election_is_waited_for_and_not_for_ever(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch, kind: str, wait_s: float
) -> None:
    monkeypatch.setattr(connection, "ELECTION_WAIT_S", wait_s)
    refusal = {"type": f"/problems/{kind}", "title": "x", "status": 503}
    fleet.one_after_the_other("/v1/rollouts/7", refusal, {"rollout": 7})
    with pytest.raises(connection.Problem, match="x"):
        connection.fleet_access().get("/v1/rollouts/7")


def test_every_error_of_bad_input_is_shown(fleet: StubFleet) -> None:
    problem = {
        "type": "/problems/invalid",
        "title": KINDS["invalid"].title,
        "detail": "key: is required (and 1 more)",
        "errors": [
            {"detail": "is required", "parameter": "key"},
            {"detail": "is no region", "pointer": "#/to_region"},
        ],
    }
    fleet.document("/v1/shards/s00/transfer", problem, "POST", 400)
    result = leadplane("shards", "transfer", "s00", "--to-region", "mars")
    assert result.stderr.splitlines() == [
        "error: The request is not valid",
        "  key: is required",
        "  #/to_region: is no region",
        f"  at:   POST {fleet.url}/v1/shards/s00/transfer",
        "  next: correct what is named, and send it again",
    ]


def test_no_problem_leaves_a_person_without_a_next_step() -> None:
    assert set(KINDS) == set(NEXT_STEPS)


def test_an_answer_that_is_no_problem_document_is_shown_as_it_is(fleet: StubFleet) -> None:
    fleet.answers["GET", "/v1/status"] = (502, {"Content-Type": "text/html"}, b"<h1>proxy</h1>")
    result = leadplane("status")
    assert result.exit_code == 1
    assert "HTTP 502: <h1>proxy</h1>" in result.stderr


def test_another_server_at_the_address_is_not_taken_for_a_node(fleet: StubFleet) -> None:
    fleet.answers["GET", "/v1/status"] = (200, {"Content-Type": "text/html"}, b"<h1>hello</h1>")
    result = leadplane("status")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: the answer is not one of a node: '<h1>hello</h1>'",
        f"  at:   {fleet.url}",
        "  next: see whether LEADPLANE_URL, or --at, is the address of a node",
    ]


def test_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEADPLANE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    result = leadplane("status")
    assert result.exit_code == 1
    assert "no fleet to talk to" in result.stderr
    assert "leadplane up" in result.stderr


def test_the_fleet_of_this_folder_is_used(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from controlplane.process_identity import identity_of

    monkeypatch.delenv("LEADPLANE_URL")
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        identity = identity_of(supervisor.pid)
        assert identity is not None
        (tmp_path / ".leadplane").mkdir()
        state = {
            "supervisor": {
                "pid": identity.pid,
                "start_ticks": identity.start_ticks,
                "boot": identity.boot,
            },
            "nodes": [{"id": "n1", "region": "r", "url": fleet.url, "pid": 1}],
        }
        (tmp_path / ".leadplane" / "fleet.json").write_text(json.dumps(state))
        assert leadplane("nodes").exit_code == 0
        supervisor.kill()
    gone = leadplane("nodes")
    assert gone.exit_code == 1
    assert "has ended" in gone.stderr


def test_another_address_is_tried_when_nobody_listens(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("LEADPLANE_URL", f"{dead}, {fleet.url}/")
        assert leadplane("nodes").exit_code == 0
        monkeypatch.setenv("LEADPLANE_URL", dead)
        result = leadplane("nodes")
    assert result.exit_code == 1
    assert f"{dead}: Connection refused" in result.stderr


def test_a_write_whose_answer_got_lost_is_unknown_not_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("LEADPLANE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        command = [sys.executable, "-m", "controlplane.cli.main", "kv", "put", "k", "v"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.close()
            _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "may have been carried out, or not" in stderr
    assert "--idempotency-key" in stderr


WRONG_ADDRESSES = ["localhost:7101", "ftp://x", "http://", "http://x:99999", "http://x:y", "://"]


@pytest.mark.parametrize("address", WRONG_ADDRESSES)
def test_a_wrong_address_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("LEADPLANE_URL", address)
    result = leadplane("status")
    assert result.exit_code == 1
    assert "is not an address" in result.stderr
    assert "LEADPLANE_URL: " in result.stderr


def test_a_wrong_address_of_one_node_is_named(fleet: StubFleet) -> None:
    result = leadplane("kv", "get", "k", "--at", "http://127.0.0.1:99999")
    assert result.exit_code == 1
    assert "--at: 'http://127.0.0.1:99999' is not an address" in result.stderr
    assert fleet.asked == []


def test_the_token_is_sent(fleet: StubFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADPLANE_TOKEN", "s3cret")
    leadplane("nodes")
    assert fleet.last("GET", "/v1/nodes").headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_fast_because_it_imports_little(command: str) -> None:
    """Speed is a matter of what is imported; the clock of a busy machine is not asked."""
    code = (
        "import sys; from controlplane.cli.main import cli\n"
        f"try: cli(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'aiohttp', 'pydantic', 'yaml', 'redis', 'asyncio', 'http'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage:")


def test_help_costs_under_150_ms() -> None:
    """Processor time, and the best of a few starts: what it costs without the neighbours."""
    command = [sys.executable, "-m", "controlplane.cli.main", "--help"]
    durations = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        spent = after.children_user + after.children_system
        durations.append(spent - before.children_user - before.children_system)
    assert min(durations) < 0.150
