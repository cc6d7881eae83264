"""Benchmark `placement`: how fast, how near to the least possible cost, and how much it saves.

Each measurement is a process of its own, so that its memory can be told. Promised times are held
against *processor* time: the solver has one thread, and others may be using the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure, Findings, NotMeasured

TRIAL = "controlplane.bench.placement_trial"
TRIAL_S_MAX = 3_600.0
NIGHT_SHARDS = 2_000

METHOD = f"""\
The solver of `python -m shards.placement.worker`, one thread, on round trips and prices of real
regions. Loads are synthetic: real marginals (people near each region, request mixes of 53 cache
clusters), their joint drawn; 3 % of the bytes may move. Seconds are of the processor, problems
made before; memory includes making them. A gap is to the certified bound, of leaders and
voters; with followers, it is to a bound of all three together, made after the clock was
stopped. The exact program keeps every limit
too, has every pattern that may be in a cheaper placement than ours, and two minutes; its bound is
what it proves in them. The day is that of {NIGHT_SHARDS:,} shards in 12
regions, planned every three hours as peaks move; greedy takes shards one by one, home leads all
from the region that writes most and keeps no limit. The worst of all seeds is shown."""


@dataclass(frozen=True, slots=True)
class Size:
    """A size of problem, and what is promised for it."""

    shards: int
    regions: int
    seconds: float
    gap_percent: float
    memory_mib: int | None = None

    def __str__(self) -> str:
        return f"{self.shards:,} shards, {self.regions} regions"


SIZES = (
    Size(10_000, 12, 8, 0.1),
    Size(100_000, 12, 20, 0.1),
    Size(100_000, 20, 150, 0.5),
    Size(1_000_000, 12, 240, 0.5, 4_096),
)
INCREMENTAL_S = {"loads": 0.5, "lost": 2.0, "price": 2.0}
EVENTS = {
    "loads": "5 % of the loads changed",
    "lost": "a region lost",
    "price": "a price changed",
}


@dataclass(frozen=True, slots=True)
class Placing:
    """What of it to measure."""

    seeds: int = 5
    shards_max: int = 1_000_000


def measure_placement(placing: Placing, tell: Tell) -> Findings:
    """All measurements, smallest first."""
    figures: list[Figure] = []
    runs: list[dict[str, Any]] = []
    seeds = range(1, placing.seeds + 1)
    for size in SIZES:
        if size.shards <= placing.shards_max:
            figures += _solving(size, seeds, runs, tell)
    figures += _exactness(seeds, runs, tell)
    figures += _again(min(100_000, placing.shards_max), runs, tell)
    figures += _day(runs, tell)
    return Findings(
        "placement",
        "exact, greedy or home",
        METHOD,
        tuple(figures),
        tuple(runs),
    )


def _run(case: str, shards: int, regions: int, seed: int, runs: list[dict[str, Any]]) -> Any:
    command = [sys.executable, "-m", TRIAL, case, str(shards), str(regions), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_S_MAX, check=False)
    if done.returncode != 0:
        raise NotMeasured(f"{case} {shards} x {regions}, seed {seed}: {done.stderr[-500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    runs.append({"case": case, "shards": shards, "regions": regions, "seed": seed, "found": found})
    return found


def _solving(
    size: Size, seeds: Sequence[int], runs: list[dict[str, Any]], tell: Tell
) -> list[Figure]:
    found = []
    for seed in seeds:
        one = _run("solve", size.shards, size.regions, seed, runs)
        tell(f"{size}, seed {seed}: {one['cpu_s']} s, gap {one['gap_percent']:.4f} %")
        found.append(one)
    cpu_s = max(one["cpu_s"] for one in found)
    memory = max(one["memory_mib"] for one in found)
    broken = sum(not one["feasible"] for one in found)
    gap = max(one["gap_percent"] if one["feasible"] else 100.0 for one in found)
    together = max(one["with_followers_gap_percent"] for one in found)
    most = size.memory_mib
    return [
        Figure(f"{size}", cpu_s, "s", None, None, f"{size.seconds:g} s", cpu_s <= size.seconds),
        Figure(
            f"{size}: gap", gap, "%", None, None, f"{size.gap_percent:g} %", gap <= size.gap_percent
        ),
        Figure(f"{size}: gap with followers", together, "%"),
        Figure(f"{size}: constraints violated", broken, "runs", None, None, "0", broken == 0),
        Figure(
            f"{size}: memory",
            memory,
            "MiB",
            None,
            None,
            f"{most} MiB" if most else "",
            memory <= most if most else None,
        ),
    ]


def _exactness(seeds: Sequence[int], runs: list[dict[str, Any]], tell: Tell) -> list[Figure]:
    found = [_run("exact", 200, 12, seed, runs) for seed in seeds]
    above = max(one["above_exact_percent"] for one in found)
    surely = max(one["above_exact_bound_percent"] for one in found)
    tell(f"200 x 12: {above:.4f} % above the exact program, {surely:.4f} % above its bound")
    what = "200 shards, 12 regions: above the exact program"
    return [
        Figure(what, above, "%", None, None, "0.1 %", above <= 0.1),
        Figure(f"{what}'s bound", surely, "%"),
    ]


def _again(shards: int, runs: list[dict[str, Any]], tell: Tell) -> list[Figure]:
    found = _run("incremental", shards, 12, 1, runs)
    figures = []
    for name, event in EVENTS.items():
        one, limit = found[name], INCREMENTAL_S[name]
        gap = one["gap_percent"]
        how = "" if one["went_on"] else ", begun anew"
        tell(f"{shards:,} x 12, {event}{how}: {one['cpu_s']} s, gap {gap} %")
        what = f"{shards:,} shards again: {event}{how}"
        figures.append(
            Figure(what, one["cpu_s"], "s", None, None, f"{limit:g} s", one["cpu_s"] <= limit)
        )
        if gap is not None:
            figures.append(Figure(f"{what}: gap", gap, "%"))
    return figures


def _day(runs: list[dict[str, Any]], tell: Tell) -> list[Figure]:
    found = _run("day", NIGHT_SHARDS, 12, 1, runs)

    def mean(who: str, what: str) -> float:
        return float(sum(hour[what] for hour in found[who])) / len(found[who])

    figures = []
    for other in ("greedy", "home"):
        ours, theirs = (mean(who, "with_moves_usd") for who in ("ours", other))
        tell(f"a day: {ours:,.0f} USD a month, {other} {theirs:,.0f}")
        figures.append(
            Figure(
                f"a day, weighted cost with moves, peer {other}",
                ours,
                "USD/month",
                theirs,
                ours / theirs,
                "less",
                ours < theirs,
            )
        )
        for what in ("write_p50_ms", "write_p99_ms", "read_p50_ms", "read_p99_ms"):
            name = what.removesuffix("_ms").replace("_", " ")
            figures.append(
                Figure(f"a day, {name}, peer {other}", mean("ours", what), "ms", mean(other, what))
            )
    return figures
