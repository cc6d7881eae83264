"""Benchmark `resolve`: GET /v1/route of a node against a bare aiohttp handler."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from urllib.parse import urlsplit

from controlplane.bench.bare_handler import ROUTE, BareAnswer
from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell, alternate, runs_of, typical
from controlplane.bench.load import LoadSpec, run_load
from controlplane.bench.report import Figure, Findings, NotMeasured
from controlplane.bench.spread import ratio
from controlplane.embedded import free_ports

PATH = "/v1/route?key={key}&intent=read"
CLIENTS = 32
SHARE_TARGET = 0.6
READY_S_MAX = 20.0
POLL_S = 0.02


def measure_resolve(fleet: BenchFleet, rounds: int, seconds: float, tell: Tell) -> Findings:
    """Resolve keys at one node, in turn with a handler that only parses and answers."""
    node = urlsplit(str(fleet.nodes[0]["url"]))
    answer = fleet.access.only(str(fleet.nodes[0]["url"])).send(
        "GET", "/v1/route", query={"key": "bench-00000000", "intent": "read"}
    )
    ours = LoadSpec(
        "http-get",
        node.hostname or "127.0.0.1",
        node.port or 80,
        CLIENTS,
        measured_s=seconds,
        path=PATH,
    )
    with bare_handler(len(answer.body)) as port:
        theirs = replace(ours, port=port)
        results = alternate(
            (("leadplane", lambda: run_load(ours)), ("aiohttp", lambda: run_load(theirs))),
            rounds,
            tell,
        )
    we, they = typical(results["leadplane"]), typical(results["aiohttp"])
    share = ratio(we.per_second, they.per_second)
    return Findings(
        "resolve",
        "bare aiohttp",
        f"GET /v1/route over HTTP/1.1, {CLIENTS} clients, one request under way each, against an "
        "aiohttp handler that parses the same query and answers as many bytes "
        f"({len(answer.body)}). {rounds} rounds of {seconds:g} s each, alternating; the middle "
        "round counts.",
        (
            Figure(
                "resolve over HTTP",
                we.per_second,
                "/s",
                they.per_second,
                share,
                f"at least {SHARE_TARGET} of the bare handler",
                share >= SHARE_TARGET,
            ),
            Figure("resolve, p50", we.latency.p50_ms, "ms", they.latency.p50_ms),
            Figure("resolve, p99", we.latency.p99_ms, "ms", they.latency.p99_ms),
        ),
        runs_of(results),
    )


@contextlib.contextmanager
def bare_handler(size: int) -> Iterator[int]:
    """Run the bare handler of routes in a process of its own; gives its port."""
    with bare_process({ROUTE: BareAnswer(size)}) as (port, _):
        yield port


@contextlib.contextmanager
def bare_process(answers: Mapping[str, BareAnswer]) -> Iterator[tuple[int, int]]:
    """Run bare handlers in a process of their own; gives its port and its pid."""
    (port,) = free_ports(1)
    document = json.dumps({name: asdict(answer) for name, answer in answers.items()})
    command = [sys.executable, "-m", "controlplane.bench.bare_handler", str(port), document]
    with listening(subprocess.Popen(command), port) as process:
        yield port, process.pid


@contextlib.contextmanager
def listening(process: subprocess.Popen[bytes], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Wait until a process listens, and end it after the block. Raises NotMeasured."""
    try:
        deadline = time.monotonic() + READY_S_MAX
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotMeasured(f"nothing listens on port {port}: the process does not start")
            time.sleep(POLL_S)
        yield process
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
