"""Benchmark `scrape`: what metrics cost a node that leads very many shards, and its hot paths.

`python -m controlplane.bench.scrape FOLDER SHARDS` runs one node with three stores until it leads
all its shards, reads its metrics again and again, and prints how long that took and how much there
was. What is added on the way of each call, write and request is timed in a loop, beside an empty
call, round after round: what is left of the difference is what it costs. All of it is processor
time: what else the machine does is not the node's doing.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import lone_node
from controlplane.bench.report import Figure, Findings
from controlplane.planning.planner import Planner
from controlplane.requests import Write, Written
from controlplane.runtime.service import NodeService, Subscribers
from controlplane.telemetry.metrics import NodeMetrics
from regions.reference import default_topology

SHARDS = 30_000
SCRAPES = 30
REST_S = 0.2
ROUNDS, TIMES = 7, 20_000
RUN_S_MAX = 900.0
SCRAPE_MS_MAX = 50.0
SERIES_MAX = 2_000
WORDS = {
    "store_call": "a call to a store, observed",
    "request": "a request answered, observed",
    "http": "a request of HTTP, observed",
}


def measure_scrape(tell: Tell, shards: int = SHARDS) -> Findings:
    """Run a node with many shards, and read its metrics."""
    tell(f"starting a node with {shards:,} shards")
    found = _run(shards)
    scrape_ms, series = found["scrape_ms"], found["series"]
    return Findings(
        "scrape",
        "",
        f"One node that leads {shards:,} shards, and its /metrics without HTTP: the median of "
        f"{SCRAPES}. Hot paths: the median of {ROUNDS} loops of {TIMES:,}, less an empty call.",
        (
            Figure(
                f"a scrape, {shards:,} shards led",
                round(scrape_ms, 1),
                "ms",
                target=f"under {SCRAPE_MS_MAX:g} ms",
                reached=scrape_ms < SCRAPE_MS_MAX,
            ),
            Figure(
                "series",
                series,
                "",
                target=f"under {SERIES_MAX:,}",
                reached=series < SERIES_MAX,
            ),
            *(Figure(text, round(found[name], 2), "us") for name, text in WORDS.items()),
        ),
    )


def _run(shards: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="leadplane-bench-") as folder:
        command = [sys.executable, "-m", "controlplane.bench.scrape", folder, str(shards)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=RUN_S_MAX
        )
    if done.returncode != 0:
        raise LoadBroken(f"a node with {shards} shards: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def scrape(folder: Path, shards: int) -> dict[str, Any]:
    """Read the metrics of a node that leads so many shards."""
    async with lone_node(folder, shards) as lone:
        metrics = NodeMetrics()
        service = NodeService(
            lone.driver, lone.node.plan, default_topology(), Subscribers(), metrics,
            metrics.happened,
        )  # fmt: skip
        metrics.watch(service, Planner(service))
        took_ms, text = [], b""
        for _ in range(SCRAPES):
            await asyncio.sleep(REST_S)
            began_s = time.thread_time()
            text = metrics.text()
            took_ms.append((time.thread_time() - began_s) * 1_000)
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        return {"scrape_ms": median(took_ms), "series": series} | observed_us(metrics)


def observed_us(metrics: NodeMetrics) -> dict[str, float]:
    """What one observation of each kind costs."""
    answered = metrics.stores.answers_of("a")
    http = metrics.http.route("PUT", "/v1/kv/{key}")
    request, outcome = Write("s1", ()), Written("s1", 1, 1)

    def nothing(first: object, second: object) -> None:
        """What a call costs anyhow."""

    def asked(seconds: float, _: str) -> None:
        metrics.requests.answered(request, outcome, seconds)

    kinds: dict[str, Callable[[], None]] = {
        "empty": lambda: nothing(0.004, "OK"),
        "store_call": lambda: answered(0.004, "OK"),
        "request": lambda: asked(0.004, ""),
        "http": lambda: http(200, 0.004),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, call in kinds.items():
            began_s = time.thread_time()
            for _ in range(TIMES):
                call()
            took[name].append((time.thread_time() - began_s) / TIMES * 1e6)
    empty_us = median(took.pop("empty"))
    return {name: median(times) - empty_us for name, times in took.items()}


def main() -> None:
    """Entry of the process: FOLDER and SHARDS are the arguments."""
    import uvloop

    found = uvloop.run(scrape(Path(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
