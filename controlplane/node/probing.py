"""Renewing is not serving: peers' leaders are asked through their front door, and revoked if
silent there.

Theory of operation. Once a second this node asks one random shard of one random peer for a strong
read, over the peer's public address. A peer that fails several times in a row, over more than a
TTL, while its session goes on renewing, is a leader that does not serve: its grants are revoked.
This node does that only if it can be sure that it is not itself the one that is cut off: some
other peer must have answered it meanwhile, if there is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from controlplane.machine import Probe
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import Evict
from regions.watch import Peer

if TYPE_CHECKING:
    from controlplane.node.node import Node

PROBE_EVERY_MS = 1_000
FAILURES_MIN = 4
SHARDS_TRIED = 4  # of one leader: a few, always the same, so that probing costs next to nothing
REVOKE_MAX = 100


@dataclass(slots=True)
class Record:
    """What probes of one node have met."""

    failures: int = 0
    first_failure_ms: int = 0
    served_ms: int | None = None


class Probing:
    """Probes of one node's peers."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._records: dict[str, Record] = {}
        self._next_ms = now_ms + PROBE_EVERY_MS

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Ask one peer, when it is time."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + PROBE_EVERY_MS - int(self._node.draw() * PROBE_EVERY_MS / 4)
        leaders = self._leaders(now_ms)
        if not leaders:
            return
        group, peer = leaders[int(self._node.draw() * len(leaders)) % len(leaders)]
        shards = nsmallest(SHARDS_TRIED, self._served(group, peer))
        if not shards:
            return
        shard = shards[int(self._node.draw() * len(shards)) % len(shards)]
        timeout_ms = max(300, group.times.ttl_ms // 4)
        self._node.out.append(Probe(peer.node, peer.url, shard, timeout_ms))

    def _served(self, group: Group, peer: Peer) -> list[str]:
        """What a peer holds and should serve: not what is closed, or about to be."""
        directory, reshardings = self._node.directory, self._node.reshardings
        held = group.by_holder[peer.sid]
        if not directory.is_known:
            return list(held)
        rows = directory.rows
        return [
            shard
            for shard in held
            if shard == SYSTEM
            or (shard in rows and reshardings.of_parent(shard, group.group) is None)
        ]

    def _leaders(self, now_ms: int) -> list[tuple[Group, Peer]]:
        found = []
        for group in self._node.groups.values():
            if group.session is None:
                continue
            for sid, peer in sorted(group.watch.peers(now_ms).items()):
                renews = peer.silent_ms < group.times.silent_ms
                if renews and group.by_holder.get(sid) and not group.is_mine(sid):
                    found.append((group, peer))
        return found

    def probed(self, node: str, shard: str, served: bool, now_ms: int) -> None:
        """A probe ended."""
        record = self._records.setdefault(node, Record())
        if served:
            record.failures = 0
            record.served_ms = now_ms
            return
        if record.failures == 0:
            record.first_failure_ms = now_ms
        record.failures += 1
        if record.failures < FAILURES_MIN or self._is_general():
            return
        for group, peer in self._leaders(now_ms):
            if peer.node == node and self._is_certain(record, node, group, now_ms):
                record.failures = 0  # others need time to take over before it is asked again
                self._revoke(group, peer, now_ms)

    def _is_general(self) -> bool:
        """Whether probes fail widely: then the fleet is overloaded, or this node is cut off.

        Moving leaders around would make an overload worse.
        """
        failing = sum(record.failures > 0 for record in self._records.values())
        return 2 * failing > max(2, len(self._records))

    def _is_certain(self, record: Record, node: str, group: Group, now_ms: int) -> bool:
        lasted_ms = now_ms - record.first_failure_ms
        if lasted_ms < group.times.ttl_ms:
            return False
        others = [r.served_ms for name, r in self._records.items() if name != node]
        since_ms = record.first_failure_ms
        return not others or any(ms is not None and ms >= since_ms for ms in others)

    def _revoke(self, group: Group, peer: Peer, now_ms: int) -> None:
        reason = f"{peer.node} renews but does not serve"
        self._node.happened("probe-failed", "", 0, {"node": peer.node, "group": group.group})
        for shard in sorted(group.by_holder.get(peer.sid, ()))[:REVOKE_MAX]:
            request = Evict(shard, f"node:{self._node.plan.node}", reason)
            self._node.transfers.evict(group, request, -1, now_ms)
