"""Tests of one group, which share a fleet and run in their order, go to one worker."""

from __future__ import annotations

import os

import pytest


@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" not in os.environ, reason="there is one process: run with -n 2"
)
@pytest.mark.xdist_group("groups-are-seen")
def test_workers_are_told_of_groups(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@groups-are-seen")
