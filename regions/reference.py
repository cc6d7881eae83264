"""Published figures of real regions, and the default fleet made from them.

The figures stand in `regions/data`, with their sources. They are for a start and for trying things
out: a fleet that carries traffic should say in its own document what it measured and what it pays.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count
from string import ascii_lowercase
from types import MappingProxyType

from regions.errors import UnknownRegion
from regions.settings import LeaseSettings
from regions.topology import Matrix, NodeSite, Region, StoreSite, Topology
from regions.topology_groups import with_implied_groups

DEFAULT_REGIONS = ("eu-central-1", "us-east-1", "ap-southeast-1")
DEFAULT_BASE_PORT = 7400


def region_names() -> tuple[str, ...]:
    """Name every region there are figures for, in alphabetical order."""
    return tuple(row["name"] for row in _rows("regions.csv"))


def round_trips_ms(regions: Sequence[str]) -> Matrix:
    """Give the measured round trip for each ordered pair of these regions. Raises UnknownRegion."""
    return _submatrix(_matrix("rtt_ms.csv"), regions)


def egress_usd_per_gb(regions: Sequence[str]) -> Matrix:
    """Give the price of sending for each ordered pair of these regions. Raises UnknownRegion."""
    return _submatrix(_matrix("egress_usd_per_gb.csv"), regions)


@dataclass(frozen=True, slots=True)
class RequestMix:
    """What one production cache cluster was asked for: rates are of one instance."""

    requests_per_s: float
    write_fraction: float
    item_bytes: float


def request_mixes() -> tuple[RequestMix, ...]:
    """Give the mixes of real requests that there are figures for, one for each cluster."""
    return tuple(
        RequestMix(
            requests_per_s=1_000 * float(row["kqps"]),
            write_fraction=float(row["write_fraction"]),
            item_bytes=float(row["key_bytes"]) + float(row["value_bytes"]),
        )
        for row in _rows("twitter_cache_2020mar.csv")
    )


def instance_usd_per_hour(regions: Sequence[str]) -> tuple[float, ...]:
    """Give the price of an instance in each of these regions. Raises UnknownRegion."""
    return _figures("instance_usd_per_hour", regions)


def inhabitants(regions: Sequence[str]) -> tuple[float, ...]:
    """Give how many people live nearest to each of these regions, for the shape of demand only.

    Raises UnknownRegion.
    """
    return _figures("nearest_city_population", regions)


def default_topology(
    regions: Sequence[str] = DEFAULT_REGIONS,
    zones: int = 3,
    nodes_per_region: int = 2,
    base_port: int = DEFAULT_BASE_PORT,
    ports: Iterable[int] | None = None,
    settings: LeaseSettings | None = None,
) -> Topology:
    """Describe a complete fleet on this machine: a store in each zone, some nodes a region.

    Everything stands on 127.0.0.1. Ports come from `ports` if given, else count up from
    `base_port`; nodes take theirs first, then stores. Raises UnknownRegion.
    """
    assert 1 <= zones <= len(ascii_lowercase), zones
    assert nodes_per_region >= 0, nodes_per_region
    port_source = iter(ports) if ports is not None else count(base_port)
    places = [_place(name, zones) for name in regions]
    topology = Topology(
        regions=tuple(places),
        nodes=tuple(_nodes(places, nodes_per_region, port_source)),
        stores=tuple(_stores(places, port_source)),
        rtt_ms=round_trips_ms(regions),
        egress_usd_per_gb=egress_usd_per_gb(regions),
    )
    return with_implied_groups(topology, settings)


def _figures(column: str, regions: Sequence[str]) -> tuple[float, ...]:
    known = {row["name"]: float(row[column]) for row in _rows("prices_and_people.csv")}
    _refuse_unknown(known, regions)
    return tuple(known[name] for name in regions)


def _refuse_unknown(known: Container[str], regions: Sequence[str]) -> None:
    unknown = [name for name in regions if name not in known]
    if unknown:
        raise UnknownRegion(f"there are no figures for {', '.join(map(repr, unknown))}")


def _place(name: str, zones: int) -> Region:
    row = next((row for row in _rows("regions.csv") if row["name"] == name), None)
    if row is None:
        raise UnknownRegion(
            f"there are no figures for a region {name!r}",
            hint=f"choose from {', '.join(region_names())}, or write a topology document",
        )
    return Region(
        name=name,
        location=row["location"],
        latitude=float(row["latitude"]),
        longitude=float(row["longitude"]),
        zones=tuple(name + letter for letter in ascii_lowercase[:zones]),
    )


def _nodes(places: Sequence[Region], each: int, ports: Iterator[int]) -> Iterator[NodeSite]:
    for place in places:
        for index in range(each):
            yield NodeSite(
                id=f"{place.name}-n{index + 1}",
                region=place.name,
                zone=place.zones[index % len(place.zones)],
                host="127.0.0.1",
                port=next(ports),
            )


def _stores(places: Sequence[Region], ports: Iterator[int]) -> Iterator[StoreSite]:
    for place in places:
        for index, zone in enumerate(place.zones):
            yield StoreSite(
                id=f"{place.name}-s{index + 1}",
                region=place.name,
                zone=zone,
                host="127.0.0.1",
                port=next(ports),
            )


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("regions.data").joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def _matrix(name: str) -> Matrix:
    matrix = {}
    for row in _rows(name):
        origin = row["from"]
        figures = {to: row[to] for to in row if to not in ("from", origin)}
        known = [float(figure) for figure in figures.values() if figure]
        usual = Counter(known).most_common(1)[0][0]
        matrix[origin] = MappingProxyType(
            {to: float(figure) if figure else usual for to, figure in figures.items()}
        )
    return MappingProxyType(matrix)


def _submatrix(matrix: Matrix, regions: Sequence[str]) -> Matrix:
    _refuse_unknown(matrix, regions)
    return {a: {b: matrix[a][b] for b in regions if b != a} for a in regions}


def known_round_trip_ms(origin: str, to: str) -> float | None:
    """Give the published round trip between two regions, None where there is none."""
    return _matrix("rtt_ms.csv").get(origin, {}).get(to)
