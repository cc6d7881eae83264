"""The worker answers line by line, keeps what it solved, and ends when its stdin does."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from shards.placement.incremental import solve_again
from shards.placement.problem_file import document_of
from shards.placement.solve import TOLERANCE, solve
from shards.placement.synthetic import synthetic_problem
from shards.placement.worker import Desk, serve
from tests.shards.placement.brute_force import keeps_limits


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A worker as a process; gone when the test is."""
    command = [sys.executable, "-m", "shards.placement.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[bytes], **request: Any) -> Any:
    """Send one request and wait for its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_a_process_answers_in_order_survives_nonsense_and_ends_with_its_stdin() -> None:
    problem = document_of(synthetic_problem(20, 4, seed=1))
    with worker() as process:
        assert ask(process, id=1, op="explain", shard="s1")["error"]["code"] == (
            "placement-request-malformed"
        )
        assert ask(process, id=2, op="dance")["id"] == 2
        assert "error" in ask(process, id=3, op="plan", problem={**problem, "regions": []})
        planned = ask(process, id=4, op="plan", problem=problem)
        assert planned["id"] == 4
        assert planned["ok"]["feasible"]
        assert ask(process, id=5, op="explain", shard="s1")["ok"]["shard"] == "s1"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_what_is_wrong_comes_back_with_its_place() -> None:
    problem = document_of(synthetic_problem(5, 3, seed=1))
    problem["rtt_ms"][0][1] = -1
    answer = _answered(json.dumps({"id": 7, "op": "check", "problem": problem}).encode())
    assert answer["id"] == 7
    assert [each["pointer"] for each in answer["error"]["findings"]] == ["/rtt_ms/0/1"]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"op": 3}', b'{"op": "sample"}', b"\xff"])
def test_nonsense_is_refused(line: bytes) -> None:
    assert _answered(line)["error"]["code"] == "placement-request-malformed"


@pytest.mark.parametrize("limit", [-1, "soon", True])
def test_a_time_limit_is_a_number_of_seconds(limit: object) -> None:
    request = {"op": "plan", "problem": document_of(synthetic_problem(5, 3, 1))}
    answer = _answered(json.dumps({**request, "time_limit_s": limit}).encode())
    assert answer["error"]["code"] == "placement-request-malformed"


def _answered(line: bytes) -> Any:
    answers = BytesIO()
    serve(BytesIO(line + b"\n"), answers)
    return json.loads(answers.getvalue())


def test_what_if_is_the_plan_after_really_changing_and_keeps_nothing() -> None:
    document = document_of(synthetic_problem(30, 4, seed=2))
    desk = Desk()
    before = desk.answer({"op": "plan", "problem": document})
    changes = {"/drained": ["us-west-2"], "/budget": {}, "/capacities": {}}
    supposed = desk.answer({"op": "what_if", "changes": changes})
    same = desk.answer({"op": "what_if", "changes": {}})
    changed = {**document, "drained": ["us-west-2"], "budget": {}, "capacities": {}}
    really = Desk().answer({"op": "plan", "problem": changed})
    assert supposed["plan"] == really["plan"]
    assert same["plan"] == before["plan"]
    assert supposed["plan"]["hash"] != before["plan"]["hash"]


def test_a_conflict_takes_the_place_of_a_plan() -> None:
    document = document_of(synthetic_problem(12, 4, seed=2))
    document["capacities"]["leaders"] = [1, 1, 1, 1]
    answer = Desk().answer({"op": "plan", "problem": document})
    assert not answer["feasible"]
    assert len(answer["conflict"]["constraints"]) == 4
    assert "plan" not in answer


def test_pictures_are_svg() -> None:
    desk = Desk()
    desk.answer({"op": "plan", "problem": document_of(synthetic_problem(20, 4, seed=2))})
    for what in ("map", "frontier"):
        root = ElementTree.fromstring(desk.answer({"op": "plot", "what": what}))
        assert root.tag.endswith("svg")
        assert len(list(root)) > 5


def _after(problem: Any, name: str) -> Any:
    match name:
        case "loads":
            writes = problem.shards.writes_per_s.copy()
            writes[::20] *= 1.5
            return replace(problem, shards=replace(problem.shards, writes_per_s=writes))
        case "lost":
            return replace(problem, drained=0b00010)
        case "price":
            egress = problem.egress_usd_per_gb.copy()
            egress[0, 1:] *= 3
            return replace(problem, egress_usd_per_gb=egress)
        case "nothing":
            return problem
    raise AssertionError(name)


@pytest.mark.parametrize("event", ["loads", "lost", "price", "nothing"])
def test_a_warm_solve_is_as_good_as_a_fresh_one(event: str) -> None:
    problem = synthetic_problem(250, 5, seed=3)
    limits = replace(problem.capacities, size_bytes=problem.capacities.size_bytes * 2)
    problem = replace(problem, capacities=limits)
    first = solve(problem)
    assert first.warm is not None
    after = _after(problem, event)
    again = solve_again(first.warm, after)
    assert again is not None
    assert again.feasible
    bare = replace(again.placement, followers=np.zeros_like(again.placement.followers))
    assert keeps_limits(after, bare)
    fresh = solve(after)
    assert again.usd <= fresh.usd * (1 + 2 * TOLERANCE)
    assert again.bound_usd <= fresh.usd


def test_another_fleet_is_not_solved_from_where_the_last_was() -> None:
    first = solve(synthetic_problem(20, 4, seed=3))
    assert first.warm is not None
    assert solve_again(first.warm, synthetic_problem(21, 4, seed=3)) is None
    assert solve_again(first.warm, synthetic_problem(20, 5, seed=3)) is None


def test_an_update_goes_on_from_what_was_solved() -> None:
    desk = Desk()
    desk.answer({"op": "plan", "problem": document_of(synthetic_problem(40, 4, seed=3))})
    answer = desk.answer(
        {"op": "update", "changes": {"/drained": ["us-west-2"], "/capacities": {}}}
    )
    assert answer["feasible"]
    assert all("us-west-2" not in (m["to_leader"], *m["add"]) for m in answer["plan"]["moves"])
    assert [each["leaders_lost"] for each in answer["plan"]["after_losing"]][1] == 0
