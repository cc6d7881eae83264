"""A planned transfer and a drain wake nobody, by all that Prometheus keeps until it must show."""

from __future__ import annotations

import pytest

from tests.alerts.provoking import drained, hand_over
from tests.alerts.watched_fleet import WatchedFleet
from tests.drills.book import Book
from tests.drills.drill import quiet

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("drills")]


def test_a_transfer(watched: WatchedFleet, book: Book) -> None:
    with quiet(watched, book, "a shard is transferred"):
        leader = watched.leaders()["s00"]
        hand_over(watched, "s00", next(node for node in watched.nodes if node != leader))


def test_a_drain_and_its_end(watched: WatchedFleet, book: Book) -> None:
    with quiet(watched, book, "the node of the global leader is drained, and undrained"):
        node = watched.leaders()["system"]
        with drained(watched, f"/v1/nodes/{node}", (node,)):
            pass
