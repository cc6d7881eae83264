"""The same problem with something replaced: what-if, and what is there after a plan is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

from shards.placement.errors import ProblemInvalid
from shards.placement.moves import plan_of
from shards.placement.packing import refuse
from shards.placement.problem import Budget, Problem
from shards.placement.problem_file import document_of, problem_from
from shards.placement.solve import Solution


def what_if(problem: Problem, changes: Mapping[str, Any]) -> Problem:
    """The problem with values replaced: a JSON pointer each, with what stands there instead.

    `{"/egress_usd_per_gb/0/1": 0.05, "/drained": ["eu-west-1"]}`. The outcome is checked like any
    problem. Raises ProblemInvalid, with the pointer, for one that leads nowhere.
    """
    document: Any = document_of(problem)
    for pointer, value in changes.items():
        if not pointer.startswith("/"):
            raise refuse("a pointer starts with a slash", "write /field/...", pointer)
        *way, last = [_unescaped(step) for step in pointer[1:].split("/")]
        inner = document
        for step in way:
            inner = _step(inner, step, pointer)
        if isinstance(inner, list):
            _step(inner, last, pointer)
            inner[int(last)] = value
        elif isinstance(inner, dict) and "base64" not in inner:
            inner[last] = value
        else:
            raise _nowhere(pointer)
    return problem_from(document)


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _step(inner: Any, step: str, pointer: str) -> Any:
    if isinstance(inner, dict) and step in inner and "base64" not in inner:
        return inner[step]
    if isinstance(inner, list) and step.isdecimal() and int(step) < len(inner):
        return inner[int(step)]
    raise _nowhere(pointer)


def _nowhere(pointer: str) -> ProblemInvalid:
    hint = "name a value of the problem; a packed column is replaced as a whole"
    return refuse("leads nowhere", hint, *pointer[1:].split("/"))


def applied(problem: Problem, solution: Solution) -> Problem:
    """The problem after a plan was carried out, with what it left of the budget."""
    left = Budget(
        _rest(problem.budget.moved_bytes, solution.spent_bytes),
        _rest(problem.budget.moved_leaders, solution.spent_leaders),
    )
    placement = solution.placement
    shards = replace(problem.shards, leader=placement.leader, present=placement.voters)
    nodes = problem.nodes
    if nodes is not None and solution.seats is not None:
        wishes = dict(nodes.wishes)
        moved = plan_of(problem, placement, solution.seats).moves
        rows = {shard: row for row, shard in enumerate(problem.shards.ids)}
        wishes |= {rows[m.shard]: int(solution.seats[rows[m.shard]]) for m in moved if m.to_node}
        nodes = replace(nodes, wishes=tuple(sorted(wishes.items())))
    return replace(problem, shards=shards, budget=left, nodes=nodes)


def _rest(budget: float, spent: float) -> float:
    return inf if budget == inf else max(budget - spent, 0.0)
