"""Durable writes at the node: put to the driver in its own process, without HTTP.

`python -m controlplane.bench.node_writes FOLDER` runs a node by itself, see `lone_node`, that leads
one shard. Then it reads runs from standard input, a JSON object on each line (`clients`,
`warmup_s`, `measured_s`), and answers each with a line of what it measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from controlplane.bench.closed_loop import ClosedLoop, LoopTimes
from controlplane.bench.load import KEYS, LoadResult
from controlplane.bench.lone_node import lone_node
from controlplane.bench.spread import spread
from controlplane.requests import Put, Write, Written
from controlplane.runtime.collection import collect_seldom
from controlplane.runtime.driver import Driver

VALUE_BYTES = 100


async def measure(driver: Driver, shard: str, clients: int, times: LoopTimes) -> LoadResult:
    """Run a closed loop of writes in this process."""
    loop = ClosedLoop(clients, times)
    value = b"v" * VALUE_BYTES
    keys = itertools.cycle([f"bench-{number:08d}" for number in range(KEYS)])

    async def client() -> None:
        going = True
        while going:
            key = next(keys)
            sent_at = perf_counter()
            outcome = await driver.ask(Write(shard, (Put(key, key, value),)))
            failure = "" if isinstance(outcome, Written) else str(outcome)
            going = loop.answered(sent_at, failure)

    loop.start()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())
    return LoadResult(
        clients=clients,
        per_second=round(len(loop.durations_ms) / times.measured_s, 1),
        latency=spread(loop.durations_ms),
        failures=dict(loop.failures),
    )


async def serve_runs(folder: Path) -> None:
    """Carry out the runs that standard input asks for, until it ends."""
    async with lone_node(folder) as alone:
        driver, shard = alone.driver, alone.shard
        print(json.dumps({"leads": shard}), flush=True)  # noqa: T201
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            asked = json.loads(line)
            times = LoopTimes(asked["warmup_s"], asked["measured_s"])
            result = await measure(driver, shard, asked["clients"], times)
            print(json.dumps(asdict(result)), flush=True)  # noqa: T201


def main() -> None:
    """Entry of the process: FOLDER is the only argument."""
    import uvloop

    collect_seldom()  # as a node does
    uvloop.run(serve_runs(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
