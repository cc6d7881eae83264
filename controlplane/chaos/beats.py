"""A write to every shard at a steady beat, whether or not the one before has been answered.

A client that waits for its answers sees little of a failover but its own patience: it hangs at the
node that fell asleep. Beats go on. So the time in which a shard had no leader is known to one beat
and a round trip. Each goes to a key of its own, once, to a node that has answered lately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from controlplane.chaos.clients import ChaosClient, RunClock
from controlplane.http_client import HttpClient

EVERY_S = 0.1


class Beats:
    """One client for each shard, in whose partition `partition_of` it writes."""

    def __init__(
        self,
        http: HttpClient,
        urls: Mapping[str, str],
        partition_of: Mapping[str, str],
        clock: RunClock,
        seed: str,
    ) -> None:
        self._clock = clock
        self._partition_of = partition_of
        self.clients: Sequence[ChaosClient] = [
            ChaosClient(f"beat-{shard}", http, urls, {}, clock, Random(f"{seed}/{shard}"))
            for shard in sorted(partition_of)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until told to stop; what is under way then is waited for."""
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while not stop.is_set():
                shards = sorted(self._partition_of)
                for shard, client in zip(shards, self.clients, strict=True):
                    key = f"{{{self._partition_of[shard]}}}/beat-{number}"
                    tasks.create_task(client.write_once(shard, key))
                number += 1
                await asyncio.sleep(EVERY_S)
