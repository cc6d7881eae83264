"""Bytes between regions, as this node sent and received them, and what they cost.

Counted at the node that connected, both what it sent and what came back, so that nothing is counted
twice: stores count nothing. What stays in the region is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from config.feed import Feed, egress_usd_per_gb
from controlplane.telemetry.families import counters, gauges
from regions.store import ByteCount

GB: Final = 1e9
LANES: Final = "lanes"
"""Ordered calls to stores: writes to copies, renewals, elections."""
BULK: Final = "bulk"
"""What is read from stores: logs and whole shards that copies lack, and positions."""
REQUESTS: Final = "requests"
"""Requests of clients that another region's node answers."""
MESSAGES: Final = "messages"
"""What nodes tell each other, and probes."""


class TrafficMetrics:
    """Counts by the regions of both ends, and by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._byte_counts: dict[tuple[str, str, str], ByteCount] = {}
        registry.register(self)

    def between(self, here: str, kind: str, there: str) -> ByteCount | None:
        """Where bytes of this kind to and from another region are counted, always the same one;
        None within a region."""
        if here == there or not there:
            return None
        key = (here, there, kind)
        found = self._byte_counts.get(key)
        if found is None:
            found = self._byte_counts[key] = ByteCount()
        return found

    def describe(self) -> Iterable[Metric]:
        """Its name, so that there is no other of it."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """All bytes so far."""
        yield self._family()

    def _family(self) -> Metric:
        found: dict[tuple[str, ...], float] = {}
        for (here, there, kind), byte_count in self._byte_counts.items():
            found[here, there, kind] = byte_count.sent
            found[there, here, kind] = byte_count.received
        return counters(
            "leadplane_region_pair_bytes_total",
            "Bytes from one region to another, as the node that connected sent and received them.",
            ["from_region", "to_region", "kind"],
            found,
        )


class TrafficPrices:
    """The prices in force, asked for at each scrape."""

    def __init__(self, documents: Callable[[], Feed]) -> None:
        self._documents = documents

    def describe(self) -> Iterable[Metric]:
        """Nothing: the node may not be ready when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """A price for each pair of regions that have documents."""
        regions = self._documents().regions()
        prices: dict[tuple[str, ...], float] = {
            (here, there): egress_usd_per_gb(region, there) / GB
            for here, region in regions.items()
            for there in regions
            if here != there
        }
        yield gauges(
            "leadplane_region_pair_usd_per_byte",
            "What a byte from one region to another costs, by the documents in force.",
            ["from_region", "to_region"],
            prices,
        )
