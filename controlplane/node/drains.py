"""Places that are to lead nothing: as kept in the system shard, and as every node heeds them.

Theory of operation. A drain is one record under `{placement}/drains/`, in partition `placement` of
the system shard. It names a node, a zone or a region, and how far it has come: shards whose names
are not behind `cursor` are released. The global leader moves the cursor, at a pace
(controlplane/planning/draining); each step is one entry, which is the order and its effect at once,
so that nothing is done twice, whoever goes on with it. Every node follows the records at its own
region's copy (controlplane/node/following), and heeds them by itself: a node of a drained place
comes last among candidates for any shard, and hands over what is released. A drained node may lead
a few shards all the same, its *canaries*, and comes first for them among the nodes of its region:
so it shows what it can do before it gets more (controlplane/node/canary). So failover waits for
nobody, and a shard that nobody else can lead stays served.

A record is never deleted: an `over` one says that its place leads again. Preferences are not
touched by a drain, so leaders go home when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from controlplane.node.following import SYSTEM
from regions.codec import as_bytes, pack, unpack

if TYPE_CHECKING:
    from controlplane.node.node import Node

PARTITION: Final = "placement"
PREFIX: Final = "{placement}/drains/"


class Scope(StrEnum):
    """What is drained as a whole."""

    NODE = "node"
    ZONE = "zone"
    REGION = "region"


class DrainState(StrEnum):
    """How far a drain is."""

    DRAINING = "draining"
    DRAINED = "drained"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a node stands; `zone` is "" where the topology names none."""

    node: str
    region: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """One place that is to lead nothing, and how far it is; times are of the wall clock.

    `name` is that of the node or region; a zone is `name` of region `within`.
    """

    scope: Scope
    name: str
    within: str
    state: DrainState
    principal: str
    reason: str
    began_wall_ms: int
    deadline_wall_ms: int | None
    added_p99_ms: int | None
    total: int
    """Shards that it led when the drain began."""
    cursor: str = ""
    is_whole: bool = False
    """Everything is released, the system shard too."""
    ended_wall_ms: int | None = None
    canaries: tuple[str, ...] = ()
    """Shards that a drained node leads all the same."""

    @property
    def key(self) -> str:
        """Where it is kept."""
        return drain_key(self.scope, self.name, self.within)

    @property
    def is_on(self) -> bool:
        """Whether its place is to lead nothing."""
        return self.state is not DrainState.OVER

    def covers(self, site: Site) -> bool:
        """Whether a node stands there."""
        match self.scope:
            case Scope.NODE:
                return site.node == self.name
            case Scope.ZONE:
                return (site.region, site.zone) == (self.within, self.name)
            case Scope.REGION:
                return site.region == self.name

    def releases(self, shard: str) -> bool:
        """Whether a shard led there is to be handed over by now."""
        if shard in self.canaries:
            return False
        return self.is_whole or (shard != SYSTEM and shard <= self.cursor)

    def packed(self) -> bytes:
        """As kept in the system shard; older nodes read what has no canaries."""
        return pack(
            [
                self.state.value, self.principal, self.reason, self.began_wall_ms,
                self.deadline_wall_ms, self.added_p99_ms, self.total, self.cursor,
                self.is_whole, self.ended_wall_ms, *([list(self.canaries)] * bool(self.canaries)),
            ]
        )  # fmt: skip


def drain_key(scope: Scope, name: str, within: str = "") -> str:
    """Where the drain of a place is kept."""
    place = f"{within}/{name}" if scope is Scope.ZONE else name
    return f"{PREFIX}{scope.value}/{place}"


