"""Problems made from real figures: round trips, prices, people and request mixes as published.

The *marginals* are real, each from its source (`regions/data/SOURCES.md`). Their *joint* is not:
which shard gets which mix, how far its clients are spread and how large it is, is drawn. Nobody
publishes the demand of a service by shard and region. A flat price of storage is assumed.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regions.reference import (
    default_topology,
    egress_usd_per_gb,
    inhabitants,
    instance_usd_per_hour,
    region_names,
    request_mixes,
    round_trips_ms,
)
from regions.topology import ZONE_RTT_MS
from shards.placement.problem import (
    NOWHERE,
    Budget,
    Capacities,
    Problem,
    Shards,
    Survival,
    bits_of,
)

REGIONS = (
    *("us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-1", "ap-northeast-1"),
    *("ap-south-1", "sa-east-1", "ap-southeast-2", "ca-central-1", "af-south-1", "me-south-1"),
    *("us-east-2", "us-west-1", "eu-west-2", "eu-north-1", "eu-south-1", "ap-east-1"),
    *("ap-northeast-2", "ap-northeast-3", "ap-southeast-3"),
)
"""In the order in which a problem of so many regions takes them: the continents first."""
STORAGE_USD_PER_GB_MONTH = 0.10
"""An assumption: no price per region is at hand."""
SHARDS_PER_INSTANCE = 50.0
"""One instance's requests are those of so many shards, on average."""
ITEMS_PER_SHARD = 1_000_000.0
ROOM = 1.3
"""Capacity over need, of all regions together."""
SHARE_MAX = 0.02
"""No shard has more than this part of all writes, of all reads, or of all bytes."""
FULL = 1.1
"""Room for bytes over what a region holds now, at least."""
ZONE_SHARE = 0.2
STRONG_SHARE = 0.1
DAY_SWING = 0.6
DAY_PEAK_HOUR = 15.0


def synthetic_problem(
    shards: int,
    regions: int,
    seed: int,
    *,
    moved_share: float = 0.03,
    hour_utc: float | None = None,
) -> Problem:
    """Make a problem; equal arguments give equal ones.

    `moved_share` of all bytes may move. With `hour_utc`, loads follow the sun: each region's
    clients ask most at three in the afternoon, by its longitude.
    """
    names = REGIONS[:regions]
    draw = np.random.default_rng([seed, shards, regions])
    people = np.array(inhabitants(names))
    rtt_ms = _square(names, round_trips_ms(names), ZONE_RTT_MS)
    table = _shards(draw, shards, people / people.sum(), rtt_ms)
    if hour_utc is not None:
        by_hour = _by_hour(names, hour_utc)
        table["writes_per_s"] *= by_hour
        table["reads_per_s"] *= by_hour
    return Problem(
        regions=names,
        rtt_ms=rtt_ms,
        egress_usd_per_gb=_square(names, egress_usd_per_gb(names), 0.0),
        storage_usd_per_gb_month=np.full(regions, STORAGE_USD_PER_GB_MONTH),
        instance_usd_per_hour=np.array(instance_usd_per_hour(names)),
        shards=Shards(ids=tuple(f"s{i}" for i in range(shards)), **table),
        capacities=_capacities(table, people),
        budget=Budget(moved_bytes=3 * moved_share * float(table["size_bytes"].sum())),
    )


def reference_positions() -> dict[str, tuple[float, float]]:
    """Latitude and longitude, in degrees, of every region there are figures for."""
    places = default_topology(region_names()).regions
    return {place.name: (place.latitude, place.longitude) for place in places}


def _square(names: tuple[str, ...], matrix: object, diagonal: float) -> NDArray[np.float64]:
    assert hasattr(matrix, "__getitem__")
    return np.array([[diagonal if a == b else matrix[a][b] for b in names] for a in names])


def _by_hour(names: tuple[str, ...], hour_utc: float) -> NDArray[np.float32]:
    longitudes = np.array([place.longitude for place in default_topology(names).regions])
    since_peak = hour_utc + longitudes / 15 - DAY_PEAK_HOUR
    swing = 1 + DAY_SWING * np.cos(2 * np.pi * since_peak / 24)
    return swing.astype(np.float32)


