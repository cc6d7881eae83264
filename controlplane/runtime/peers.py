"""What this node says to others, and how it sees whether they serve: over HTTP, as any client.

A message is sent at most once; if it is lost, it is lost, since nothing rests on its arrival. A
probe goes through the peer's front door, with a strong read of a key that belongs to the shard in
question, and asks not to be passed on: a peer that holds a shard's lease and cannot answer for it
must not be helped by another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

import orjson

from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable
from controlplane.machine import Event, Probe, Probed, Tell
from controlplane.node_plan import PeerPlan
from controlplane.telemetry.lifecycle_log import LOGGER
from controlplane.views import FleetView, NodeView, ShardView
from regions.store import ByteCount
from shards.key_in_slot import key_in_slot

PEER_PATH = "/internal/v1/peer"
TELL_TIMEOUT_MS = 5_000
TELLS_MAX = 256
"""Messages under way at once; one more is dropped, as the network might."""
PROBES_MAX = 64
NOT_PASSED_ON: Mapping[str, str] = {"Leadplane-Hop": "1"}


class Peers:
    """Carries out Tell and Probe."""

    def __init__(
        self,
        client: HttpClient,
        tasks: asyncio.TaskGroup,
        *,
        node: str,
        peers: Iterable[PeerPlan],
        post: Callable[[Event], None],
        fleet: Callable[[], FleetView],
        shard_view: Callable[[str], ShardView | None],
        bytes_of: Callable[[str], ByteCount | None] = lambda region: None,
    ) -> None:
        """`peers` are configured. `bytes_of` says where the bytes to a region are counted."""
        self._client = client
        self._tasks = tasks
        self._node = node
        self._configured = {peer.node: peer for peer in peers}
        self._learned: dict[str, NodeView] = {}  # that are not configured: they may move
        self._post = post
        self._fleet = fleet
        self._shard_view = shard_view
        self._bytes_of = bytes_of
        self._telling = 0
        self._probing = 0

    def tell(self, effect: Tell) -> None:
        """Send a message on its way."""
        if self._telling < TELLS_MAX:
            self._telling += 1
            self._tasks.create_task(self._tell(effect))

    def probe(self, effect: Probe) -> None:
        """See whether a peer serves, and report it; too many at once are left out."""
        if self._probing >= PROBES_MAX:
            return  # the peers are slow already; those under way will tell
        self._probing += 1
        self._tasks.create_task(self._probe(effect))

    async def _tell(self, effect: Tell) -> None:
        try:
            peer = self._peer(effect.node)
            if peer is not None and peer.url:
                url = peer.url.rstrip("/") + PEER_PATH
                body = orjson.dumps({"sender": self._node, "message": effect.message})
                headers = {"Content-Type": "application/json"}
                await self._client.send(
                    "POST", url, headers=headers, body=body, timeout_ms=TELL_TIMEOUT_MS,
                    byte_count=self._bytes_of(peer.region),
                )  # fmt: skip
        except (PeerUnreachable, PeerLost) as error:
            LOGGER.debug("a message to %s was lost: %s", effect.node, error)
            self._learned.pop(effect.node, None)
        finally:
            self._telling -= 1

    async def _probe(self, effect: Probe) -> None:
        served, peer = False, self._peer(effect.node)
        try:
            reply = await self._client.send(
                "GET",
                effect.url.rstrip("/") + self._probe_path(effect.shard),
                headers=NOT_PASSED_ON,
                timeout_ms=effect.timeout_ms,
                byte_count=None if peer is None else self._bytes_of(peer.region),
            )
            served = reply.status == 200 or (
                reply.status == 404 and reply.headers.get("Leadplane-Shard") == effect.shard
            )
        except (PeerUnreachable, PeerLost) as error:
            LOGGER.debug("a probe of %s found nobody: %s", effect.node, error)
        finally:
            self._probing -= 1
        self._post(Probed(effect.node, effect.shard, served))

    def _peer(self, node: str) -> PeerPlan | NodeView | None:
        """Where a node is: as configured, else as its session, or the node itself, says."""
        if node not in self._configured and node not in self._learned:
            self._learned = {view.node: view for view in self._fleet().nodes if view.url}
        return self._configured.get(node) or self._learned.get(node)

    def _probe_path(self, shard: str) -> str:
        """A strong read of some key of this shard; the system shard has no keys of clients."""
        view = self._shard_view(shard)
        if view is None or view.first_slot >= view.end_slot:
            return f"/v1/shards/{quote(shard)}/role/leader"
        return f"/v1/kv/{key_in_slot(view.first_slot)}?consistency=strong"
