"""A real Prometheus takes every question about the indicators, and its answers are understood."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from controlplane.cli.connection import FleetAccess, Unreachable
from controlplane.cli.postmortem import answer_of
from controlplane.lookback.indicators import Indicator, indicators
from controlplane.lookback.tenures import Window
from tests.rollouts.test_prometheus import watching

pytestmark = [pytest.mark.needs_binary("prometheus"), pytest.mark.timeout(120)]

READY_S_MAX = 60.0
AGAIN_S = 0.1
PAGE = """
# TYPE leadplane_orphaned_tasks gauge
leadplane_orphaned_tasks{instance="n1"} 3
# TYPE leadplane_stale_operations_accepted_total counter
leadplane_stale_operations_accepted_total 7
"""


@pytest.fixture
def prometheus(needs_binary: Callable[[str], Path], tmp_path: Path) -> Iterator[FleetAccess]:
    """One that watches a page on which two of the indicators can be seen."""
    with watching(needs_binary("prometheus"), tmp_path, PAGE) as (url, _):
        yield FleetAccess((url,))


def test_every_indicator_is_asked_in_words_that_prometheus_takes(prometheus: FleetAccess) -> None:
    deadline = time.monotonic() + READY_S_MAX
    found: dict[str, Indicator] = {}
    problem: object = None
    while not found or found["M9"].value is None or found["M5"].value is None:
        assert time.monotonic() < deadline, (problem, found)
        time.sleep(AGAIN_S)
        now_ms = time.time_ns() // 1_000_000
        window = Window(now_ms - 120_000, now_ms)
        try:
            found = {i.name: i for i in indicators(partial(answer_of, prometheus), window)}
        except (Unreachable, ValueError) as failure:  # it is not up yet
            problem = failure
    assert list(found) == [f"M{number}" for number in range(1, 11)]
    assert (found["M9"].value, found["M9"].worst) == (3.0, 3.0)
    assert found["M5"].value == 0.0
    assert found["M1"].value is None
