"""Benchmark `overhead`: the same node with all its metrics and traces, and with none of them.

Two fleets of one node and three stores stand beside each other and are loaded in turn. One counts
everything, traces as a node does unless told otherwise, sends traces and metrics to a collector,
and is scraped; in the other nothing is counted, traced or sent. Rounds are short and many: a pair
of neighbours met the same machine, and the middle of their ratios is what counts.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from controlplane.bench.bench_fleet import BenchFleet, bench_fleet, one_region_topology
from controlplane.bench.comparison import Tell, alternate, runs_of, typical
from controlplane.bench.load import Kind, LoadResult, LoadSpec, run_load
from controlplane.bench.report import Figure, Findings, NotMeasured
from controlplane.bench.resolve import PATH as ROUTE_PATH
from controlplane.bench.resolve import listening
from controlplane.bench.spread import ratio
from controlplane.bench.unobserved import environment
from controlplane.bench.writes import KV_PATH
from controlplane.embedded import free_ports
from controlplane.telemetry.otlp import OTLP_MODULE

SHARDS = 12
CLIENTS = 32
SHARE_MIN = 0.95
SCRAPE_EVERY_S = 15.0
SEEN, UNSEEN = "observed", "unobserved"


@dataclass(frozen=True, slots=True)
class Watching:
    """How many pairs of rounds of each load, and how long a round is."""

    pairs: int = 20
    seconds: float = 3.0


LOADS: tuple[tuple[str, Kind, str], ...] = (
    ("writes over HTTP", "http-put", KV_PATH),
    ("resolve over HTTP", "http-get", ROUTE_PATH),
)


def measure_overhead(extent: Watching, tell: Tell) -> Findings:
    """Load both in turn. Raises NotMeasured when there is nothing to send traces with."""
    if find_spec(OTLP_MODULE.partition(".proto.")[0]) is None:
        raise NotMeasured("install opentelemetry-exporter-otlp-proto-http, to send traces with")
    with (
        tempfile.TemporaryDirectory(prefix="leadplane-bench-") as name,
        _collector() as collector,
        bench_fleet(SHARDS, one_region_topology(), environment=_observed(collector)) as seen,
        bench_fleet(SHARDS, one_region_topology(), environment=environment(Path(name))) as unseen,
        _scraped(seen),
    ):
        results = {
            what: alternate(
                (
                    (SEEN, _load(seen, kind, path, extent)),
                    (UNSEEN, _load(unseen, kind, path, extent)),
                ),
                extent.pairs,
                tell,
            )
            for what, kind, path in LOADS
        }
    figures = tuple(_figure(what, each) for what, each in results.items())
    runs = tuple({"load": what, **run} for what, each in results.items() for run in runs_of(each))
    return Findings("overhead", UNSEEN, _method(extent), figures, runs)


def _figure(what: str, results: dict[str, list[LoadResult]]) -> Figure:
    seen, unseen = results[SEEN], results[UNSEEN]
    pairs = zip(seen, unseen, strict=True)
    share = round(median(ratio(ours.per_second, theirs.per_second) for ours, theirs in pairs), 3)
    return Figure(
        what,
        typical(seen).per_second,
        "/s",
        typical(unseen).per_second,
        share,
        f"at least {SHARE_MIN} of a node that counts nothing",
        share >= SHARE_MIN,
    )


def _method(extent: Watching) -> str:
    return (
        f"One region, one node, three stores, {SHARDS} shards; {CLIENTS} clients, one request "
        "under way each. Observed: all metrics, traces of 1 % of requests and of all that happens "
        "to leaderships, both sent to a collector, and a scrape every "
        f"{SCRAPE_EVERY_S:g} s. {extent.pairs} pairs of rounds of {extent.seconds:g} s; the ratio "
        "is the middle one of the pairs, rates are those of the middle rounds."
    )


def _load(fleet: BenchFleet, kind: Kind, path: str, extent: Watching) -> Callable[[], LoadResult]:
    node = urlsplit(str(fleet.nodes[0]["url"]))
    host, port = node.hostname or "127.0.0.1", node.port or 80
    spec = LoadSpec(kind, host, port, CLIENTS, measured_s=extent.seconds, path=path)
    return lambda: run_load(spec)


def _observed(collector: str) -> dict[str, str]:
    return {
        "LEADPLANE_TRACE_EXPORTER": "otlp",
        "LEADPLANE_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
    }


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "controlplane.bench.otlp_sink", str(port)]
    with listening(subprocess.Popen(command), port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _scraped(fleet: BenchFleet) -> Iterator[None]:
    """Read the metrics of its node again and again, as Prometheus does."""
    over = threading.Event()
    access = fleet.access

    def scrape() -> None:
        while not over.wait(SCRAPE_EVERY_S):
            access.send("GET", "/metrics")

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
