"""Benchmark `http-edge`: the processor time of requests at a node, and at bare aiohttp handlers.

On a machine that others use too, rates say as much about the others. What a process itself used
for each answer says how dear the answer was. A node's figure holds everything it does for the
request: for PUT that is the write to three stores, besides the HTTP that the bare handler does as
well. What the node uses without clients is measured before, and left out.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from controlplane.bench.bare_handler import GET, PUT, ROUTE, BareAnswer
from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell, alternate, runs_of, typical
from controlplane.bench.load import LoadResult, LoadSpec, run_load
from controlplane.bench.report import Figure, Findings
from controlplane.bench.resolve import PATH as ROUTE_PATH
from controlplane.bench.resolve import bare_process
from controlplane.bench.spread import ratio
from controlplane.bench.writes import KV_PATH
from controlplane.cli.connection import Reply

CLIENTS = 32
VALUE = b"v" * 100
FIRST_KEY = "bench-00000000"
LOADS = (
    (ROUTE, "GET /v1/route", "http-get", ROUTE_PATH),
    (PUT, "PUT /v1/kv/{key}", "http-put", KV_PATH),
    (GET, "GET /v1/kv/{key}", "http-get", KV_PATH.format(key=FIRST_KEY)),
)
EVERY_ANSWER = ("content-length", "content-type", "date", "server", "connection")
IDLE_S = 3.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Metered:
    """A process under load, and what each answer of each run cost it.

    `idle_share` is what it uses without clients, as a part of one processor; that is left out.
    """

    pid: int
    spec: LoadSpec
    idle_share: float = 0.0
    cpu_us: list[float] = field(default_factory=list)

    def run(self) -> LoadResult:
        """Load it once. Without a warm-up, so that what is metered is what is counted."""
        used_s, since = cpu_s(self.pid), time.monotonic()
        result = run_load(self.spec)
        idle_s = self.idle_share * (time.monotonic() - since)
        self.cpu_us.append((cpu_s(self.pid) - used_s - idle_s) / result.latency.count * 1e6)
        return result


def measure_http_edge(fleet: BenchFleet, rounds: int, seconds: float, tell: Tell) -> Findings:
    """Route, put and get keys at one node, in turn with bare handlers."""
    node = fleet.processes()[0]
    place = urlsplit(str(node["url"]))
    figures: list[Figure] = []
    runs: list[dict[str, object]] = []
    with bare_process(_answers(fleet)) as (bare_port, bare_pid):
        idle_share = _idle_share(int(node["pid"]))
        for _, what, kind, path in LOADS:
            host, port = place.hostname or "127.0.0.1", place.port or 80
            ours = Metered(int(node["pid"]), _load(kind, host, port, path, seconds), idle_share)
            theirs = Metered(bare_pid, _load(kind, "127.0.0.1", bare_port, path, seconds))
            results = alternate((("leadplane", ours.run), ("aiohttp", theirs.run)), rounds, tell)
            we, they = typical(results["leadplane"]), typical(results["aiohttp"])
            mine, bare = median(ours.cpu_us), median(theirs.cpu_us)
            rate = ratio(we.per_second, they.per_second)
            figures += (
                Figure(f"{what}, CPU each", mine, "us", bare, ratio(mine, bare)),
                Figure(what, we.per_second, "/s", they.per_second, rate),
            )
            runs += [{"load": what, **run} for run in runs_of(results)]
            runs.append(
                {"load": what, "cpu_us": {"leadplane": ours.cpu_us, "aiohttp": theirs.cpu_us}}
            )
    return Findings(
        "http-edge",
        "bare aiohttp",
        "Processor time of the process for each answer (less what it uses without clients), and "
        f"answers, with {CLIENTS} clients, one request under way each, against aiohttp handlers "
        "that take the same request and answer as many bytes under the same headers. PUT is "
        "durable on three stores; the bare handler only reads its body. "
        f"{rounds} rounds of {seconds:g} s each, alternating; medians.",
        tuple(figures),
        tuple(runs),
    )


def cpu_s(pid: int) -> float:
    """The processor time that a process has used, all its threads together, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _idle_share(pid: int) -> float:
    used_s, since = cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    return (cpu_s(pid) - used_s) / (time.monotonic() - since)


def _load(kind: str, host: str, port: int, path: str, seconds: float) -> LoadSpec:
    return LoadSpec(
        "http-put" if kind == "http-put" else "http-get",
        host,
        port,
        CLIENTS,
        warmup_s=0.0,
        measured_s=seconds,
        path=path,
        value_bytes=len(VALUE),
    )


def _answers(fleet: BenchFleet) -> dict[str, BareAnswer]:
    """What the node answers to each of these requests, for the bare handlers to imitate."""
    access = fleet.access.only(str(fleet.nodes[0]["url"]))
    path = KV_PATH.format(key=FIRST_KEY)
    route = access.send("GET", "/v1/route", query={"key": FIRST_KEY, "intent": "read"})
    return {
        ROUTE: _bare(route),
        PUT: _bare(access.send("PUT", path, body=VALUE)),
        GET: _bare(access.send("GET", path)),
    }


def _bare(answer: Reply) -> BareAnswer:
    headers = {n: text for n, text in answer.headers.items() if n not in EVERY_ANSWER}
    return BareAnswer(len(answer.body), headers)
