"""How late the event loop of the global leader is while it has a plan of all shards made.

Read from what the node itself counts (`leadplane_event_loop_lag_seconds`): a timer of 100 ms, and
by how much it came late, before and after.
"""

from __future__ import annotations

import re
import time
import urllib.request
from dataclasses import replace

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.report import Figure

PLAN_S_MAX = 600.0
LAG_MAX_MS = 50
BUCKET = re.compile(
    r'^leadplane_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE
)


def measure_plan_lag(fleet: BenchFleet, shards: int, tell: Tell) -> tuple[Figure, ...]:
    """Have one plan made by the global leader; how long it took, and how late timers were."""
    leads = fleet.access.get("/v1/shards/system")["leader"]["node"]
    url = next(str(node["url"]) for node in fleet.nodes if node["id"] == leads)
    before = late_timers(url)
    began_s = time.monotonic()
    planning = replace(fleet.access, urls=(url,), timeout_s=PLAN_S_MAX)
    kind = {"Content-Type": "application/json"}
    plan = planning.send("POST", "/v1/placement/plan", headers=kind, body=b"{}").document()
    took_s = time.monotonic() - began_s
    counted = {limit: count - before[limit] for limit, count in late_timers(url).items()}
    lag_ms = 1_000 * within(counted, 0.99)
    tell(f"a plan of {shards:,} shards after {took_s:.1f} s, timers late by {lag_ms:g} ms at most")
    return (
        Figure(f"a plan of {shards:,} shards, from request to answer", round(took_s, 1), "s"),
        Figure(f"a plan of {shards:,} shards, of it the solver", plan["seconds"], "s"),
        Figure(
            "the global leader meanwhile: event loop late, p99 at most",
            round(lag_ms),
            "ms",
            target=f"{LAG_MAX_MS} ms",
            reached=lag_ms <= LAG_MAX_MS,
        ),
    )


def late_timers(url: str) -> dict[float, float]:
    """Timers counted by a node so far: how many were late by no more than so many seconds."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=PLAN_S_MAX) as answer:
        text = answer.read().decode()
    return {float(limit): float(count) for limit, count in BUCKET.findall(text)}


def within(counted: dict[float, float], share: float) -> float:
    """The least limit that so large a share of the timers kept."""
    most = max(counted.values())
    return min(limit for limit, count in counted.items() if count >= share * most)
