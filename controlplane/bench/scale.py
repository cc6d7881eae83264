"""Benchmark `scale`: one machine with very many shards, led by the default six nodes.

What a fleet of that size costs: to start, to rest, to be looked at, to be planned, and when a node
dies.
"""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path

from controlplane.bench.bench_fleet import BenchFleet, bench_fleet
from controlplane.bench.comparison import Tell
from controlplane.bench.mass_failover import kill_busiest
from controlplane.bench.plan_lag import measure_plan_lag
from controlplane.bench.report import Figure, Findings
from controlplane.bench.store_traffic import memory_in_use, use_per_second

START_S_MAX = 1_800.0
LED_AGAIN_S_MAX = 600.0
TABLE_S_MAX = 120.0
SETTLE_S = 10.0
REST_S = 20.0
MIB = 1024 * 1024


def measure_scale(tell: Tell, shards: int) -> Findings:
    """Start a fleet, let it rest, look at it, plan it, kill the node that leads most."""
    tell(f"starting a fleet with {shards:,} shards")
    began_s = time.monotonic()
    with bench_fleet(shards, start_s_max=START_S_MAX) as fleet:
        started_s = time.monotonic() - began_s
        tell(f"{shards:,} shards are led after {started_s:.0f} s")
        time.sleep(SETTLE_S)
        figures = [
            Figure("from nothing until every shard is led", round(started_s), "s"),
            *_at_rest(fleet, shards),
            *_table(fleet),
            *measure_plan_lag(fleet, shards, tell),
        ]
        tell("killing the node that leads most")
        figures += _failover(fleet, tell)
    return Findings(
        "scale",
        "",
        f"`leadplane up --shards {shards}`: three regions, nine stores, six nodes, half of the "
        "shards in the group across regions; everything on these cores. Memory of nodes is what "
        "the kernel counts as resident, of stores what they say they use. At rest: "
        f"{REST_S:g} s without any client. Planned: who leads, by `POST /v1/placement/plan`.",
        tuple(figures),
    )


def _at_rest(fleet: BenchFleet, shards: int) -> tuple[Figure, ...]:
    use = use_per_second(fleet.store_ports, REST_S)
    resident = [_resident_bytes(int(node["pid"])) for node in fleet.processes()]
    stored = sum(memory_in_use(port) for port in fleet.store_ports)
    return (
        Figure("calls of all stores, at rest", use.calls, "/s"),
        Figure("traffic of all stores, at rest", use.kib, "KiB/s"),
        Figure("memory of a node, the largest", round(max(resident) / MIB), "MiB"),
        Figure("memory of all nodes, a shard", round(sum(resident) / shards), "B"),
        Figure("memory of all stores", round(stored / MIB), "MiB"),
        Figure("memory of all stores, a shard", round(stored / shards), "B"),
    )


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"the kernel does not tell what {pid} has in memory"
    return int(found[1]) * 1024


def _table(fleet: BenchFleet) -> tuple[Figure, ...]:
    """The whole routing table, as a client takes it that begins."""
    began_s = time.monotonic()
    url = f"{fleet.nodes[0]['url']}/v1/routes"
    with urllib.request.urlopen(url, timeout=TABLE_S_MAX) as answer:
        size = len(answer.read())
    took_ms = (time.monotonic() - began_s) * 1_000
    return (
        Figure("the whole routing table", round(size / MIB, 1), "MiB"),
        Figure("the whole routing table, read once", round(took_ms), "ms"),
    )


def _failover(fleet: BenchFleet, tell: Tell) -> tuple[Figure, ...]:
    by_group = kill_busiest(fleet, LED_AGAIN_S_MAX)
    figures = []
    for group, durations_ms in sorted(by_group.items()):
        last_s = max(durations_ms) / 1_000
        what = f"a node is killed: the last of its {len(durations_ms):,} shards in {group} is led"
        tell(f"{group}: {len(durations_ms):,} shards led again after {last_s:.1f} s")
        figures.append(Figure(what, round(last_s, 1), "s"))
    return tuple(figures)
