"""Which ways between regions a proxy stands in for, and what can be done to them.

A link is one listening port: whoever connects there comes from one region and means one process of
another. A rule says what happens to bytes on their way from one region to another; several rules
add up. So one rule of a region's name takes that region off the map, whatever links there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controlplane.latency_pipe import Way
from regions.topology import NodeSite, StoreSite, Topology


@dataclass(frozen=True, slots=True)
class Link:
    """The way from a region to one process of another, as a port on loopback to connect to."""

    id: str
    listen_port: int
    """0 lets the system choose; `LatencyProxy.start` says what it chose."""
    target_host: str
    target_port: int
    from_region: str
    to_region: str
    delay_ms: float
    """One way. Both directions take as long: half a round trip each."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to bytes on their way. None matches every region, or every link."""

    from_region: str | None = None
    to_region: str | None = None
    link_id: str | None = None
    forward: bool | None = None
    """True: only what is sent by the one who connected; False: only what is sent back."""
    cut: bool = False
    """Hold everything back until the rule is gone."""
    extra_ms: float = 0.0
    """Delay what arrives by so much more."""
    jitter_ms: float = 0.0
    """And by up to so much more, drawn for each piece of data."""
    bytes_per_s: float | None = None
    """Let no more through than this, on each connection."""

    def __post_init__(self) -> None:
        assert self.extra_ms >= 0, self.extra_ms
        assert self.jitter_ms >= 0, self.jitter_ms
        assert self.bytes_per_s is None or self.bytes_per_s > 0, self.bytes_per_s

    def touches(self, link: Link, from_region: str, to_region: str) -> bool:
        """Say whether it holds for bytes of this link that travel so."""
        return (
            self.from_region in (None, from_region)
            and self.to_region in (None, to_region)
            and self.link_id in (None, link.id)
        )


def way_under(rules: Iterable[Rule], link: Link, *, forward: bool) -> Way:
    """Give what bytes of a link are subject to: forward is from the one who connected."""
    origin, destination = link.from_region, link.to_region
    if not forward:
        origin, destination = destination, origin
    touching = [
        rule
        for rule in rules
        if rule.forward in (None, forward) and rule.touches(link, origin, destination)
    ]
    narrow = [rule.bytes_per_s for rule in touching if rule.bytes_per_s is not None]
    return Way(
        link.delay_ms + sum(rule.extra_ms for rule in touching),
        cut=any(rule.cut for rule in touching),
        jitter_ms=sum(rule.jitter_ms for rule in touching),
        bytes_per_s=min(narrow, default=None),
    )


def links_of(topology: Topology, scale: float = 1.0) -> list[Link]:
    """List a link from every region to every store and node of every other one.

    Each way takes half the matrix's round trip, times `scale` (0.1: a world a tenth as wide).
    Listening ports are left to the system.
    """
    assert scale >= 0, scale
    sites: Sequence[StoreSite | NodeSite] = (*topology.stores, *topology.nodes)
    return [
        Link(
            id=link_id(region.name, site.id),
            listen_port=0,
            target_host=site.host,
            target_port=site.port,
            from_region=region.name,
            to_region=site.region,
            delay_ms=topology.round_trip_ms(region.name, site.region) / 2 * scale,
        )
        for region in topology.regions
        for site in sites
        if site.region != region.name
    ]


def link_id(from_region: str, site_id: str) -> str:
    """Name the link from a region to a store or node."""
    return f"{from_region}>{site_id}"
