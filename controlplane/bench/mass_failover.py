"""Benchmark `mass-failover`: a node dies that led hundreds of shards; when is each led again?

Watched as any client can: by the stream of the routing table, at a node of another region.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.leadership import ChangeFailed, round_trip_ms, wait_until_settled
from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import Spread, spread
from controlplane.process_identity import identity_of

SHARDS_PER_SECOND_MIN = 2_000
TABLE_LAG_MS = 50
"""Changes of the table come in bundles at least so far apart: nothing faster can be told from at
once."""
ALL_LED_S_MAX = 120.0
SILENCE_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Led:
    """A shard is led at this epoch, as the stream said at this time (by `monotonic`)."""

    at_s: float
    epoch: int
    region: str


class TableWatch:
    """Follows the routing table of one node; use it as a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=SILENCE_S_MAX
        )
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="table watch", daemon=True)
        self.rows: dict[str, Mapping[str, Any]] = {}
        self._led: dict[str, list[Led]] = {}  # one for each epoch that was seen

    def __enter__(self) -> TableWatch:
        self._connection.request("GET", "/v1/routes", headers={"Accept": "text/event-stream"})
        self._socket = self._connection.sock
        self._stream = self._connection.getresponse()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(SILENCE_S_MAX)
        self._connection.close()

    def wait_for_later(self, epochs: Mapping[str, int], seconds: float) -> bool:
        """Wait until each of these shards is led at a later epoch than given."""

        def all_led() -> bool:
            return all(
                self._led.get(shard) and self._led[shard][-1].epoch > epoch
                for shard, epoch in epochs.items()
            )

        with self._changed:
            return self._changed.wait_for(all_led, seconds)

    def led_after(self, shard: str, epoch: int) -> Led:
        """The first epoch later than this one that was seen; there is one."""
        with self._changed:
            return next(led for led in self._led[shard] if led.epoch > epoch)

    def wait_for_rows(self, seconds: float) -> bool:
        """Wait for the first picture of the table."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.rows), seconds)

    def _follow(self) -> None:
        try:
            for line in self._stream:
                if line.startswith(b"data: "):
                    self._take(json.loads(line.removeprefix(b"data: ")))
        except (OSError, ValueError, http.client.HTTPException):
            return  # the watch was left, or the node went away: what was seen stays

    def _take(self, document: Mapping[str, Any]) -> None:
        now = monotonic()
        with self._changed:
            for row in document.get("shards", ()):
                shard, epoch = row["shard"], row["epoch"]
                self.rows[shard] = row
                known = self._led.setdefault(shard, [])
                if row["leader"] and (not known or epoch > known[-1].epoch):
                    known.append(Led(now, epoch, row["leader"]["region"]))
            self._changed.notify_all()


def measure_mass_failover(fleet: BenchFleet, runs: int, tell: Tell) -> Findings:
    """Kill the node that leads most, `runs` times; every shard it led counts."""
    by_group: dict[str, list[float]] = {}
    speeds: list[float] = []
    for number in range(runs):
        wait_until_settled(fleet)
        for group, durations in kill_busiest(fleet).items():
            by_group.setdefault(group, []).extend(durations)
            took_ms = max(TABLE_LAG_MS, max(durations) - min(durations))
            speeds.append(len(durations) / took_ms * 1000)
            tell(
                f"mass failover {number + 1}/{runs}, {group}: {len(durations)} shards led again "
                f"after {min(durations):.0f} to {max(durations):.0f} ms"
            )
    figures: list[Figure] = []
    for group, durations in sorted(by_group.items()):
        figures += _figures(fleet, group, spread(durations))
    most = max(speeds)
    figures.append(
        Figure(
            "shards of a group led again, by second, best run",
            round(most),
            "/s",
            target=f"at least {SHARDS_PER_SECOND_MIN:,}/s",
            reached=most >= SHARDS_PER_SECOND_MIN,
        )
    )
    return Findings(
        "mass-failover",
        "",
        f"kill -9 of the node that leads most, {runs} times; from the kill until the routing table "
        "of a node in another region shows a leader of a later epoch (its stream lags by 50 ms, or "
        "ten times what a look at the rows that changed takes). A figure counts every shard that "
        "the killed nodes led in that group.",
        tuple(figures),
        tuple({"group": g, "led_again_ms": [round(d) for d in ds]} for g, ds in by_group.items()),
    )


def kill_busiest(fleet: BenchFleet, seconds_max: float = ALL_LED_S_MAX) -> dict[str, list[float]]:
    """Kill one node; by group, after how many milliseconds each of its shards was led again.

    Raises ChangeFailed when not all of them are within `seconds_max`.
    """
    nodes = fleet.access.get("/v1/nodes")["items"]
    victim = max(nodes, key=lambda node: int(node["leads"]))
    witness = next(n for n in fleet.nodes if n["region"] != victim["region"])
    process = identity_of(
        next(int(n["pid"]) for n in fleet.processes() if n["id"] == victim["node"])
    )
    with TableWatch(str(witness["url"])) as watch:
        watch.wait_for_rows(SILENCE_S_MAX)
        led = {
            shard: row
            for shard, row in watch.rows.items()
            if row["leader"] and row["leader"]["node"] == victim["node"]
        }
        killed_at = monotonic()
        if process is None or not process.signal(signal.SIGKILL):
            raise ChangeFailed(f"{victim['node']} does not run")
        epochs = {shard: int(row["epoch"]) for shard, row in led.items()}
        if not watch.wait_for_later(epochs, seconds_max):
            raise ChangeFailed(f"not all {len(led)} shards were led within {seconds_max} s")
        found: dict[str, list[float]] = {}
        for shard, row in led.items():
            duration_ms = (watch.led_after(shard, epochs[shard]).at_s - killed_at) * 1000
            found.setdefault(str(row["group"]), []).append(duration_ms)
    return found


def _figures(fleet: BenchFleet, group: str, summary: Spread) -> list[Figure]:
    limit_ms = round(1.15 * fleet.ttl_ms(group) + 5 * round_trip_ms(fleet, group) + 500)
    target = f"at most 1.15 TTL + 5 round trips + 500 ms = {limit_ms} ms"
    what = f"{group}, {{}} of {summary.count}"
    return [
        Figure(what.format("p50"), summary.p50_ms, "ms"),
        Figure(
            what.format("p99"),
            summary.p99_ms,
            "ms",
            target=target,
            reached=summary.p99_ms <= limit_ms,
        ),
    ]
