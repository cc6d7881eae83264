"""Shards that are to be led by one node: statically, and what lets another one lead instead.

Theory of operation. The document `constraints` pins a shard to a node. That node comes first among
its candidates and is given the shard back when it can be trusted. What others may do when it is not
there is the pin's `failover`. With `lease` it is as ever: they take over when the lease has run
out. With `probe` they also ask the node, at its front door, for that very shard, and stand only
when it failed to serve FAILURES_MIN times in a row. With `operator` they do not stand at all, until
an operator pins the shard elsewhere, or hands it over. Whatever is decided here, who leads is
decided by the stores: a pin keeps candidates back, it never makes a leader.

A shard that was split, merged or moved goes on under other names, and stays pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from config.document import Kind
from config.revision import Revision
from config.shard_rules import nearest
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


def _read_pin(entry: Mapping[str, Any]) -> Pin:
    return Pin(entry["node"], Failover(entry.get("failover", "lease")))


class Pins:
    """The pins in force here, and probes of pinned nodes that are missed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._read: tuple[Revision | None, int] | None = None
        self._entries: Mapping[str, dict[str, Any]] = {}
        self._pins: dict[str, Pin | None] = {}  # of shards that were asked for
        self._probed: dict[str, _Probed] = {}

    def of(self, shard: str) -> Pin | None:
        """The pin of a shard: its own, or that of the nearest shard that it continues."""
        reshardings = self._node.reshardings
        read = (self._node.feed.get(Kind.CONSTRAINTS.value), reshardings.lineage)
        if read != self._read:
            self._read, self._pins = read, {}
            pins = () if read[0] is None else read[0].content.get("pins", ())
            self._entries = {pin["shard"]: pin for pin in pins}
            self._probed = {s: p for s, p in self._probed.items() if self.of(s) is not None}
        if not self._entries:
            return None
        if shard not in self._pins:
            entry = nearest(self._entries, reshardings.names(shard))
            self._pins[shard] = None if entry is None else _read_pin(entry)
        return self._pins[shard]

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