def read_drain(key: str, value: bytes | str) -> Drain:
    """From the system shard; raises ValueError when it is no drain."""
    word, _, place = key.removeprefix(PREFIX).partition("/")
    scope = Scope(word)
    within, _, name = place.rpartition("/") if scope is Scope.ZONE else ("", "", place)
    match unpack(as_bytes(value)):
        case [
            str() as state, str() as principal, str() as reason, int() as began_ms,
            int() | None as deadline_ms, int() | None as added_ms, int() as total,
            str() as cursor, bool() as is_whole, int() | None as ended_ms, *more,
        ] if len(more) <= 1:  # fmt: skip
            canaries = tuple(str(shard) for each in more for shard in each)
            return Drain(
                scope, name, within, DrainState(state), principal, reason, began_ms, deadline_ms,
                added_ms, total, cursor, is_whole, ended_ms, canaries,
            )  # fmt: skip
    raise ValueError("this is no drain")


def drained_nodes(drains: Iterable[Drain], sites: Iterable[Site]) -> frozenset[str]:
    """Nodes that are to lead nothing."""
    on = [drain for drain in drains if drain.is_on]
    return frozenset(site.node for site in sites if any(each.covers(site) for each in on))


class Drains:
    """What one node knows of drains, and what follows for it."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, tuple[Drain, int]] = {}
        here = node.plan
        self._sites = {peer.node: Site(peer.node, peer.region, peer.zone) for peer in here.peers}
        self._sites[here.node] = Site(here.node, here.region, here.zone)
        self.revision = 0
        """Grows with every change."""

    def begun(self) -> None:
        """What is known stays in force."""

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A drain is so."""
        known = self._known.get(key)
        if known is not None and known[1] >= version:
            return
        try:
            drain = read_drain(key, value)
        except ValueError as complaint:
            detail = {"key": key, "why": str(complaint)}
            self._node.happened("drain-unreadable", SYSTEM, 0, detail)
            return
        self._known[key] = (drain, version)
        self.revision += 1
        self._node.rebalance.wake(self._node.now_ms)
        if known is None or known[0].state is not drain.state:
            detail = {"place": key.removeprefix(PREFIX), "state": drain.state.value}
            self._node.happened("drain", SYSTEM, 0, detail)

    def deleted(self, key: str, version: int) -> None:
        """No record is deleted; one that is all the same counts for nothing."""
        known = self._known.get(key)
        if known is not None and known[1] < version:
            over = replace(known[0], state=DrainState.OVER)
            self._known[key] = (over, version)
            self.revision += 1

    def scanned(self) -> None:
        """Nothing depends on knowing all of them."""

    def known(self) -> tuple[tuple[Drain, int], ...]:
        """Every record with its version, by key."""
        return tuple(self._known[key] for key in sorted(self._known))

    def site(self, node: str, region: str) -> Site:
        """Where a node stands; one that nobody configured is in no known zone."""
        return self._sites.get(node) or Site(node, region)

    def avoids(self, node: str, region: str, shard: str = "") -> bool:
        """Whether a node is to lead nothing, or not this shard."""
        site = self.site(node, region)
        return any(
            drain.is_on and drain.covers(site)
            and (shard not in drain.canaries or self._hands_back(node))
            for drain, _ in self._known.values()
        )  # fmt: skip

    def releases(self, shard: str, node: str, region: str) -> bool:
        """Whether a node that is to lead nothing is to hand over this shard by now."""
        site = self.site(node, region)
        return any(
            drain.is_on and drain.covers(site)
            and (drain.releases(shard) or (self._hands_back(node) and shard in drain.canaries))
            for drain, _ in self._known.values()
        )  # fmt: skip

    def canaries_since(self, node: str) -> int:
        """The version of the record that gives a node canaries, 0 if none does."""
        known = self._known.get(drain_key(Scope.NODE, node))
        if known is None or not known[0].is_on or not known[0].canaries:
            return 0
        return known[1]

    @property
    def is_leaving(self) -> bool:
        """Whether this node's place is being drained."""
        here = self._sites[self._node.plan.node]
        return any(
            drain.state is DrainState.DRAINING and drain.covers(here)
            for drain, _ in self._known.values()
        )

    def heed_anew(self, now_ms: int) -> None:
        """What follows from the records for this node is not what it was."""
        self.revision += 1
        self._node.rebalance.wake(now_ms)

    def _hands_back(self, node: str) -> bool:
        return node == self._node.plan.node and self._node.canary.unsteady is not None
