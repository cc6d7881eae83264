"""Shards that are to be led by one node: statically, and what lets another one lead instead.

Theory of operation. The document `constraints` pins a shard to a node. That node comes first among
its candidates and is given the shard back when it can be trusted. What others may do when it is not
there is the pin's `failover`. With `lease` it is as ever: they take over when the lease has run
out. With `probe` they also ask the node, at its front door, for that very shard, and stand only
when it failed to serve FAILURES_MIN times in a row. With `operator` they do not stand at all, until
an operator pins the shard elsewhere, or hands it over. Whatever is decided here, who leads is
decided by the stores: a pin keeps candidates back, it never makes a leader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from config.document import Kind
from controlplane.machine import Probe

if TYPE_CHECKING:
    from controlplane.node.node import Node

FAILURES_MIN: Final = 4
PROBE_EVERY_MS: Final = 500
PROBE_TIMEOUT_MS: Final = 400


class Failover(StrEnum):
    """What lets another node lead a pinned shard."""

    LEASE = "lease"
    PROBE = "probe"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Pin:
    """Who is to lead a shard."""

    node: str
    failover: Failover


@dataclass(slots=True)
class _Probed:
    """What asking a pinned node for one shard has met."""

    next_ms: int
    failures: int = 0


class Pins:
    """The pins in force here, and probes of pinned nodes that are missed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._read: Mapping[str, Any] | None = None
        self._pins: Mapping[str, Pin] = {}
        self._probed: dict[str, _Probed] = {}

    def of(self, shard: str) -> Pin | None:
        """The pin of a shard, or of one that it continues."""
        content = self._node.feed.content(Kind.CONSTRAINTS)
        if content is not self._read:
            self._read = content
            entries = content.get("pins", [])
            self._pins = {
                entry["shard"]: Pin(entry["node"], Failover(entry.get("failover", "lease")))
                for entry in entries
            }
            self._probed = {s: p for s, p in self._probed.items() if s in self._pins}
        if not self._pins:
            return None
        names = (shard, *self._node.reshardings.ancestors(shard))
        return next((self._pins[name] for name in names if name in self._pins), None)

    def holds_back(self, shard: str, now_ms: int) -> str:
        """Why this node is not to stand for a shard that is open; empty if it may."""
        pin = self.of(shard)
        if pin is None or pin.node == self._node.plan.node or pin.failover is Failover.LEASE:
            return ""
        if pin.failover is Failover.OPERATOR:
            return f"it is pinned to {pin.node}, and only an operator lets another node lead it"
        probed = self._probed.setdefault(shard, _Probed(now_ms))
        if now_ms >= probed.next_ms:
            probed.next_ms = now_ms + PROBE_EVERY_MS
            self._probe(pin.node, shard, now_ms)
        if probed.failures >= FAILURES_MIN:
            return ""
        return f"it is pinned to {pin.node}: {probed.failures} of {FAILURES_MIN} probes failed"

    def probed(self, node: str, shard: str, served: bool) -> None:
        """A probe ended."""
        found, pin = self._probed.get(shard), self.of(shard)
        if found is not None and pin is not None and pin.node == node:
            found.failures = 0 if served else found.failures + 1

    def _probe(self, node: str, shard: str, now_ms: int) -> None:
        url = next((p.url for p in self._node.census.peers(now_ms) if p.node == node), None)
        if url is None:
            self.probed(node, shard, served=False)  # nobody knows where it would be
        else:
            self._node.out.append(Probe(node, url, shard, PROBE_TIMEOUT_MS))
