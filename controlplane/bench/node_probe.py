"""Asks `controlplane.bench.node_writes`, in its process, for runs: writes without HTTP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.bench.load import LoadBroken, LoadResult
from controlplane.bench.spread import Spread

WARMUP_S = 1.0
END_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class NodeProbe:
    """The process under load, and how to ask it."""

    process: subprocess.Popen[str]

    def run(self, clients: int, seconds: float) -> LoadResult:
        """Measure once. Raises LoadBroken when the process has ended or nothing was written."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        asked = {"clients": clients, "warmup_s": WARMUP_S, "measured_s": seconds}
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise LoadBroken("the node under load has ended")
        answer = json.loads(line)
        result = LoadResult(**{**answer, "latency": Spread(**answer["latency"])})
        if not result.latency.count:
            raise LoadBroken(f"the node wrote nothing: {result.failures}")
        return result

    def of(self, clients: int, seconds: float) -> Callable[[], LoadResult]:
        """A measure of so many clients."""
        return lambda: self.run(clients, seconds)


@contextlib.contextmanager
def node_under_load(folder: Path) -> Iterator[NodeProbe]:
    """The process, for as long as the block lasts. Raises LoadBroken when it does not start."""
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane.bench.node_writes", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise LoadBroken("the node to write to did not start")
        yield NodeProbe(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
