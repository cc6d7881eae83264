"""Benchmark `simulator`: virtual seconds that one core gets through in a second, checkers on.

Processor time of this process is counted, not the time of the day: what else the machine does
changes little.
"""

from __future__ import annotations

import time

from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import nearest_rank
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset

SCENARIO = "five"
"""Three nodes, five stores, twenty shards in three regions."""
MINUTES = 1.0
SECONDS_A_SECOND_MIN = 40


def measure_simulator(rounds: int, tell: Tell) -> Findings:
    """Run one seed a round, from its start to the judgement of all that was seen."""
    speeds: list[float] = []
    runs = []
    for seed in range(1, rounds + 1):
        began_s = time.process_time()
        report = simulate(seed, preset(SCENARIO, MINUTES))
        took_s = time.process_time() - began_s
        speeds.append(report.virtual_ms / 1_000 / took_s)
        tell(f"simulator {seed}/{rounds}: {speeds[-1]:.1f} s of virtual time a second")
        runs.append(
            {
                "seed": seed,
                "virtual_s": round(report.virtual_ms / 1_000),
                "processor_s": round(took_s, 2),
                "calls": report.calls,
                "faults": len(report.faults),
                "searched": report.searched.steps,
                "violations": len(report.violations),
            }
        )
    middle = nearest_rank(sorted(speeds), 0.5)
    figure = Figure(
        "virtual seconds for each second of one core",
        round(middle, 1),
        "s/s",
        target=f"at least {SECONDS_A_SECOND_MIN}",
        reached=middle >= SECONDS_A_SECOND_MIN,
    )
    method = (
        f"`leadplane simulate --scenario {SCENARIO}`: three nodes, five stores, twenty shards, "
        f"clients, faults and every checker, {MINUTES:g} minutes of trouble; {rounds} seeds, the "
        "middle one counts. Processor time of the one process, so that other work does not show."
    )
    return Findings("simulator", "", method, (figure,), tuple(runs))
