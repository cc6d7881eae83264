"""Where stores are: as the topology says, else as documents of regions do, else as nodes tell.

Theory of operation. What the topology says of a store stands. Another store is known, and a lane to
it can be had, as soon as this region's copy of the system shard shows a document of a region that
gives its address. Such a store is a spare like one of the topology: it may be taken into groups.

That copy may be behind, or be at a store which left its group for the very store whose address it
would tell. So nodes tell each other where the stores of their groups are, as far as the topology
does not say it. It is believed until a document says otherwise: an address is no more than where to
try, and who answers there has to show that it is the incarnation which is meant.

A store that neither a document nor a node tells of any more is forgotten, and its lanes are closed;
but not as long as it belongs to a group here, or is about to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from config.document import Kind, kind_of, region_of
from config.revision import Revision
from config.store_places import stores_placed
from controlplane.machine import Locate
from controlplane.node_plan import Place
from regions.store import StoreAddress

if TYPE_CHECKING:
    from controlplane.node.node import Node

LOOK_EVERY_MS = 1_000
FORGET_AFTER_MS = 10_000
PLACES_MAX = 500
PORT_MAX = 65_535
NAME = re.compile(r"[a-z0-9-]{1,63}")
HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


class Sites:
    """What one node knows of where stores are."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self.places: dict[str, Place] = dict(node.plan.places)
        self._documented: dict[str, dict[str, Place]] = {}  # by region, then by store
        self._told_ms = {store: now_ms for store, place in self.places.items() if place.learned}
        self._next_ms = now_ms + LOOK_EVERY_MS

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do; None while all is as the topology says."""
        return self._next_ms if self._learned() else None

    def advance(self, now_ms: int) -> None:
        """Forget stores that nobody tells of any more, when it is time to look."""
        if now_ms < self._next_ms or not self._learned():
            return
        self._next_ms = now_ms + LOOK_EVERY_MS
        oldest_ms = now_ms - FORGET_AFTER_MS
        self._told_ms = {store: ms for store, ms in self._told_ms.items() if ms >= oldest_ms}
        self._forget_needless()

    def _learned(self) -> list[str]:
        return [store for store, place in self.places.items() if place.learned]

    # -- what documents say

    def documented(self, revision: Revision) -> None:
        """This revision is in force from now on."""
        if kind_of(revision.name) is not Kind.REGION:
            return
        region = region_of(revision.name)
        content = {} if revision.deleted else revision.content
        self._documented[region] = {
            store: Place(region, zone, address, learned=True)
            for store, zone, address in stores_placed(content)
        }
        for store, place in self._documented[region].items():
            self._told_ms.pop(store, None)
            self._take(store, place)
        self._forget_needless()

    def forgotten(self, name: str) -> None:
        """A document is not even remembered any more."""
        if kind_of(name) is Kind.REGION and region_of(name) in self._documented:
            del self._documented[region_of(name)]
            self._forget_needless()

    def _is_documented(self, store: str) -> bool:
        return any(store in places for places in self._documented.values())

    # -- what nodes tell each other

    def told_of(self) -> list[list[Any]]:
        """The stores of groups whose place the topology does not say, for other nodes."""
        used = {lane.store for group in self._node.groups.values() for lane in group.lanes}
        rows: list[list[Any]] = []
        for store in self._learned():
            place = self.places[store]
            if store in used and place.address is not None:
                at = place.address
                rows.append([store, place.region, place.zone, at.host, at.port, at.tls])
        return rows[:PLACES_MAX]

    def heard(self, rows: Any, now_ms: int) -> None:
        """Take what another node tells; what has not its shape is ignored."""
        for row in rows[:PLACES_MAX] if isinstance(rows, list) else ():
            match row:
                case [str(store), str(region), str(zone), str(host), int(port), bool(tls)] if (
                    all(NAME.fullmatch(name) for name in (store, region, zone))
                    and HOST.fullmatch(host) and 0 < port <= PORT_MAX
                ):  # fmt: skip
                    known = self.places.get(store)
                    if (known is not None and not known.learned) or self._is_documented(store):
                        continue
                    self._told_ms[store] = now_ms
                    self._take(store, Place(region, zone, StoreAddress(host, port, tls=tls), True))

    # -- what is done

    def _take(self, store: str, place: Place) -> None:
        known = self.places.get(store)
        if known is not None and not known.learned:
            return
        self.places[store] = place
        if known is None or known.address != place.address:
            self._node.out.append(Locate(store, place.address))

    def _forget_needless(self) -> None:
        for store in self._learned():
            if not (store in self._told_ms or self._is_documented(store) or self._is_used(store)):
                del self.places[store]
                self._node.out.append(Locate(store, None))

    def _is_used(self, store: str) -> bool:
        """Whether a group has the store, or a change that is on here wants it."""
        for group in self._node.groups.values():
            change = self._node.changes.view(group.group)
            wanted = () if change is None else (*change.voters, *change.followers)
            if store in wanted or any(lane.store == store for lane in group.lanes):
                return True
        return False
