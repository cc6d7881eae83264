"""Does a topology make sense? Every doubt is named, with its place and a way out.

An error means that the fleet would not be what the document promises, or would not work at all. A
warning means that it works, but survives less, or costs more, than a reader may believe. A document
with errors in its places is still checked in its groups, as far as their names resolve.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import asin, cos, radians, sin, sqrt

from regions.findings import Finding, Severity, has_errors, pointer_to
from regions.settings import LeaseSettings
from regions.topology import Matrix, NodeSite, Region, StoreSite, Topology, address_of
from regions.topology_check_groups import check_groups, check_implied_groups
from regions.topology_groups import with_implied_groups

EARTH_RADIUS_KM = 6_371.0
LIGHT_IN_FIBRE_KM_PER_MS = 200.0
RTT_PLAUSIBLE_MS_MAX = 2_000.0


def check_topology(topology: Topology, settings: LeaseSettings | None = None) -> list[Finding]:
    """List everything that is wrong or doubtful, errors and warnings, in the document's order."""
    settings = settings or LeaseSettings()
    findings = [*_check_regions(topology), *_check_stores(topology), *_check_nodes(topology)]
    findings += _check_addresses(topology)
    findings += check_groups(topology, settings)
    findings += _check_round_trips(topology)
    findings += _check_prices(topology)
    if not has_errors(findings):
        findings += check_implied_groups(topology, with_implied_groups(topology, settings))
    return findings


def _error(message: str, hint: str, *place: str | int) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*place), message, hint)


def _warning(message: str, hint: str, *place: str | int) -> Finding:
    return Finding(Severity.WARNING, pointer_to(*place), message, hint)


def _check_regions(topology: Topology) -> Iterator[Finding]:
    names = [region.name for region in topology.regions]
    yield from _duplicates(names, ("regions",), "name")
    for at, region in enumerate(topology.regions):
        yield from _duplicates(region.zones, ("regions", at, "zones"))
        if not topology.stores_in(region.name):
            hint = "add a store there, or leave the region out"
            yield _warning(f"{region.name} has no store: it reads from afar", hint, "regions", at)
        if topology.nodes and not topology.nodes_in(region.name):
            hint = "add a node there, or leave the region out"
            yield _warning(f"{region.name} has no node: nobody serves it", hint, "regions", at)


def _check_stores(topology: Topology) -> Iterator[Finding]:
    ids = [store.id for store in topology.stores]
    yield from _duplicates(ids, ("stores",), "id")
    for at, store in enumerate(topology.stores):
        yield from _check_place(topology, store, "stores", at)


def _check_nodes(topology: Topology) -> Iterator[Finding]:
    ids = [node.id for node in topology.nodes]
    yield from _duplicates(ids, ("nodes",), "id")
    for at, node in enumerate(topology.nodes):
        yield from _check_place(topology, node, "nodes", at)


def _check_place(
    topology: Topology, site: StoreSite | NodeSite, part: str, at: int
) -> Iterator[Finding]:
    zones = {region.name: region.zones for region in topology.regions}
    if site.region not in zones:
        hint = f"the document has {_listed(zones)}"
        yield _error(f"there is no region {site.region!r}", hint, part, at, "region")
    elif site.zone is not None and site.zone not in zones[site.region]:
        hint = f"{site.region} has {_listed(zones[site.region])}"
        yield _error(f"{site.region} has no zone {site.zone!r}", hint, part, at, "zone")


def _check_addresses(topology: Topology) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    sites: list[tuple[str, int, StoreSite | NodeSite]] = []
    sites += [("stores", at, store) for at, store in enumerate(topology.stores)]
    sites += [("nodes", at, node) for at, node in enumerate(topology.nodes)]
    for part, at, site in sites:
        host = "127.0.0.1" if site.host.lower() == "localhost" else site.host.lower()
        address = address_of(host, site.port)
        if address in taken:
            message = f"{address} is the address of {taken[address]} already"
            yield _error(message, "give each process a port of its own", part, at, "port")
        taken.setdefault(address, site.id)


def _check_round_trips(topology: Topology) -> Iterator[Finding]:
    yield from _unknown_names(topology.rtt_ms, "rtt_ms", topology)
    for origin, to, rtt_ms in _cells(topology.rtt_ms):
        if rtt_ms <= 0:
            hint = "write the measured round trip in milliseconds"
            yield _error(f"{rtt_ms} ms is no round trip", hint, "rtt_ms", origin, to)
        elif doubt := _implausible(topology, origin, to, rtt_ms):
            yield _warning(doubt, "is the unit milliseconds, both ways?", "rtt_ms", origin, to)
    for origin, missing in _holes(topology.rtt_ms, topology):
        hint = "time-outs follow from these figures: measure them"
        yield _error(f"no round trip to {_listed(missing)}", hint, "rtt_ms", origin)


def _check_prices(topology: Topology) -> Iterator[Finding]:
    prices, part = topology.egress_usd_per_gb, "egress_usd_per_gb"
    yield from _unknown_names(prices, part, topology)
    for origin, to, price in _cells(prices):
        if price < 0:
            hint = "write the price of one GB in USD, 0 if it is free"
            yield _error(f"{price} USD is no price", hint, part, origin, to)
    hint = "write the price of one GB in USD; without it traffic counts as free"
    if not prices and len(topology.regions) > 1:
        yield _warning("no prices: cost plays no part in placement", hint, part)
        return
    for origin, missing in _holes(prices, topology):
        yield _warning(f"no price to {_listed(missing)}", hint, part, origin)


def _implausible(topology: Topology, origin: str, to: str, rtt_ms: float) -> str | None:
    places = {region.name: region for region in topology.regions}
    if rtt_ms > RTT_PLAUSIBLE_MS_MAX:
        return f"{rtt_ms} ms is longer than any way on Earth"
    if origin not in places or to not in places:
        return None
    least_ms = 2 * _distance_km(places[origin], places[to]) / LIGHT_IN_FIBRE_KM_PER_MS
    if rtt_ms >= least_ms:
        return None
    return f"{rtt_ms} ms is faster than light in fibre, which takes {least_ms:.1f} ms"


def _distance_km(a: Region, b: Region) -> float:
    """Give the great-circle distance (haversine)."""
    lat_a, lon_a, lat_b, lon_b = map(radians, (a.latitude, a.longitude, b.latitude, b.longitude))
    chord = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))


def _cells(matrix: Matrix) -> Iterator[tuple[str, str, float]]:
    for origin, row in matrix.items():
        for to, figure in row.items():
            yield origin, to, figure


def _holes(matrix: Matrix, topology: Topology) -> Iterator[tuple[str, list[str]]]:
    names = list(dict.fromkeys(region.name for region in topology.regions))
    for origin in names:
        row = matrix.get(origin, {})
        missing = [to for to in names if to != origin and to not in row]
        if missing:
            yield origin, missing


def _unknown_names(matrix: Matrix, part: str, topology: Topology) -> Iterator[Finding]:
    names = {region.name for region in topology.regions}
    hint = f"the document has {_listed(sorted(names))}"
    for origin, row in matrix.items():
        if origin not in names:
            yield _error(f"there is no region {origin!r}", hint, part, origin)
        for to in row:
            if to not in names:
                yield _error(f"there is no region {to!r}", hint, part, origin, to)


def _duplicates(
    names: Iterable[str], before: tuple[str | int, ...], *after: str
) -> Iterator[Finding]:
    """Name every repetition in a list that stands at `before` and is told apart by `after`."""
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            place = (*before, at, *after)
            yield _error(f"{name!r} is given twice", "rename or delete one of them", *place)
        seen.add(name)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
