"""Benchmark `idle`: what a fleet costs that has nothing to do, with few shards and with many."""

from __future__ import annotations

import time
from pathlib import Path

from controlplane.bench.bench_fleet import BenchFleet, bench_fleet
from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure, Findings
from controlplane.bench.store_traffic import StoreUse, use_per_second

FEW, MANY = 100, 10_000
QUIET_S = 5.0
BYTES_PER_SHARD_MAX = 2_048
GROWTH_MAX = 1.1
"""Renewals are the same however many shards; a tenth is left to chance of timing."""


def measure_idle(seconds: float, tell: Tell, many: int = MANY) -> tuple[Findings, Findings]:
    """Start a fleet with few shards, then one with many; compare calls to stores, and memory."""
    few_use, few_bytes, few_led = _one(FEW, seconds, tell)
    many_use, many_bytes, many_led = _one(many, seconds, tell)
    per_shard = (many_bytes - few_bytes) / max(1, many_led - few_led)
    steady = many_use.calls <= few_use.calls * GROWTH_MAX
    idle = Findings(
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
    memory = Findings(
        "memory",
        "",
        f"Growth of the nodes' resident memory from {FEW:,} to {many:,} idle shards, by shard led.",
        (
            Figure(
                "node memory a shard led",
                round(per_shard),
                "B",
                target=f"at most {BYTES_PER_SHARD_MAX:,} B",
                reached=per_shard <= BYTES_PER_SHARD_MAX,
            ),
        ),
    )
    return idle, memory


def _one(shards: int, seconds: float, tell: Tell) -> tuple[StoreUse, int, int]:
    tell(f"starting a fleet with {shards:,} shards")
    with bench_fleet(shards) as fleet:
        time.sleep(QUIET_S)
        use = use_per_second(fleet.store_ports, seconds)
        resident = sum(resident_bytes(int(node["pid"])) for node in fleet.processes())
        led = int(fleet.access.get("/v1/status")["shards_led"])
        tell(f"{shards:,} shards, {led:,} led: {use.calls:g} calls/s, {use.kib:g} KiB/s")
        _check_nothing_died(fleet)
    return use, resident, led


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM and its own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"pid {pid}: no Private_Dirty in smaps_rollup")


def _check_nothing_died(fleet: BenchFleet) -> None:
    before = {node["id"]: node["pid"] for node in fleet.nodes}
    after = {node["id"]: node["pid"] for node in fleet.processes()}
    assert before == after, f"nodes died while they were measured: {before} became {after}"