def _capacities(table: dict[str, NDArray[Any]], people: NDArray[np.float64]) -> Capacities:
    """Half of the room is alike everywhere, half is where the people are.

    What is held now fits: what is over a region's room could not leave it under a small budget.
    """
    share = ROOM * (0.5 / len(people) + 0.5 * people / people.sum())
    count, sizes = len(table["size_bytes"]), table["size_bytes"]
    held = bits_of(table["present"], len(people))
    copies = np.where(held.sum(axis=1) == 1, table["voters"], 1)[:, None] * held
    now = (copies * sizes[:, None]).sum(axis=0)
    return Capacities(
        leaders=np.ceil(share * count) + 1,
        writes_per_s=share * max(float(table["writes_per_s"].sum()), 1.0),
        size_bytes=np.maximum(3 * share * max(float(sizes.sum()), 1.0), FULL * now),
    )


def _shards(
    draw: np.random.Generator, count: int, people: NDArray[np.float64], rtt_ms: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    regions = len(people)
    mixes = request_mixes()
    mix = draw.integers(len(mixes), size=count)
    rate = np.array([each.requests_per_s for each in mixes])[mix] / SHARDS_PER_INSTANCE
    rate *= draw.lognormal(0.0, 1.0, count)
    fraction = np.array([each.write_fraction for each in mixes])[mix]
    item_bytes = np.array([each.item_bytes for each in mixes])[mix]
    home = draw.choice(regions, size=count, p=people)
    local = draw.uniform(0.3, 0.95, count)
    # Clients elsewhere: as many as people there, fewer the farther they are.
    nearby = people[None, :] * np.exp(-rtt_ms / 100.0)
    spread = nearby[home] * draw.lognormal(0.0, 0.5, (count, regions))
    spread[np.arange(count), home] = 0.0
    spread *= ((1 - local) / spread.sum(axis=1))[:, None]
    spread[np.arange(count), home] = local
    sizes = np.maximum(item_bytes * ITEMS_PER_SHARD * draw.lognormal(-1.0, 1.0, count), 1e6)
    leader, present = _present(draw, home, rtt_ms)
    zone = draw.random(count) < ZONE_SHARE
    present = np.where(zone, np.uint64(1) << leader.astype(np.uint64), present)
    return {
        "writes_per_s": (_bounded(rate * fraction)[:, None] * spread).astype(np.float32),
        "reads_per_s": (_bounded(rate * (1 - fraction))[:, None] * spread).astype(np.float32),
        "write_bytes": item_bytes.astype(np.float32),
        "read_bytes": item_bytes.astype(np.float32),
        "size_bytes": _bounded(sizes),
        "strong_share": np.full(count, STRONG_SHARE, dtype=np.float32),
        "survival": np.where(zone, Survival.ZONE, Survival.REGION).astype(np.uint8),
        "voters": np.full(count, 3, dtype=np.uint8),
        "leader": leader.astype(np.int16),
        "present": present,
        "allowed": np.full(count, (1 << regions) - 1, dtype=np.uint64),
        "pin": np.full(count, NOWHERE, dtype=np.int16),
        "preference": np.full(count, NOWHERE, dtype=np.int32),
    }


def _bounded(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    least = ceil(1 / SHARE_MAX)
    share = max(SHARE_MAX, 2 / max(len(amounts), 1)) if len(amounts) < 2 * least else SHARE_MAX
    bounded: NDArray[np.float64] = np.minimum(amounts, share * amounts.sum())
    return bounded


def _present(
    draw: np.random.Generator, home: NDArray[np.int64], rtt_ms: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Where shards are now: led near where they were asked for once, held near their leader."""
    regions = len(rtt_ms)
    near = np.argsort(rtt_ms + np.diag(np.full(regions, -1e3)), axis=1)
    strayed = draw.integers(regions, size=len(home))
    leader = np.where(draw.random(len(home)) < 0.6, home, strayed)
    present = np.uint64(1) << leader.astype(np.uint64)
    order = np.argsort(draw.random((len(home), min(4, regions - 1))), axis=1) + 1
    for column in range(min(2, regions - 1)):
        other = near[leader, order[:, column]]
        present |= np.uint64(1) << other.astype(np.uint64)
    return leader, present
