"""What other nodes say of stores: shown to people, and remembered of stores that go back in time.

Every node tells a few random others what it sees of its own stores. So any node can show the whole
fleet, each line with its age; a line that nobody has repeated for a while is dropped. The same goes
for stores that a shard's leader found to hold other data than their peers.

Nothing is believed of a store because somebody says it, but one thing: how far it was seen to have
come. A store that is not so far any more has been rolled back, also for a node that never saw it
later itself (controlplane/node/lane).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.machine import Tell

if TYPE_CHECKING:
    from controlplane.node.node import Node

TELL_EVERY_MS = 1_000
LISTENERS_MAX = 6
STORES_MAX = 1_000
FORGET_AFTER_MS = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """One store as another node saw it, at the time this node was told."""

    told_ms: int
    up: bool
    why: str
    opseq: int
    round_trip_ms: int


class Hearsay:
    """Reports told and heard by one node."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._reports: dict[str, Report] = {}
        self._differing: dict[tuple[str, str], int] = {}  # (store, shard): when this was told
        self._next_ms = now_ms

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    def advance(self, now_ms: int) -> None:
        """Tell some others, when it is time."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + TELL_EVERY_MS
        peers = [peer.node for peer in self._node.census.peers(now_ms)]
        start = int(self._node.draw() * len(peers))
        room = self._node.headroom
        stores = [
            [x.store, x.is_up, x.refusal or room.why(x), x.opseq, x.round_trip_ms, x.incarnation]
            for x in self._node.lanes.values()
        ]
        differing = [[store, shard] for shard, store in self._node.digests.diverged]
        message = {
            "kind": "stores",
            "stores": stores,
            "differing": differing[:STORES_MAX],
            "changing": self._node.changes.at_work,
            "nodes": self._node.census.told_of(now_ms),
            "places": self._node.sites.told_of(),
        }
        for peer in (peers[start:] + peers[:start])[:LISTENERS_MAX]:
            self._node.out.append(Tell(peer, message))

    def heard(self, stores: Any, differing: Any, now_ms: int) -> None:
        """Take another node's reports; what has not their shape is ignored."""
        for pair in differing[:STORES_MAX] if isinstance(differing, list) else ():
            match pair:
                case [str(store), str(shard)]:
                    self._differing[store, shard] = now_ms
        for report in stores[:STORES_MAX] if isinstance(stores, list) else ():
            match report:
                case [
                    str() as store, bool() as up, str() as why,
                    int() as opseq, int() as trip_ms, str() as incarnation,
                ]:  # fmt: skip
                    self._reports[store] = Report(now_ms, up, why, opseq, trip_ms)
                    lane = self._node.lanes.get(store)
                    if lane is not None and lane.incarnation == incarnation:
                        lane.told(opseq, now_ms)

    def differing(self, store: str, now_ms: int) -> list[str]:
        """Shards of which a store holds something else than the others, as their leaders say."""
        self._differing = {
            known: told_ms for known, told_ms in self._differing.items()
            if now_ms - told_ms <= FORGET_AFTER_MS
        }  # fmt: skip
        return [shard for known, shard in self._differing if known == store]

    def of(self, store: str, now_ms: int) -> Report | None:
        """The newest report of a store, if it is not too old."""
        report = self._reports.get(store)
        if report is None or now_ms - report.told_ms > FORGET_AFTER_MS:
            return None
        return report
