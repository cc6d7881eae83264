"""What metrics and traces cost: that one side really counts, and the other does not. No figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from controlplane.bench.overhead import SEEN, UNSEEN, Watching, measure_overhead
from controlplane.bench.unobserved import environment

COUNT = """
from controlplane.requests import Read
from controlplane.telemetry.metrics import NodeMetrics

metrics = NodeMetrics()
metrics.requests.answered(Read("s", ("k",)), None, 0.1)
metrics.requests.routed("forwarded")
metrics.stores.call_sent("a")
metrics.stores.answers_of("a")(0.1, "BUSY")
if (observe := metrics.http.route("GET", "/v1/route")) is not None:
    observe(200, 0.1)
if (count := metrics.traffic.between("here", "requests", "there")) is not None:
    count.sent = 1
print(metrics.text().decode())
"""


def counted(variables: dict[str, str]) -> set[str]:
    """The names of series of ours that are above zero after a few things were counted."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    samples = [line for line in done.stdout.splitlines() if line.startswith("leadplane_")]
    names = {line.split("{")[0].split(" ")[0] for line in samples if not line.endswith(" 0.0")}
    return names - {"leadplane_build_info"}


def test_a_process_that_begins_unplugged_counts_nothing(tmp_path: Path) -> None:
    assert {"leadplane_requests_total", "leadplane_store_errors_total"} <= counted({})
    assert not counted(environment(tmp_path / "unplugged"))


def test_both_sides_are_loaded_in_turn() -> None:
    findings = measure_overhead(Watching(pairs=1, seconds=0.3), lambda line: None)
    assert [figure.what for figure in findings.figures] == ["writes over HTTP", "resolve over HTTP"]
    assert [run["of"] for run in findings.runs] == [SEEN, UNSEEN] * 2
    assert all(figure.ours > 0 and figure.peer for figure in findings.figures)
