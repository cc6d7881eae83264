"""The targets of a session: the twin, Valkey and Redis, with the function library loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.store_config import find_store_binary
from tests.conformance.targets import Remote, Target, Twin
from tests.servers import running

# Durability is not what is compared here, and not syncing spares the disk.
SETTINGS = {"save": "", "appendonly": "no"}


@pytest.fixture(scope="session")
def valkey() -> Iterator[Remote]:
    with running("valkey", find_store_binary(), SETTINGS) as server, server.client() as client:
        yield Remote("valkey", client)


@pytest.fixture(scope="session")
def debian_redis(needs_binary: Callable[[str], Path]) -> Iterator[Remote]:
    binary = needs_binary("redis-server")
    with running("redis", binary, SETTINGS) as server, server.client() as client:
        yield Remote("redis", client)


@pytest.fixture
def targets(valkey: Remote, debian_redis: Remote) -> list[Target]:
    """All three, and all of them empty."""
    found: list[Target] = [Twin(), valkey, debian_redis]
    for target in found:
        target.wipe()
    return found
