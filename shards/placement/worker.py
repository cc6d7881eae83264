"""The process that computes placements: one request a line on stdin, one answer a line on stdout.

Start it with `python -m shards.placement.worker`; it ends when its stdin does. A request is a JSON
object `{"id": ..., "op": ..., ...}`; its answer is `{"id": ..., "ok": ...}`, or `{"id": ...,
"error": {"code", "message", "hint", "findings"}}`, in the order of the requests. What was solved
last is kept, so that a change to it is solved from there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import orjson

from regions.findings import Finding
from shards.placement.errors import PlacementError, ProblemInvalid, RequestMalformed
from shards.placement.problem_file import document_of, problem_from
from shards.placement.solve import TIME_LIMIT_S, Solution, solve
from shards.placement.synthetic import synthetic_problem

REQUEST_BYTES_MAX: Final = 1 << 30
Request = Mapping[str, Any]


class Desk:
    """Answers requests, and keeps what was solved last."""

    def __init__(self) -> None:
        self._ops: Mapping[str, Callable[[Request], Any]] = {
            "check": self._check,
            "sample": self._sample,
            "solve": self._solve,
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

    def _solve(self, request: Request) -> Any:
        problem = problem_from(request.get("problem"))
        return summary_of(solve(problem, time_limit_s=_time_limit_s(request)))

    def _sample(self, request: Request) -> Any:
        """A problem from published figures, for trying things out."""
        size = (int(request["shards"]), int(request["regions"]), int(request["seed"]))
        return document_of(synthetic_problem(*size))


def summary_of(solution: Solution) -> dict[str, Any]:
    """What is known about a solution, without the shards."""
    return {
        "feasible": solution.feasible,
        "usd_per_month": solution.usd,
        "bound_usd_per_month": solution.bound_usd,
        "gap": solution.gap if solution.feasible else None,
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
