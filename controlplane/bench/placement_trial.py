"""One measurement of the placement solver, in a process of its own: `python -m` this, with a case.

Prints one JSON object. Processor time is of this process, all its threads; memory is the most that
it ever had resident, making the problem included.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shards.placement.incremental import solve_again
from shards.placement.joint import total_of
from shards.placement.moves import price_of
from shards.placement.occasions import (
    home_placement,
    loads_changed,
    one_by_one,
    price_changed,
    region_lost,
    standing,
)
from shards.placement.problem import Problem
from shards.placement.problem_check import checked
from shards.placement.reference_solution import Known, exact
from shards.placement.score import RUNNING, Placement, parts_of
from shards.placement.solve import Solution, solve
from shards.placement.synthetic import synthetic_problem

DAY_HOURS = range(0, 24, 3)
CHANGED = 0.05
"""Of all shards, whose loads change."""


@dataclass(slots=True)
class Stopwatch:
    """Time of the day and of the processor, since it was made."""

    wall_s: float = field(default_factory=time.monotonic)
    cpu_s: float = field(default_factory=time.process_time)

    def read(self) -> dict[str, float]:
        """Both, in seconds."""
        return {
            "wall_s": round(time.monotonic() - self.wall_s, 2),
            "cpu_s": round(time.process_time() - self.cpu_s, 2),
        }


def _found(solution: Solution) -> dict[str, Any]:
    return {
        "feasible": solution.feasible,
        "gap_percent": 100 * solution.gap if solution.feasible else None,
        "usd_per_month": solution.usd,
        "bound_usd_per_month": solution.bound_usd,
        "complete": solution.complete,
        "steps": solution.steps,
    }


def solved(shards: int, regions: int, seed: int) -> dict[str, Any]:
    """Solve from nothing."""
    problem = checked(synthetic_problem(shards, regions, seed))
    watch = Stopwatch()
    solution = solve(problem)
    spent = watch.read()
    total = total_of(problem, solution)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    followed = {"with_followers_usd": total.usd, "with_followers_gap_percent": 100 * total.gap}
    followed["followers_bound_cpu_s"] = round(watch.read()["cpu_s"] - spent["cpu_s"], 2)
    return {**spent, **_found(solution), **followed, "memory_mib": round(peak_kib / 1024)}


def against_exact(shards: int, regions: int, seed: int) -> dict[str, Any]:
    """Solve, and let an integer program solve the same: all limits, every pattern that matters."""
    problem = checked(synthetic_problem(shards, regions, seed))
    watch = Stopwatch()
    solution = solve(problem)
    ours = watch.read()
    watch = Stopwatch()
    usd, bound_usd = exact(problem, Known(solution.usd, solution.prices))
    theirs = {
        "exact_usd": usd,
        "exact_bound_usd": bound_usd,
        "above_exact_percent": None if usd is None else 100 * (solution.usd / usd - 1),
        "above_exact_bound_percent": 100 * (solution.usd / bound_usd - 1),
    }
    return {**ours, **_found(solution), **theirs, "exact_cpu_s": watch.read()["cpu_s"]}


def incremental(shards: int, regions: int, seed: int) -> dict[str, Any]:
    """Solve, then again after each kind of event, always from the same solution.

    Where it cannot go on from there, it begins anew, and all of that counts: `went_on` says which.
    """
    problem = checked(synthetic_problem(shards, regions, seed))
    first = solve(problem)
    assert first.warm is not None
    events: dict[str, Callable[[Problem], Problem]] = {
        "loads": lambda each: loads_changed(each, CHANGED, seed),
        "lost": region_lost,
        "price": price_changed,
    }
    found: dict[str, Any] = {}
    for name, event in events.items():
        after = event(problem)
        watch = Stopwatch()
        again = solve_again(first.warm, after)
        solution = solve(after) if again is None else again
        found[name] = {**watch.read(), **_found(solution), "went_on": again is not None}
    return found


def day(shards: int, regions: int, seed: int) -> dict[str, Any]:
    """A day with moving peaks: ours, one shard after the other, and all led from one region."""
    totals: dict[str, list[dict[str, Any]]] = {"ours": [], "greedy": [], "home": []}
    present: dict[str, Placement] = {}
    for hour in DAY_HOURS:
        for name in totals:
            problem = synthetic_problem(shards, regions, seed, hour_utc=float(hour))
            if name in present:
                problem = standing(problem, present[name])
            if name == "ours":
                solution = solve(problem)
                assert solution.feasible, f"no placement at {hour}:00"
                placement = solution.placement
            elif name == "greedy":
                placement = one_by_one(problem)
            else:
                placement = home_placement(problem)
            totals[name].append(_hour(problem, placement, hour))
            present[name] = placement
    return totals


def _hour(problem: Problem, placement: Placement, hour: int) -> dict[str, Any]:
    price = price_of(problem, placement)
    parts = parts_of(problem, placement)
    return {
        "hour": hour,
        "usd_per_month": price.usd_per_month,
        "with_moves_usd": float(parts[:, : RUNNING + 2].sum()),
        "write_p50_ms": price.write_p50_ms,
        "write_p99_ms": price.write_p99_ms,
        "read_p50_ms": price.read_p50_ms,
        "read_p99_ms": price.read_p99_ms,
    }


CASES = {"solve": solved, "exact": against_exact, "incremental": incremental, "day": day}


def main() -> None:
    """Run the case that the arguments name: its name, shards, regions, seed."""
    name, shards, regions, seed = sys.argv[1:5]
    print(json.dumps(CASES[name](int(shards), int(regions), int(seed))))  # noqa: T201


if __name__ == "__main__":
    main()
