"""Ways between the sites of a fleet, and what is done to them behind the built-in proxy.

Every node goes through a link of its own to every store and every other node, so a way can be cut
between any two sites, in either direction. Clients go past the proxy: what they are told is judged,
not how they got there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.chaos.roles import Kind, Site
from controlplane.errors import ChaosImpossible
from controlplane.proxy import LatencyProxy
from controlplane.proxy_links import Link, Rule, link_id
from regions.topology import NodeSite, StoreSite, Topology

Pairs = Collection[tuple[str, str]]
"""Ways, each from a site to another; the way back is another one."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What makes ways worse without closing them."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    bytes_per_s: float | None = None


class Ways(Protocol):
    """What can be done to the ways of a fleet. Everything has a name, by which it is undone."""

    async def cut(self, name: str, pairs: Pairs) -> None: ...

    async def mend(self, name: str, *, loses: bool) -> str:
        """End a cut, and say what it did. `loses`: what was sent meanwhile never arrives, and
        connections break.
        """

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None: ...

    async def ease(self, name: str) -> None: ...

    async def snap(self, sites: Collection[str]) -> None:
        """Break off every connection of these sites."""


def links_between(topology: Topology, scale: float) -> tuple[Link, ...]:
    """A link from every node to every other site. Between regions it takes as long as the matrix
    says, times `scale`.
    """
    return tuple(_links(topology, scale))


def _links(topology: Topology, scale: float) -> Iterable[Link]:
    sites: Sequence[StoreSite | NodeSite] = (*topology.stores, *topology.nodes)
    for node in topology.nodes:
        for site in sites:
            if site.id == node.id:
                continue
            far = site.region != node.region
            trip_ms = topology.round_trip_ms(node.region, site.region) if far else 0.0
            yield Link(
                id=link_id(node.id, site.id),
                listen_port=0,
                target_host=site.host,
                target_port=site.port,
                from_region=node.region,
                to_region=site.region,
                delay_ms=trip_ms / 2 * scale,
            )


class ProxiedWays:
    """Ways that lead through the proxy."""

    def __init__(self, proxy: LatencyProxy, sites: Sequence[Site]) -> None:
        self._proxy = proxy
        nodes = [site.id for site in sites if site.kind is Kind.NODE]
        self._links = [(n, s.id, link_id(n, s.id)) for n in nodes for s in sites if s.id != n]
        self._rules: dict[str, list[tuple[str, str]]] = {}

    async def cut(self, name: str, pairs: Pairs) -> None:
        """Hold back what travels on these ways."""
        for origin, target, link in self._links:
            for forward, pair in ((True, (origin, target)), (False, (target, origin))):
                if pair in pairs:
                    self._impose(name, Rule(link_id=link, forward=forward, cut=True))

    async def mend(self, name: str, *, loses: bool) -> str:
        """Let it go on, late; or break off the connections, and lose it."""
        ways = len(self._rules.get(name, ()))
        if loses:
            for link in {link for _, link in self._rules.get(name, ())}:
                self._proxy.reset(Rule(link_id=link))
        self._lift(name)
        return f"{ways} ways were cut in the proxy"

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None:
        """Make the ways of these sites longer, uneven, narrow."""
        for link in self._of(sites):
            rule = Rule(
                link_id=link,
                extra_ms=how.delay_ms,
                jitter_ms=how.jitter_ms,
                bytes_per_s=how.bytes_per_s,
            )
            self._impose(name, rule)

    async def ease(self, name: str) -> None:
        """Make them as they were."""
        self._lift(name)

    async def snap(self, sites: Collection[str]) -> None:
        """Break off every connection of these sites."""
        for link in self._of(sites):
            self._proxy.reset(Rule(link_id=link))

    def _of(self, sites: Collection[str]) -> list[str]:
        return [link for origin, target, link in self._links if {origin, target} & set(sites)]

    def _impose(self, name: str, rule: Rule) -> None:
        rules = self._rules.setdefault(name, [])
        rule_name = f"{name}/{len(rules)}"
        rules.append((rule_name, str(rule.link_id)))
        self._proxy.impose(rule_name, rule)

    def _lift(self, name: str) -> None:
        for rule_name, _ in self._rules.pop(name, ()):
            self._proxy.lift(rule_name)


class PlainWays:
    """Ways of a fleet that nobody stands in: nothing can be done to them."""

    async def cut(self, name: str, pairs: Pairs) -> None:
        """Impossible."""
        raise _nothing_between()

    async def mend(self, name: str, *, loses: bool) -> str:
        """Nothing was cut."""
        return ""

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None:
        """Impossible."""
        raise _nothing_between()

    async def ease(self, name: str) -> None:
        """Nothing was hampered."""

    async def snap(self, sites: Collection[str]) -> None:
        """Impossible."""
        raise _nothing_between()


def _nothing_between() -> ChaosImpossible:
    return ChaosImpossible("nothing stands between the processes of this fleet")
