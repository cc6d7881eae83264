"""Two nodes in memory that listen in a thread of their own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from controlplane.api.settings import ApiSettings
from controlplane.http_client import HttpClient
from tests.api.listening import Fleet, Node
from tests.api.test_fenced_writes import LOST
from tests.api.test_flags import FLAGS, in_force
from tests.api.test_placement_plans import gathering

START_S = 30


@contextmanager
def served_node(settings: ApiSettings) -> Iterator[Node]:
    """A node that leads everything and holds key `a`; beside it another, which may take over."""
    ready, over = threading.Event(), asyncio.Event()
    started: list[Node] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(HttpClient())
            fleet = Fleet(client, stack)
            node = await fleet.node("n1", "eu", settings)
            await fleet.node("n2", "us", settings)
            fleet.fake.lead("n1")
            gathering(node.service)
            node.service.fenced = (LOST,)
            in_force(node, FLAGS)
            assert (await node.send("PUT", "/v1/kv/a", b"x")).status == 200
            started.append(node)
            ready.set()
            await over.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        try:
            assert ready.wait(START_S), "the node did not start"
            yield started[0]
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
