"""Benchmark `drain`: a region hands over all it leads by a deadline; what do its clients see of it?

Three deadlines, from one that can just be kept to one that is four times as long. Clients write all
the time and follow redirects; a write that was not acknowledged within ten seconds, however often
it was sent, has failed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.drain_writers import DrainWriters, Target
from controlplane.bench.leadership import ChangeFailed, round_trip_ms, wait_until_settled
from controlplane.bench.region_loss import wait_until_home
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import spread
from controlplane.cli.connection import Problem
from controlplane.errors import first_cause
from controlplane.http_client import HttpClient
from shards.key_in_slot import key_in_slot

TIMES = (1.1, 2.0, 4.0)
"""Deadlines, as multiples of the soonest that could be kept."""
LATE_MAX = 1.1
WRITERS = 8
LOOK_S = 0.25
AGAIN_S_MAX = 20.0
WARM_S = 2.0
OVER_S = 120.0
HOME_S_MAX = 1_800.0
GROUP = "global"
SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain came to."""

    leaders: int
    deadline_ms: int
    took_ms: int
    written: int
    redirected: int
    failed: Sequence[str]
    pauses_ms: Sequence[float]


def measure_drain(fleet: BenchFleet, tell: Tell) -> Findings:
    """Drain the region that leads most, once for each deadline, and let it lead again."""
    runs: list[Drained] = []
    for times in TIMES:
        wait_until_home(fleet, HOME_S_MAX)
        run = _drain_once(fleet, times)
        runs.append(run)
        summary = spread(run.pauses_ms)
        tell(
            f"drain of {run.leaders} leaders: {run.took_ms / 1_000:.1f} s of "
            f"{run.deadline_ms / 1_000:.1f} s, {summary.count} pauses, p50 {summary.p50_ms:.0f} "
            f"ms, p99 {summary.p99_ms:.0f} ms, {len(run.failed)} of {run.written} writes failed"
        )
    trip_ms, slow_ms = round_trip_ms(fleet, GROUP), round_trip_ms(fleet, GROUP, p99=True)
    return Findings(
        "drain", "", _method(runs, trip_ms, slow_ms), _figures(runs, trip_ms, slow_ms),
        tuple(_run_document(run) for run in runs),
    )  # fmt: skip


def _figures(runs: Sequence[Drained], trip_ms: float, slow_ms: float) -> tuple[Figure, ...]:
    figures = []
    p50_max, p99_max = 5 * trip_ms + 20, 5 * slow_ms + 50
    for run in runs:
        name, summary = f"deadline {run.deadline_ms / 1_000:.1f} s", spread(run.pauses_ms)
        late = run.took_ms / run.deadline_ms
        figures += [
            Figure(
                f"{name}: writes that failed, of {run.written}", len(run.failed), "",
                target="0", reached=not run.failed,
            ),
            Figure(
                f"{name}: pause of a shard, p50 of {summary.count}", summary.p50_ms, "ms",
                target=f"at most 5 round trips + 20 ms = {p50_max:g} ms",
                reached=0 < summary.p50_ms <= p50_max,
            ),
            Figure(
                f"{name}: the same in round trips",
                round(summary.p50_ms / max(trip_ms, 0.1), 1), "",
            ),
            Figure(
                f"{name}: pause of a shard, p99", summary.p99_ms, "ms",
                target=f"at most 5 p99 round trips + 50 ms = {p99_max:g} ms",
                reached=0 < summary.p99_ms <= p99_max,
            ),
            Figure(
                f"{name}: took, as part of it", round(late, 3), "",
                target=f"at most {LATE_MAX:g}", reached=late <= LATE_MAX,
            ),
        ]  # fmt: skip
    return tuple(figures)


