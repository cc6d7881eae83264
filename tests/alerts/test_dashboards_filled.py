"""Every query of every dashboard has an answer at the Prometheus that saw the fleet broken.

It runs after the faults, as the files of one group do, and counts on what they left.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from controlplane.cli.kv import key_path
from controlplane.telemetry.dashboards.files import DASHBOARDS
from controlplane.telemetry.dashboards.panel import Query
from controlplane.telemetry.rules.scraping import JOB
from tests.alerts.watched_fleet import WatchedFleet
from tests.integration.fleet_on_test import wait_for

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("alerts")]

VARIABLES: Final = {
    "$job": JOB,
    "$__rate_interval": "5s",
    "$__range": "1m",
    "offset 1w": "offset 10s",  # nobody waits for a week
}
QUERIES: Final = [
    pytest.param(query, id=f"{dashboard.uid}: {panel.title}: {query.legend}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for query in panel.queries
]
MISSING: Final = {"a move whose target falls silent", "a store that refuses a call"}
"""What no fault of these tests makes happen for sure."""


@pytest.fixture(scope="module", autouse=True)
def used(watched: WatchedFleet) -> None:
    """Clients read and write, also old copies, and somebody plans."""
    watched.order("POST", "/v1/placement/plan", scope="leaders")
    old = {"consistency": "bounded", "max_staleness_ms": 60_000}
    for number in range(5):
        for node in watched.nodes:
            path = key_path(f"{{used-{number}}}/k")
            watched.at(node).send("PUT", path, body=b"v")
            wait_for(partial(watched.at(node).send, "GET", path, query=old), "a copy has it")


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_an_answer(watched: WatchedFleet, query: Query) -> None:
    text = query.text
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    if query.needs in MISSING:
        watched.prometheus.ever(text)  # raises if Prometheus does not understand it
        return
    wait_for(lambda: has_figures(watched, text), text, 15)


def has_figures(watched: WatchedFleet, text: str) -> bool:
    values = [v for each in watched.prometheus.ever(text) for _, v in each["values"]]
    return any(value != "NaN" for value in values)
