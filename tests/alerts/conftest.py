"""One watched fleet for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.alerts.watched_fleet import WatchedFleet, watched_fleet
from tests.alerts.watchmen import ALERTMANAGER, PROMETHEUS


@pytest.fixture(scope="package")
def watched(
    tmp_path_factory: pytest.TempPathFactory, needs_binary: Callable[[str], Path]
) -> Iterator[WatchedFleet]:
    """The fleet, its Prometheus and its Alertmanager; skipped, or failed in CI, without them."""
    programs = {name: needs_binary(name) for name in (PROMETHEUS, ALERTMANAGER)}
    with watched_fleet(tmp_path_factory.mktemp("watched"), programs) as found:
        yield found