def _method(runs: Sequence[Drained], trip_ms: float, slow_ms: float) -> str:
    return (
        f"`leadplane up --survival region`: the region that leads most, {runs[0].leaders} shards, "
        f"is drained by a deadline of {', '.join(f'{t:g}' for t in TIMES)} times the soonest that "
        f"could be kept, and let lead again each time. Meanwhile {WRITERS} clients write and "
        "follow redirects, each to one shard of the region until that has moved, then to the next "
        "that has not; the pause is the time from the last write that the old epoch acknowledged "
        "to the first that the new one did, 5 ms between two writes included. It took from the "
        "order until the drain was shown as done. A quorum round trip takes "
        f"{trip_ms:g} ms, its p99 {slow_ms:g} ms, as the first node measured them in this run."
    )


def _run_document(run: Drained) -> dict[str, Any]:
    return {
        "leaders": run.leaders, "deadline_ms": run.deadline_ms, "took_ms": run.took_ms,
        "written": run.written, "redirected": run.redirected, "failed": list(run.failed)[:20],
        "pauses_ms": [round(each, 2) for each in run.pauses_ms],
    }  # fmt: skip


def _drain_once(fleet: BenchFleet, times: float) -> Drained:
    rows = wait_until_settled(fleet)
    region = _busiest(rows)
    led = [r for r in rows if r["leader"]["region"] == region and r["shard"] != SYSTEM]
    targets = [
        Target(row["shard"], key_in_slot(row["first_slot"]), int(row["epoch"]))
        for row in sorted(led, key=lambda row: str(row["shard"]))
        if row["end_slot"] > row["first_slot"]
    ]
    path = f"/v1/regions/{region}"
    soonest_ms = _post(fleet, f"{path}/drain?dry_run=true", {})["eta_ms"]
    deadline_ms = round(times * soonest_ms)
    try:
        return asyncio.run(_run(fleet, region, targets, deadline_ms))
    except ExceptionGroup as failed:
        raise first_cause(failed) from None
    finally:
        _post(fleet, f"{path}/undrain", {})


async def _run(
    fleet: BenchFleet, region: str, targets: Sequence[Target], deadline_ms: int
) -> Drained:
    urls = tuple(str(node["url"]) for node in fleet.nodes)
    async with HttpClient() as client:
        writers = DrainWriters(client, urls, targets)
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(writers.work(number, WRITERS))
            try:
                await asyncio.sleep(WARM_S)
                began_s = monotonic()
                order = {"deadline_ms": deadline_ms}
                path = f"/v1/regions/{region}/drain"
                drain = await asyncio.to_thread(_post, fleet, path, order)
                await asyncio.to_thread(_until_drained, fleet, region, deadline_ms)
                took_ms = round((monotonic() - began_s) * 1_000)
            finally:
                writers.stop.set()
    return Drained(
        drain["total"], deadline_ms, took_ms, writers.written, writers.redirected, writers.failed,
        writers.pauses_ms,
    )  # fmt: skip


def _until_drained(fleet: BenchFleet, region: str, deadline_ms: int) -> None:
    """Wait for the end of a drain. Raises ChangeFailed when it is far too late."""
    until_s, left = monotonic() + 2 * deadline_ms / 1_000 + OVER_S, None
    while monotonic() < until_s:
        try:
            drains = fleet.access.get("/v1/placement")["drains"]
        except Problem:
            drains = []  # the global leader is among what is handed over
        for drain in drains:
            left = drain["left"]
            if drain["name"] == region and drain["state"] == "drained":
                return
        sleep(LOOK_S)
    raise ChangeFailed(f"{region} is not drained: {left} leaders are left")


def _busiest(rows: Sequence[Mapping[str, Any]]) -> str:
    leads: dict[str, int] = {}
    for row in rows:
        region = str(row["leader"]["region"])
        leads[region] = leads.get(region, 0) + 1
    return max(leads, key=lambda region: leads[region])


def _post(fleet: BenchFleet, path: str, body: Mapping[str, Any]) -> Any:
    """What the fleet answers; asked again while there is no global leader. Raises Problem."""
    headers = {"Content-Type": "application/json"}
    until_s = monotonic() + AGAIN_S_MAX
    while True:
        try:
            reply = fleet.access.send("POST", path, None, headers, json.dumps(body).encode())
        except Problem as problem:
            if problem.document.get("retry_after_ms") is None or monotonic() > until_s:
                raise
            sleep(LOOK_S)
        else:
            return reply.document()
