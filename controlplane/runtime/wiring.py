"""The lanes of a node process to all its stores, and the ways to its peers.

It carries the core's effects to the lane or the peer that they concern. A store of which the core
says where it is has a bulk lane, which connects when there is something to fetch and takes the
store as it is: every call on it names the incarnation that it is meant for. It has an ordered lane,
to exactly one incarnation, as long as the core wants it to.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from controlplane.machine import (
    Call,
    Drop,
    Event,
    Fetch,
    Fetched,
    Headroom,
    Locate,
    Probe,
    Rewire,
    Tell,
)
from controlplane.node_plan import Place
from controlplane.runtime.headroom import watch_headroom
from controlplane.runtime.lanes import BulkLane, OrderedLane
from controlplane.runtime.peers import Peers
from controlplane.store_lanes import lane_maker
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.request_spans import ShardSpans
from controlplane.telemetry.traffic import BULK, LANES
from regions.conversation import MakeLane
from regions.errors import StoreUnsuitable
from regions.store import ByteCount, StoreAddress, StoreIdentity

Refused = Callable[[str, StoreUnsuitable], None]


class Wiring:
    """Carries effects; every method returns at once and never raises."""

    def __init__(
        self,
        dial: Mapping[str, str],
        metrics: NodeMetrics,
        refused: Refused,
        looked: Callable[[Headroom], None],
        spans: ShardSpans | None = None,
        bytes_of: Callable[[str, str], ByteCount | None] = lambda store, kind: None,
    ) -> None:
        """`bytes_of` says where the bytes of a store's lanes are counted, by their kind."""
        self.peers: Peers | None = None
        self._dial = dial
        self._metrics = metrics
        self._refused = refused
        self._looked = looked
        self._spans = spans
        self._bytes_of = bytes_of
        self._addresses: dict[str, StoreAddress] = {}
        self._incarnations: dict[str, str] = {}  # of the stores that have an ordered lane
        self._ordered: dict[str, OrderedLane] = {}
        self._left_at: dict[str, int] = {}  # generations of lanes given up: the next go on there
        self._bulk: dict[str, BulkLane] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._post: Callable[[Event], None] = lambda event: None

    def open(
        self,
        places: Mapping[str, Place],
        incarnations: Mapping[str, str],
        post: Callable[[Event], None],
        group: asyncio.TaskGroup,
    ) -> None:
        """Take up lanes to these incarnations of stores, and bulk lanes to all there are."""
        self._group, self._post = group, post
        for store, place in places.items():
            self.locate(Locate(store, place.address))
        for store, incarnation in incarnations.items():
            self._open_ordered(store, incarnation)

    def close(self) -> None:
        """End every lane."""
        for name in tuple(self._tasks):
            self._cancel(name)

    # -- effects

    def call(self, effect: Call) -> None:
        """Send on an ordered lane."""
        self._metrics.stores.call_sent(effect.store)
        self._ordered[effect.store].call(effect)

    def drop(self, effect: Drop) -> None:
        """Give an ordered lane up; another one is opened."""
        if effect.store in self._ordered:
            self._ordered[effect.store].drop(effect)

    def rewire(self, effect: Rewire) -> None:
        """Keep the ordered lane to another incarnation, or to none."""
        store, lane = effect.store, self._ordered.get(effect.store)
        if not effect.incarnation:
            self._cancel(store)
            if self._spans is not None:
                self._spans.lost(store)
            if lane is not None:
                self._left_at[store] = lane.generation
                del self._ordered[store]
        elif lane is None:
            self._open_ordered(store, effect.incarnation)
        else:
            self._incarnations[store] = effect.incarnation
            lane.rewire(self._maker(store))

    def locate(self, effect: Locate) -> None:
        """Reach a store somewhere else from now on, or nowhere: then whoever asks is answered with
        nothing."""
        store, bulk = effect.store, self._bulk.pop(effect.store, None)
        self._addresses.pop(store, None)
        if bulk is not None:
            self._cancel(_bulk(store))
            bulk.close()
        if effect.address is None:
            return
        self._addresses[store] = effect.address
        make_lane = lane_maker(
            effect.address, self._dial, may_be_empty=True, byte_count=self._bytes_of(store, BULK)
        )
        self._bulk[store] = bulk = BulkLane(store, make_lane, post=self._post, draw=random.random)
        self._run(_bulk(store), bulk.run())
        if store in self._ordered:
            self._ordered[store].rewire(self._maker(store))

    def fetch(self, effect: Fetch) -> None:
        """Send on a bulk lane."""
        bulk = self._bulk.get(effect.store)
        if bulk is None:
            self._post(Fetched(effect.token, None))
        else:
            bulk.fetch(effect)

    def tell(self, effect: Tell) -> None:
        """Send to another node."""
        if self.peers is not None:
            self.peers.tell(effect)

    def probe(self, effect: Probe) -> None:
        """Ask another node at its front door."""
        if self.peers is not None:
            self.peers.probe(effect)

    # -- lanes

    def _maker(self, store: str) -> MakeLane:
        expected = StoreIdentity(store, self._incarnations[store])
        byte_count = self._bytes_of(store, LANES)
        return lane_maker(
            self._addresses[store], self._dial, expected=expected, byte_count=byte_count
        )

    def _open_ordered(self, store: str, incarnation: str) -> None:
        self._incarnations[store] = incarnation
        lane = OrderedLane(
            store,
            self._maker(store),
            post=self._post,
            refused=self._refused,
            lost=self._lane_lost,
            draw=random.random,
            renewed=self._metrics.stores.renewed,
            answered=self._metrics.stores.answers_of(store),
            traced=None if self._spans is None else self._spans.sent,
        )
        lane.generation = self._left_at.pop(store, 0)
        self._ordered[store] = lane
        self._run(store, lane.run())
        self._run(store, watch_headroom(store, lane, self._looked))

    def _lane_lost(self, store: str) -> None:
        self._metrics.stores.lane_lost(store)
        if self._spans is not None:
            self._spans.lost(store)

    def _run(self, name: str, running: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None, "lanes are opened in a task group"
        self._tasks.setdefault(name, []).append(self._group.create_task(running))

    def _cancel(self, name: str) -> None:
        for task in self._tasks.pop(name, ()):
            task.cancel()


def _bulk(store: str) -> str:
    """What the tasks of a bulk lane are kept under; no store has such a name."""
    return f"bulk/{store}"
