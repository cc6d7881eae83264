"""Follow the sun: what the global leader has learnt of past days, and what it foretells by it.

Theory of operation. Each minute the loop takes the load of every region, and once an hour it writes
down in the system shard what was learnt (shards/daily_profile): so the next global leader goes on
with it. It learns always; plans are made for the load to come only where the document `placement`
says how far ahead to look (`follow_the_sun`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from config.document import Kind
from config.feed import Feed
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.planning.orders import PARTITION
from controlplane.problems import RequestRefused, from_refusal
from controlplane.requests import Compare, Found, Put, Read, Refused, Write
from regions.codec import as_bytes, pack, unpack
from shards.daily_profile import DailyProfile

PROFILE_KEY: Final = "{placement}/days"
EVERY_S: Final = 60.0
LOGGER: Final = logging.getLogger(__name__)


class Forecaster:
    """What one node knows of regions' days; only the global leader knows anything."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._epoch = 0
        self._profile = DailyProfile()

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.turn(_wall_ms())
            except RequestRefused as refused:
                LOGGER.info("what was learnt of the day waits: %s", refused.detail)

    async def turn(self, wall_ms: int) -> None:
        """Take the present load; write down what an hour taught. Raises RequestRefused."""
        gathered = self._service.gathered()
        if gathered is None:
            self._epoch = 0
            return
        if gathered.epoch != self._epoch:
            self._profile, _ = await self._read()
            self._epoch = gathered.epoch
        if self._profile.note(gathered.load.by_region(), wall_ms):
            await self._write()

    def factors(self, feed: Feed, wall_ms: int | None = None) -> dict[str, float]:
        """By how much the load of each region is going to differ, of those of which that is known;
        empty where nobody wants to look ahead."""
        wanted = feed.content(Kind.PLACEMENT).get("follow_the_sun", {})
        ahead_ms = wanted.get("ahead_ms", 0)
        if not ahead_ms or self._service.gathered() is None:
            return {}
        now_ms = _wall_ms() if wall_ms is None else wall_ms
        found = {
            region: self._profile.factor(region, now_ms, ahead_ms) for region in feed.regions()
        }
        return {region: factor for region, factor in found.items() if factor is not None}

    async def _read(self) -> tuple[DailyProfile, int]:
        outcome = await self._service.submit(Read(SYSTEM, (PROFILE_KEY,)))
        if isinstance(outcome, Refused):
            raise from_refusal(outcome)
        assert isinstance(outcome, Found), outcome
        value = outcome.values[0]
        if value is None:
            return DailyProfile(), 0
        try:
            return DailyProfile.read(unpack(as_bytes(value.data))), value.version
        except ValueError as complaint:
            LOGGER.warning("what past days taught is begun anew: %s", complaint)
            return DailyProfile(), value.version

    async def _write(self) -> None:
        _, version = await self._read()
        put = Put(PARTITION, PROFILE_KEY, pack(self._profile.packed()))
        outcome = await self._service.submit(
            Write(SYSTEM, (put,), (Compare(PROFILE_KEY, version),))
        )
        if isinstance(outcome, Refused):
            raise from_refusal(outcome)


def _wall_ms() -> int:
    return int(time.time() * 1000)
