"""Benchmark `lookups`: from a key to its shard in the routing table, in one thread."""

from __future__ import annotations

import time

from controlplane.bench.report import Figure, Findings
from controlplane.bench.spread import nearest_rank
from shards.keyspace import SLOTS
from shards.routing import RoutingTable, SlotRange

TARGET = 500_000
KEYS = 100_000
SHARDS = (100, 10_000)


def measure_lookups(rounds: int) -> Findings:
    """Look every key up once a round, in tables of different sizes."""
    keys = [f"customer-{number}/orders" for number in range(KEYS)]
    figures = []
    for shards in SHARDS:
        table = RoutingTable(
            (
                SlotRange(n * SLOTS // shards, (n + 1) * SLOTS // shards, f"s{n:05}")
                for n in range(shards)
            ),
            map_version=1,
        )
        speeds = sorted(_speed(table, keys) for _ in range(rounds))
        middle = nearest_rank(speeds, 0.5)
        figures.append(
            Figure(
                f"lookups, {shards:,} shards",
                round(middle),
                "/s",
                target=f"at least {TARGET:,}/s",
                reached=middle >= TARGET,
            )
        )
    method = f"`RoutingTable.shard_of` on {KEYS:,} keys, {rounds} rounds; the middle one counts."
    return Findings("lookups", "", method, tuple(figures))


def _speed(table: RoutingTable, keys: list[str]) -> float:
    lookup = table.shard_of
    started = time.perf_counter()
    for key in keys:
        lookup(key)
    return len(keys) / (time.perf_counter() - started)
