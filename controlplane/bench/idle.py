"""Benchmark `idle`: what a fleet costs that has nothing to do, with few shards and with many."""

from __future__ import annotations

import time

from controlplane.bench.bench_fleet import BenchFleet, bench_fleet
from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure, Findings
from controlplane.bench.store_traffic import StoreUse, use_per_second

FEW, MANY = 100, 10_000
QUIET_S = 5.0
GROWTH_MAX = 1.1
"""Renewals are the same however many shards; a tenth is left to chance of timing."""


def measure_idle(seconds: float, tell: Tell, many: int = MANY) -> Findings:
    """Start a fleet with few shards, then one with many; compare what their stores do."""
    few_use, many_use = _one(FEW, seconds, tell), _one(many, seconds, tell)
    steady = many_use.calls <= few_use.calls * GROWTH_MAX
    return Findings(
        "idle",
        "",
        f"Commands sent to all stores of the default fleet in {seconds:g} s without any client, "
        "from INFO commandstats; bytes both ways from INFO stats.",
        (
            Figure(f"store calls, {FEW:,} shards", few_use.calls, "/s"),
            Figure(
                f"store calls, {many:,} shards",
                many_use.calls,
                "/s",
                target=f"those of {FEW:,} shards",
                reached=steady,
            ),
            Figure(f"store traffic, {FEW:,} shards", few_use.kib, "KiB/s"),
            Figure(f"store traffic, {many:,} shards", many_use.kib, "KiB/s"),
        ),
    )


def _one(shards: int, seconds: float, tell: Tell) -> StoreUse:
    tell(f"starting a fleet with {shards:,} shards")
    with bench_fleet(shards) as fleet:
        time.sleep(QUIET_S)
        use = use_per_second(fleet.store_ports, seconds)
        led = int(fleet.access.get("/v1/status")["shards_led"])
        tell(f"{shards:,} shards, {led:,} led: {use.calls:g} calls/s, {use.kib:g} KiB/s")
        _check_nothing_died(fleet)
    return use


def _check_nothing_died(fleet: BenchFleet) -> None:
    before = {node["id"]: node["pid"] for node in fleet.nodes}
    after = {node["id"]: node["pid"] for node in fleet.processes()}
    assert before == after, f"nodes died while they were measured: {before} became {after}"
