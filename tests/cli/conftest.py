"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane.cli import connection
from tests.cli.stub_fleet import StubFleet, serving


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubFleet]:
    """A stub of the API, serving the sample fleet, with LEADPLANE_URL set to it."""
    with serving() as stub:
        monkeypatch.setenv("LEADPLANE_URL", stub.url)
        monkeypatch.delenv("LEADPLANE_TOKEN", raising=False)
        monkeypatch.setattr(connection, "ELECTION_WAIT_S", 0.0)
        yield stub
