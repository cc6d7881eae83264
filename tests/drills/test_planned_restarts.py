"""A rolling restart and a store that restarts wake nobody, by all that Prometheus keeps."""

from __future__ import annotations

import pytest

from tests.alerts.provoking import restart_nodes, restart_store
from tests.alerts.watched_fleet import WatchedFleet
from tests.drills.book import Book
from tests.drills.drill import quiet

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("drills")]


def test_a_store_that_restarts(watched: WatchedFleet, book: Book) -> None:
    with quiet(watched, book, "a store crashes, and is started again"):
        restart_store(watched, watched.voters[-1])


def test_a_rolling_restart(watched: WatchedFleet, book: Book) -> None:
    with quiet(watched, book, "all nodes are restarted, one after the other"):
        restart_nodes(watched, watched.nodes)
