"""Benchmark `memory`: what a node holds for each shard that it leads and that nobody uses.

`python -m controlplane.bench.node_memory FOLDER SHARDS` runs one node with three stores until it
leads all its shards, lets it rest, and prints the bytes that Python objects then occupy. Two runs
with different numbers of shards give the bytes for each: what grows with the machine (buffers, the
allocator's reserves, the peak of a mass election) is not counted, what a shard costs is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

from controlplane.bench.comparison import Tell
from controlplane.bench.load import LoadBroken
from controlplane.bench.lone_node import lone_node
from controlplane.bench.report import Figure, Findings

FEW, MANY = 100, 10_000
REST_S = 3.0
RUN_S_MAX = 300.0
BYTES_PER_SHARD_MAX = 2_048


def measure_memory(tell: Tell, few: int = FEW, many: int = MANY) -> Findings:
    """Run a node with few shards, then one with many."""
    few_bytes, many_bytes = _node_bytes(few), _node_bytes(many)
    tell(f"{few:,} shards: {few_bytes:,} bytes; {many:,} shards: {many_bytes:,} bytes")
    per_shard = (many_bytes - few_bytes) / (many - few)
    return Findings(
        "memory",
        "",
        f"Bytes of live objects of one node that leads {few:,} and {many:,} idle shards, by "
        "tracemalloc after a collection; the difference, by shard.",
        (
            Figure(
                "node memory a shard led",
                round(per_shard),
                "B",
                target=f"at most {BYTES_PER_SHARD_MAX:,} B",
                reached=per_shard <= BYTES_PER_SHARD_MAX,
            ),
        ),
    )


def _node_bytes(shards: int) -> int:
    with tempfile.TemporaryDirectory(prefix="leadplane-bench-") as folder:
        command = [sys.executable, "-m", "controlplane.bench.node_memory", folder, str(shards)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=RUN_S_MAX
        )
    if done.returncode != 0:
        raise LoadBroken(f"a node with {shards} shards: {done.stderr.strip()[-500:]}")
    return int(json.loads(done.stdout)["bytes"])


async def rest_and_count(folder: Path, shards: int) -> dict[str, int]:
    """Live bytes of a node that leads so many shards and has nothing to do."""
    async with lone_node(folder, shards):
        await asyncio.sleep(REST_S)
        gc.collect()
        live, peak = tracemalloc.get_traced_memory()
        return {"bytes": live, "peak_bytes": peak}


def main() -> None:
    """Entry of the process: FOLDER and SHARDS are the arguments."""
    import uvloop

    tracemalloc.start()
    counted = uvloop.run(rest_and_count(Path(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(json.dumps(counted) + "\n")


if __name__ == "__main__":
    main()
