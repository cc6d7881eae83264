"""The worker answers line by line, keeps what it solved, and ends when its stdin does."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from shards.placement.incremental import GAP_MAX
from shards.placement.nodes import Bearing, Nodes
from shards.placement.problem import Budget, unlimited
from shards.placement.problem_file import document_of
from shards.placement.synthetic import synthetic_problem
from shards.placement.worker import Desk, serve


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


@pytest.mark.parametrize("columns", [{}, {"writes_per_s": [], "reads_per_s": []}])
def test_a_problem_without_shards_is_refused(columns: dict[str, Any]) -> None:
    document = document_of(synthetic_problem(5, 3, seed=1))
    document["shards"] = {name: [] for name in document["shards"]} | columns
    answer = _answered(json.dumps({"id": 1, "op": "plan", "problem": document}).encode())
    assert [(each["pointer"], each["message"]) for each in answer["error"]["findings"]] == [
        ("/shards/ids", "there is no shard")
    ]


def test_an_update_says_whether_it_went_on_or_began_anew() -> None:
    desk = Desk()
    problem = synthetic_problem(800, 8, seed=3)
    desk.answer({"op": "plan", "problem": document_of(problem)})
    dearer = desk.answer({"op": "update", "changes": {"/egress_usd_per_gb/0/1": 0.2}})
    other = document_of(synthetic_problem(40, 8, seed=3))["shards"]
    fewer = desk.answer({"op": "update", "changes": {"/shards": other, "/capacities": {}}})
    assert (dearer["went_on"], fewer["went_on"]) == (True, False)
    assert dearer["voters_gap"] <= GAP_MAX
    assert fewer["feasible"]


def test_an_update_seats_shards_and_begins_anew_with_other_nodes() -> None:
    desk = Desk()
    problem = replace(synthetic_problem(40, 3, seed=3), capacities=unlimited(3), budget=Budget())
    nodes = Nodes(("a", "b", "c", "d"), (0, 0, 1, 2), ("",) * 4, limits=Bearing(leaders=12))
    problem = replace(problem, nodes=nodes)
    desk.answer({"op": "plan", "problem": document_of(problem)})
    dearer = desk.answer({"op": "update", "changes": {"/egress_usd_per_gb/0/1": 0.2}})
    wider = document_of(replace(problem, nodes=replace(nodes, limits=Bearing(leaders=30))))
    other = desk.answer({"op": "update", "changes": {"/nodes": wider["nodes"]}})
    assert (dearer["went_on"], other["went_on"]) == (True, False)
    led = Counter(move["to_node"] for move in dearer["plan"]["moves"])
    assert led.keys() <= {"a", "b", "c", "d"}
    assert led.total() > 0
    assert max(led.values()) <= 12


def test_an_update_goes_on_from_what_was_solved() -> None:
    desk = Desk()
    desk.answer({"op": "plan", "problem": document_of(synthetic_problem(40, 4, seed=3))})
    answer = desk.answer(
        {"op": "update", "changes": {"/drained": ["us-west-2"], "/capacities": {}}}
    )
    assert answer["feasible"]
    assert all("us-west-2" not in (m["to_leader"], *m["add"]) for m in answer["plan"]["moves"])
    assert [each["leaders_lost"] for each in answer["plan"]["after_losing"]][1] == 0
