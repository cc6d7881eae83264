"""A fleet for the drills of each file, and the book of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.bench.machine_facts import machine_facts
from tests.alerts.watched_fleet import WatchedFleet, watched_fleet
from tests.alerts.watchmen import ALERTMANAGER, PROMETHEUS
from tests.drills.book import Book
from tests.drills.drill import until
from tests.drills.pace import PACE, TIMES

JUDGED = "leadplane:leaderless:ratio_rate5m"
"""What is recorded once nodes were scraped twice."""
JUDGED_S_MAX = 120.0


@pytest.fixture(scope="session")
def book() -> Iterator[Book]:
    """What all drills come to; written where `LEADPLANE_DRILLS_RECORD` says."""
    times = "" if TIMES == 1 else f" TIMES={TIMES:g}"
    only = f" ONLY={name}" if (name := os.environ.get("LEADPLANE_DRILLS_ONLY")) else ""
    found = Book(f"make drills{times}{only}", TIMES)
    machine = machine_facts()
    yield found
    if place := os.environ.get("LEADPLANE_DRILLS_RECORD"):
        found.write(Path(place), machine)


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, needs_binary: Callable[[str], Path]
) -> Iterator[WatchedFleet]:
    """A fleet, its Prometheus, which has looked at it, and `leadplane`, which finds it."""
    programs = {name: needs_binary(name) for name in (PROMETHEUS, ALERTMANAGER)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path_factory.mktemp("releases")))
        with watched_fleet(tmp_path_factory.mktemp("drilled"), programs, PACE) as found:
            patch.setenv("LEADPLANE_URL", ",".join(found.fleet.urls.values()))
            until(lambda: found.prometheus.now(JUDGED) or None, "Prometheus judges", JUDGED_S_MAX)
            yield found
