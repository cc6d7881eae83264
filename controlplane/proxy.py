"""The long ways of the world on one machine: a proxy that takes as long as the distance would.

One proxy serves any number of links. It delays each direction by its own way, keeps order and
half-closed streams, and can be told at run time to cut ways, to slow them down, and to break off
the connections on them.

What it does not imitate: the handshake (a connection is accepted at once, though what is sent over
it takes its time), loss within a connection, and the bandwidth of a long way. A connection to a
target that refuses is broken off instead of refused, one round trip later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from controlplane.latency_pipe import Way
from controlplane.proxy_connection import ProxyConnection
from controlplane.proxy_links import Link, Rule, way_under

CONNECTIONS_MAX = 512
"""Of one link. The oldest is broken off for the newest: a cut way must not fill the memory."""


class LatencyProxy:
    """Listens for all links until `stop`. Rules can be changed at any time.

    The little work that must wait belongs to `tasks`.
    """

    def __init__(self, links: Iterable[Link], tasks: asyncio.TaskGroup) -> None:
        self._links = {link.id: link for link in links}
        self._tasks = tasks
        self._servers: list[asyncio.Server] = []
        self._connections: dict[str, dict[ProxyConnection, None]] = {id_: {} for id_ in self._links}
        self._rules: dict[str, Rule] = {}

    async def start(self) -> dict[str, int]:
        """Listen on 127.0.0.1 for every link; give each one's port by its id.

        Raises OSError when a port is taken; then nothing listens.
        """
        loop = asyncio.get_running_loop()
        ports = {}
        try:
            for link in self._links.values():
                accept = self._accept(link)
                server = await loop.create_server(accept, "127.0.0.1", link.listen_port)
                self._servers.append(server)
                ports[link.id] = server.sockets[0].getsockname()[1]
        except OSError:
            await self.stop()
            raise
        return ports

    async def stop(self) -> None:
        """Stop listening and break off every connection. May be called twice."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        self.reset(Rule())
        for server in servers:
            await server.wait_closed()

    def connections(self, link_id: str) -> int:
        """Count the connections of a link, those included whose ends have gone while it is cut."""
        return len(self._connections[link_id])

    def impose(self, name: str, rule: Rule) -> None:
        """Put a rule into force under a name, in place of any earlier one of that name."""
        self._rules[name] = rule
        self._apply_rules()

    def lift(self, name: str) -> None:
        """End a rule. What a cut held back goes on its way now. Unknown names are fine."""
        self._rules.pop(name, None)
        self._apply_rules()

    def reset(self, rule: Rule) -> None:
        """Break off, at both ends and at once, every connection that `rule` touches."""
        for link_id, connections in self._connections.items():
            link = self._links[link_id]
            there = rule.touches(link, link.from_region, link.to_region)
            if there or rule.touches(link, link.to_region, link.from_region):
                for connection in list(connections):
                    connection.abort()

    def _accept(self, link: Link) -> Callable[[], asyncio.Protocol]:
        connections = self._connections[link.id]

        def accept() -> asyncio.Protocol:
            if len(connections) >= CONNECTIONS_MAX:
                next(iter(connections)).abort()
            connection = ProxyConnection(link, self._ways(link), self._tasks, connections.pop)
            connections[connection] = None
            return connection.client

        return accept

    def _apply_rules(self) -> None:
        for link_id, connections in self._connections.items():
            ways = self._ways(self._links[link_id])
            for connection in list(connections):
                connection.change(ways)

    def _ways(self, link: Link) -> tuple[Way, Way]:
        """Give the way there and the way back."""
        rules = self._rules.values()
        return way_under(rules, link, forward=True), way_under(rules, link, forward=False)
