"""Writes at a fixed rate, whatever the answers do: what waits in a closed loop would hide."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from time import perf_counter

from controlplane.requests import Put, Write, Written
from controlplane.runtime.driver import Driver

TICK_S = 0.01
UNDER_WAY_MAX = 5_000
KEYS = 1_000


class PacedWrites:
    """Small writes to one shard. What is not acknowledged is counted by the answer it got."""

    def __init__(self, driver: Driver, shard: str, per_second: int, value: bytes) -> None:
        self.durations_ms: list[float] = []
        self.failures: Counter[str] = Counter()
        self._driver = driver
        self._shard = shard
        self._per_second = per_second
        self._value = value
        self._keys = itertools.cycle([f"paced-{number:04d}" for number in range(KEYS)])
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Write until cancelled; what is under way then is waited for."""
        began, sent = perf_counter(), 0
        try:
            while True:
                due = int((perf_counter() - began) * self._per_second)
                for _ in range(min(due - sent, UNDER_WAY_MAX - len(self._under_way))):
                    sent += 1
                    task = asyncio.create_task(self._write(next(self._keys)))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                await asyncio.sleep(TICK_S)
        finally:
            await asyncio.gather(*self._under_way)

    async def _write(self, key: str) -> None:
        sent_at = perf_counter()
        outcome = await self._driver.ask(Write(self._shard, (Put(key, key, self._value),)))
        if isinstance(outcome, Written):
            self.durations_ms.append((perf_counter() - sent_at) * 1_000)
        else:
            self.failures[str(outcome)] += 1
