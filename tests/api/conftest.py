"""Fleets of nodes in memory that listen on loopback, stopped when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from controlplane.http_client import HttpClient
from tests.api.listening import Fleet, Node


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """A fleet without nodes yet."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(HttpClient())
        yield Fleet(client, stack)


@pytest.fixture
async def node(fleet: Fleet) -> Node:
    """One node, in region eu, that leads everything."""
    started = await fleet.node("n1", "eu")
    fleet.fake.lead("n1")
    return started


@pytest.fixture
async def pair(fleet: Fleet) -> tuple[Node, Node]:
    """Two nodes: n1 in eu leads everything, n2 in us follows."""
    leader, follower = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    return leader, follower
