"""Benchmark `region-loss`: a whole region falls silent; when is each shard led again, and where?

All nodes and stores of the region stop at once (SIGSTOP), as a region does that is cut off: nobody
is told, connections stay open, nothing answers. Watched by the stream of the routing table, at a
node of another region. Every shard has to survive this: the fleet is started so.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.leadership import ChangeFailed, round_trip_ms, wait_until_settled
from controlplane.bench.mass_failover import SILENCE_S_MAX, TableWatch
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import spread
from controlplane.process_identity import ProcessIdentity, identity_of

LED_AGAIN_S_MAX = 120.0
HOME_S_MAX = 300.0
LOOK_S = 1.0
RIGHT_MIN = 0.99
GROUP = "global"


def measure_region_loss(fleet: BenchFleet, runs: int, tell: Tell) -> Findings:
    """Lose the region that leads most, `runs` times, and bring it back."""
    took_ms: list[float] = []
    last_ms: list[float] = []
    right = 0
    for number in range(runs):
        wait_until_home(fleet)
        durations, well = _lose_busiest(fleet)
        took_ms += durations
        last_ms.append(max(durations))
        right += well
        tell(
            f"region loss {number + 1}/{runs}: {len(durations)} shards led again after "
            f"{min(durations):.0f} to {max(durations):.0f} ms, {well} of them where they should"
        )
    wait_until_settled(fleet)
    summary = spread(took_ms)
    limit_ms = round(1.15 * fleet.ttl_ms(GROUP) + 5 * round_trip_ms(fleet, GROUP) + 1_000)
    share = right / len(took_ms)
    figures = (
        Figure(f"led again, p50 of {summary.count}", summary.p50_ms, "ms"),
        Figure(
            f"the last one led again, worst of {runs}",
            round(max(last_ms)),
            "ms",
            target=f"at most 1.15 TTL + 5 round trips + 1 s = {limit_ms} ms",
            reached=max(last_ms) <= limit_ms,
        ),
        Figure(
            "first led again in the region that comes next",
            round(100 * share, 1),
            "%",
            target=f"at least {100 * RIGHT_MIN:g} %",
            reached=share >= RIGHT_MIN,
        ),
    )
    return Findings("region-loss", "", _method(runs), figures)


def _method(runs: int) -> str:
    return (
        "`leadplane up --survival region`: all nodes and stores of the region that leads most are "
        f"stopped at once, {runs} times, after all leaders had come home from the time before. "
        "From then until the routing table of a node in another region shows a leader of a later "
        "epoch; counted are the shards that were led in the region. The region that comes next is "
        "the first other one that the shard prefers."
    )


def _lose_busiest(fleet: BenchFleet) -> tuple[list[float], int]:
    """After how many milliseconds each shard was led again, and how many in the right region."""
    nodes = fleet.access.get("/v1/nodes")["items"]
    leads: dict[str, int] = {}
    for node in nodes:
        leads[node["region"]] = leads.get(node["region"], 0) + int(node["leads"])
    region = max(leads, key=lambda name: leads[name])
    witness = next(n for n in fleet.nodes if n["region"] != region)
    with TableWatch(str(witness["url"])) as watch:
        watch.wait_for_rows(SILENCE_S_MAX)
        led = {
            shard: row
            for shard, row in watch.rows.items()
            if row["leader"] and row["leader"]["region"] == region
        }
        epochs = {shard: int(row["epoch"]) for shard, row in led.items()}
        stopped = _processes(fleet, region)
        lost_at = monotonic()
        try:
            for process in stopped:
                process.signal(signal.SIGSTOP)
            if not watch.wait_for_later(epochs, LED_AGAIN_S_MAX):
                raise ChangeFailed(f"not all {len(led)} shards were led in {LED_AGAIN_S_MAX} s")
            firsts = {shard: watch.led_after(shard, epoch) for shard, epoch in epochs.items()}
        finally:
            for process in stopped:
                process.signal(signal.SIGCONT)
    durations = [(first.at_s - lost_at) * 1000 for first in firsts.values()]
    right = sum(firsts[shard].region == _next(row, region) for shard, row in led.items())
    return durations, right


def wait_until_home(fleet: BenchFleet, seconds: float = HOME_S_MAX) -> None:
    """Wait until every shard is led in the region that it prefers. Raises ChangeFailed."""
    deadline = monotonic() + seconds
    while True:
        rows = wait_until_settled(fleet)
        away = [row for row in rows if row["regions"] and not _is_home(row)]
        if not away:
            return
        if monotonic() > deadline:
            raise ChangeFailed(f"{len(away)} shards did not come home in {seconds:g} s")
        sleep(LOOK_S)


def _is_home(row: Mapping[str, Any]) -> bool:
    return bool(row["leader"]["region"] == row["regions"][0])


def _next(row: Mapping[str, Any], lost: str) -> str | None:
    return next((region for region in row["regions"] if region != lost), None)


def _processes(fleet: BenchFleet, region: str) -> list[ProcessIdentity]:
    """The nodes and stores of a region as they run now. Raises ChangeFailed without any."""
    state = json.loads(fleet.state_path.read_text(encoding="utf-8"))
    pids = [int(each["pid"]) for kind in ("nodes", "stores") for each in state[kind]
            if each["region"] == region]  # fmt: skip
    found = [identity_of(pid) for pid in pids]
    running = [process for process in found if process is not None]
    if not running:
        raise ChangeFailed(f"nothing of {region} runs")
    return running
