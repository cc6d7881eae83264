"""The process that computes placements: one request a line on stdin, one answer a line on stdout.

Start it with `python -m shards.placement.worker`; it ends when its stdin does. A request is a JSON
object `{"id": ..., "op": ..., ...}`; its answer is `{"id": ..., "ok": ...}`, or `{"id": ...,
"error": {"code", "message", "hint", "findings"}}`, in the order of the requests. What was solved
last is kept, so that a change to it is solved from there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, Final

import orjson

from regions.findings import Finding
from shards.placement.changed import what_if
from shards.placement.confirming import explain_surely
from shards.placement.errors import PlacementError, ProblemInvalid, RequestMalformed
from shards.placement.incremental import solve_again
from shards.placement.infeasible import conflict_of
from shards.placement.joint import total_of
from shards.placement.moves import plan_of
from shards.placement.packing import packed, refuse
from shards.placement.plot import frontier_of, frontier_svg, map_svg
from shards.placement.problem import Problem
from shards.placement.problem_file import document_of, problem_from
from shards.placement.solve import TIME_LIMIT_S, Solution, Watch
from shards.placement.stages import solve_both, with_seats
from shards.placement.synthetic import reference_positions, synthetic_problem

REQUEST_BYTES_MAX: Final = 1 << 30
Request = Mapping[str, Any]
MOVES_SHOWN = 10_000
"""Moves that an answer lists unless it is asked for more; all of them count in its sums."""


class Desk:
    """Answers requests, and keeps what was solved last."""

    def __init__(self) -> None:
        self._held: tuple[Problem, Solution] | None = None
        self._ops: Mapping[str, Callable[[Request], Any]] = {
            "check": self._check,
            "explain": self._explain,
            "plan": self._plan,
            "plot": self._plot,
            "sample": self._sample,
            "update": self._update,
            "what_if": self._what_if,
        }

    def answer(self, request: Request) -> Any:
        """Do what a request asks for. Raises PlacementError when it cannot be done."""
        op = str(request.get("op"))
        if op not in self._ops:
            known = ", ".join(sorted(self._ops))
            raise RequestMalformed(f"there is no operation {op!r}", hint=f"known are {known}")
        return self._ops[op](request)

    def _check(self, request: Request) -> Any:
        problem = problem_from(request.get("problem"))
        return {"shards": len(problem.shards), "regions": problem.region_count}

    def _sample(self, request: Request) -> Any:
        """A problem from published figures, for trying things out."""
        size = (int(request["shards"]), int(request["regions"]), int(request["seed"]))
        return document_of(synthetic_problem(*size))

    def _plan(self, request: Request) -> Any:
        """Solve a problem from nothing, and keep it: what was solved before plays no part."""
        problem = _with_shards(problem_from(request.get("problem")))
        solution = solve_both(problem, time_limit_s=_time_limit_s(request))
        self._held = problem, solution
        return _answer_of(problem, solution, request)

    def _update(self, request: Request) -> Any:
        """Solve the kept problem with parts replaced, from where it was; keep it.

        What this answers depends on what was solved before, unlike a `plan`. Where it cannot go on
        from there, it begins anew: `went_on` says which.
        """
        before, last = self._last()
        problem = _with_shards(what_if(before, _changes(request)))
        limit_s = _time_limit_s(request)
        watch = Watch(time.monotonic, limit_s)
        again = None if last.warm is None else solve_again(last.warm, problem, time_limit_s=limit_s)
        solution = None if again is None else with_seats(problem, again, watch)
        went_on = solution is not None and solution.feasible
        if solution is None or not solution.feasible:
            solution = solve_both(problem, time_limit_s=limit_s)
        self._held = problem, solution
        return {**_answer_of(problem, solution, request), "went_on": went_on}

    def _what_if(self, request: Request) -> Any:
        """The plan for the kept problem with parts replaced; nothing is kept."""
        problem, _ = self._last()
        supposed = _with_shards(what_if(problem, _changes(request)))
        solution = solve_both(supposed, time_limit_s=_time_limit_s(request))
        return _answer_of(supposed, solution, request)

    def _explain(self, request: Request) -> Any:
        problem, solution = self._last()
        shard = request["shard"]
        if shard not in problem.shards.ids:
            raise RequestMalformed(f"there is no shard {shard!r}", hint="name one of the problem's")
        return asdict(explain_surely(problem, solution, shard))

    def _plot(self, request: Request) -> Any:
        problem, solution = self._last()
        if request.get("what") == "frontier":
            return frontier_svg(problem, frontier_of(problem))
        return map_svg(problem, solution.placement, _positions(problem, request))

    def _last(self) -> tuple[Problem, Solution]:
        if self._held is None:
            raise RequestMalformed("nothing was solved yet", hint="send a plan first")
        return self._held


def _answer_of(problem: Problem, solution: Solution, request: Request) -> dict[str, Any]:
    """What is known about a solution; where it leads, if it leads anywhere."""
    answer = summary_of(solution)
    if not solution.feasible:
        answer["conflict"] = asdict(conflict_of(problem, solution))
        return answer
    total = total_of(problem, solution)
    answer |= {
        "usd_per_month": total.usd,
        "bound_usd_per_month": total.bound_usd,
        "gap": total.gap,
    }
    plan = asdict(plan_of(problem, solution.placement, solution.seats))
    answer["moves_count"] = len(plan["moves"])
    plan["moves"] = plan["moves"][: int(request.get("moves_max", MOVES_SHOWN))]
    answer["plan"] = plan
    if request.get("placement"):
        placement = solution.placement
        answer["placement"] = {
            "leader": packed(placement.leader),
            "voters": packed(placement.voters),
            "followers": packed(placement.followers),
        }
    return answer


def _with_shards(problem: Problem) -> Problem:
    """Give the problem back if there is anything to place. Raises ProblemInvalid."""
    if not len(problem.shards):
        raise refuse("there is no shard", "name at least one", "shards", "ids")
    return problem


def _changes(request: Request) -> Mapping[str, Any]:
    changes = request["changes"]
    if not isinstance(changes, dict):
        raise RequestMalformed("changes is a mapping", hint="give a value for each JSON pointer")
    return changes


def _positions(problem: Problem, request: Request) -> dict[str, tuple[float, float]]:
    """Latitude and longitude of each region: as given, else as published, else the equator."""
    known = reference_positions()
    given = request.get("positions", {})
    return {
        name: tuple(given[name]) if name in given else known.get(name, (0.0, 0.0))
        for name in problem.regions
    }


def summary_of(solution: Solution) -> dict[str, Any]:
    """What is known about a solution, without the shards; followers are left out of it."""
    return {
        "feasible": solution.feasible,
        "usd_per_month": solution.usd,
        "bound_usd_per_month": solution.bound_usd,
        "gap": solution.gap if solution.feasible else None,
        "voters_gap": solution.gap if solution.feasible else None,
        "complete": solution.complete,
        "seconds": solution.seconds,
        "steps": solution.steps,
    }


def _time_limit_s(request: Request) -> float:
    limit = request.get("time_limit_s", TIME_LIMIT_S)
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not limit >= 0:
        raise RequestMalformed(f"{limit!r} is no time limit", hint="give seconds, 0 or more")
    return float(limit)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line until there are no more."""
    desk = Desk()
    while line := requests.readline(REQUEST_BYTES_MAX):
        answers.write(orjson.dumps(_answer_to(desk, line)) + b"\n")
        answers.flush()


def _answer_to(desk: Desk, line: bytes) -> dict[str, Any]:
    request: Any = None
    try:
        request = orjson.loads(line)
        if not isinstance(request, dict):
            raise RequestMalformed("a request is a JSON object")
        return {"id": request.get("id"), "ok": desk.answer(request)}
    except orjson.JSONDecodeError as error:
        return {"id": None, "error": problem_of(RequestMalformed(f"this is no JSON: {error}"))}
    except PlacementError as error:
        return {"id": request.get("id") if request else None, "error": problem_of(error)}
    except KeyError as error:
        missing = RequestMalformed(f"the request lacks {error.args[0]!r}")
        return {"id": request.get("id"), "error": problem_of(missing)}


def problem_of(error: PlacementError) -> dict[str, Any]:
    """An error as plain data."""
    findings = error.findings if isinstance(error, ProblemInvalid) else ()
    return {
        "code": error.code,
        "message": str(error).partition("\n")[0],
        "hint": error.hint,
        "findings": [_finding(each) for each in findings],
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"pointer": finding.pointer, "message": finding.message, "hint": finding.hint}


def main() -> None:
    """Serve the process's own stdin and stdout; whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
