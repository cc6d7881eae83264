"""Splits and merges that the load asks for, at the global leader; off unless a document wants it.

It shows the fleet to the machine (controlplane/planning/load_orders) at every look, gives what is
due as the orders that an operator would give, and says which partitions are so hot that no split
helps. How hot shards are, their leaders tell (controlplane/node/heats).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from config.document import Kind
from config.shard_rules import said_of
from controlplane.api.service import Service
from controlplane.machine import Happened
from controlplane.planning.admission import Admission
from controlplane.planning.load_orders import LoadOrders
from controlplane.planning.splitting import Due, HotPartition, ShardSeen
from controlplane.requests import Refused

LOGGER: Final = logging.getLogger(__name__)
LOOK_MS: Final = 5_000
LOOKED_AT_ONCE: Final = 100
MERGED_BYTES_SHARE: Final = 0.5
"""Of the size that a shard may have: no merge makes a larger one."""


class Resharder:
    """The loop's part of one global leader."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._orders = LoadOrders()
        self._next_ms = 0
        self._told = 0

    @property
    def hot_partitions(self) -> tuple[HotPartition, ...]:
        """Shards that stay hot, since no split would help."""
        return self._orders.splitting.hot_partitions

    def forget(self) -> None:
        """Begin anew, as another global leader; or end, as none any more."""
        self._orders = LoadOrders()
        self._next_ms = 0
        self._tell()

    async def turn(self, admission: Admission, now_ms: int, wall_ms: int) -> None:
        """Look, if it is time, and order what is due."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + LOOK_MS
        service = self._service
        policy = service.documents().content(Kind.PLACEMENT).get("split_by_load")
        if policy is None:
            if self.hot_partitions:
                self.forget()
            return
        records = [(each.principal, each.phase, each.parents) for each in service.reshardings()]
        bytes_max = int(MERGED_BYTES_SHARE * service.limits.shard_bytes_max)
        seen = await self._seen(now_ms, wall_ms)
        for due in self._orders.due(policy, seen, records, bytes_max, admission, now_ms):
            if why := await self._order(due):
                LOGGER.info("%s of %s is not made: %s", due.order.kind, due.order.of, why)
                self._orders.refused(due, policy, admission, now_ms)
        self._tell()

    async def _order(self, due: Due) -> str:
        """Give an order; why it was not taken, empty if it was."""
        outcome = await self._service.submit(due.order)
        return outcome.detail if isinstance(outcome, Refused) else ""

    async def _seen(self, now_ms: int, wall_ms: int) -> list[ShardSeen]:
        service = self._service
        content = service.documents().content(Kind.CONSTRAINTS)
        made_ms: dict[str, int] = {}
        busy: set[str] = set()
        for each in service.reshardings():
            for child in each.children:
                made_ms[child.shard] = now_ms - max(0, wall_ms - each.wall_ms)
            if not each.swept:
                busy |= {part.shard for part in (*each.parents, *each.children)}
        found = []
        for number, shard in enumerate(list(service.shard_names())):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            row, view = service.map_row(shard), service.shard_view(shard)
            if row is None or view is None or row.first_slot >= row.end_slot:
                continue
            leader, names = view.leader, (shard, *service.ancestors(shard))
            found.append(
                ShardSeen(
                    shard, row.group, row.first_slot, row.end_slot,
                    "" if leader is None else leader.node, "" if leader is None else leader.region,
                    service.heat_of(shard), (row.regions, row.node, said_of(content, names)),
                    made_ms.get(shard), shard in busy,
                )
            )  # fmt: skip
        return found

    def _tell(self) -> None:
        """Say which partitions are newly hot, and how many there are when that changed."""
        found = self.hot_partitions
        for each in self._orders.splitting.take():
            detail = {"partition": each.partition, "share": each.share, "by": each.measure}
            self._service.report(Happened("hot-partition", each.shard, 0, detail))
        if len(found) != self._told:
            self._told = len(found)
            detail = {"total": len(found)}
            self._service.report(Happened("hot-partitions", "system", 0, detail))
