"""The load generator: a process of its own, so that it shares no interpreter with what it loads.

`python -m controlplane.bench.load SPEC` runs one closed loop described by SPEC (JSON) and prints
the result (JSON). `run_load` starts that process and waits for it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from controlplane.bench.closed_loop import ClosedLoop, LoopTimes
from controlplane.bench.etcd_wire import run_etcd
from controlplane.bench.http_wire import request_bytes, run_http
from controlplane.bench.report import NotMeasured
from controlplane.bench.spread import Spread, spread

KEYS = 10_000
GRACE_S = 30.0
Kind: TypeAlias = Literal["etcd-put", "http-put", "http-get"]


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """What to send, where, by how many clients.

    `path` may hold `{key}`, which runs through `KEYS` keys; a value of `value_bytes` is the body of
    every request of the kinds that write.
    """

    kind: Kind
    host: str
    port: int
    clients: int
    warmup_s: float = 1.0
    measured_s: float = 5.0
    path: str = ""
    value_bytes: int = 100


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was answered in the measured time."""

    clients: int
    per_second: float
    latency: Spread
    failures: dict[str, int]


class LoadBroken(NotMeasured):
    """The load generator could not finish its run; the message says what it met."""


def run_load(spec: LoadSpec) -> LoadResult:
    """Run the load in its own process and return what it measured.

    Raises LoadBroken when a connection broke, when every request failed, or when it hangs.
    """
    command = [sys.executable, "-m", "controlplane.bench.load", json.dumps(asdict(spec))]
    patience_s = spec.warmup_s + spec.measured_s + GRACE_S
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=patience_s
        )
    except subprocess.TimeoutExpired as late:
        raise LoadBroken(f"{spec.kind} on port {spec.port}: no end after {patience_s} s") from late
    if done.returncode != 0:
        raise LoadBroken(f"{spec.kind} on port {spec.port}: {done.stderr.strip()[-500:]}")
    answer = json.loads(done.stdout)
    result = LoadResult(**{**answer, "latency": Spread(**answer["latency"])})
    if not result.latency.count:
        raise LoadBroken(f"{spec.kind} on port {spec.port}: nothing done, {result.failures}")
    return result


async def generate(spec: LoadSpec) -> LoadResult:
    """Run one closed loop in this process."""
    loop = ClosedLoop(spec.clients, LoopTimes(spec.warmup_s, spec.measured_s))
    numbers = itertools.cycle(range(KEYS))
    value = b"v" * spec.value_bytes
    if spec.kind == "etcd-put":
        await run_etcd(loop, spec.host, spec.port, lambda: (b"bench/%08d" % next(numbers), value))
    else:
        method = "PUT" if spec.kind == "http-put" else "GET"
        body = value if method == "PUT" else b""
        host = f"{spec.host}:{spec.port}"
        prepared = [
            request_bytes(method, spec.path.format(key=f"bench-{number:08d}"), host, body)
            for number in (range(KEYS) if "{key}" in spec.path else range(1))
        ]
        requests = itertools.cycle(prepared)
        await run_http(loop, spec.host, spec.port, lambda: next(requests))
    if loop.broken:
        raise LoadBroken(loop.broken)
    return LoadResult(
        clients=spec.clients,
        per_second=round(len(loop.durations_ms) / spec.measured_s, 1),
        latency=spread(loop.durations_ms),
        failures=dict(loop.failures),
    )


def main() -> None:
    """Entry of the process: SPEC is the only argument."""
    import uvloop

    spec = LoadSpec(**json.loads(sys.argv[1]))
    try:
        result = uvloop.run(generate(spec))
    except (LoadBroken, OSError) as broken:
        sys.exit(str(broken))
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    main()
