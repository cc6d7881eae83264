"""Where a request goes: from a key to its shard, and from a shard to the node that can answer.

The routing table is the shard map made fit for lookups: shards by slot. Who leads a shard changes
far more often than which slots it has, so leaders are not in the table: they come from the node's
own knowledge at the moment of the request, or from a *hint* that another node gave. Of two claims
the one with the higher epoch is right, wherever it was learnt; epochs are never shared.

`decide` is the whole decision for one request at one node. What needs the leader goes to the
leader; the rest stays at home, unless home could not answer. While nobody is known to lead, the
node itself is asked: it may be about to, and knows what the election waits for. A request is passed
on at most once: a node that gets it second-hand and cannot serve it says who leads, and the first
node decides again, with what it has just learnt. So a request never circles, however wrong the
tables are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final, Protocol, TypeAlias

from shards.keyspace import SLOTS, key_slot

HOPS_MAX: Final = 1
"""How often a request may be passed on between nodes."""
NODE_PREFIX: Final = "node/"
"""No region has such a name."""


def kept_preference(regions: Sequence[str], node: str) -> list[str]:
    """Regions by preference and the node that is preferred in the first, "" for none, as they are
    kept: who does not know of nodes takes one for a region without nodes."""
    return [NODE_PREFIX + node, *regions] if node else list(regions)


def preference_of(kept: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The same as it was kept; a node counts only where it comes first."""
    node = kept[0].removeprefix(NODE_PREFIX) if kept and kept[0].startswith(NODE_PREFIX) else ""
    return tuple(each for each in kept if not each.startswith(NODE_PREFIX)), node


@dataclass(frozen=True, slots=True)
class SlotRange:
    """One shard of the map: it has the slots [first_slot, end_slot)."""

    first_slot: int
    end_slot: int
    shard: str


class RoutingTable:
    """Which shard has which slot. Immutable: another map is another table.

    Ranges must not overlap (AssertionError); a gap answers None. Empty ranges, such as the system
    shard's, are left out: no key leads there.
    """

    __slots__ = ("_first_slots", "_ranges", "map_version")

    def __init__(self, ranges: Iterable[SlotRange], map_version: int) -> None:
        used = sorted((r for r in ranges if r.first_slot < r.end_slot), key=lambda r: r.first_slot)
        for left, right in pairwise(used):
            assert left.end_slot <= right.first_slot, f"{left.shard} and {right.shard} overlap"
        assert not used or used[0].first_slot >= 0, "a slot below 0"
        assert not used or used[-1].end_slot <= SLOTS, f"a slot beyond {SLOTS - 1}"
        self._first_slots = [r.first_slot for r in used]
        self._ranges = used
        self.map_version = map_version

    def shard_of_slot(self, slot: int) -> str | None:
        """The shard that has this slot."""
        at = bisect_right(self._first_slots, slot) - 1
        if at < 0:
            return None
        found = self._ranges[at]
        return found.shard if slot < found.end_slot else None

    def shard_of(self, key: str) -> str | None:
        """The shard that has this key."""
        return self.shard_of_slot(key_slot(key))


@dataclass(frozen=True, slots=True)
class Target:
    """A node that leads a shard, as somebody claims, at this epoch."""

    node: str
    region: str
    url: str
    epoch: int


class Hints:
    """What other nodes said of leaders, as long as it is newer than what is known here.

    At most one claim for each shard asked about, so it never outgrows the shard map.
    """

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: dict[str, Target] = {}

    def __bool__(self) -> bool:
        """True when there is any claim at all: mostly there is none, and nothing to compare."""
        return bool(self._claims)

    def learn(self, shard: str, claim: Target) -> bool:
        """Remember a claim; True when it is newer than the one remembered."""
        known = self._claims.get(shard)
        if known is not None and known.epoch >= claim.epoch:
            return False
        self._claims[shard] = claim
        return True

    def leader(self, shard: str, known: Target | None, known_epoch: int) -> Target | None:
        """Who leads: `known` here at `known_epoch`, unless a newer claim was learnt.

        A claim that this node's own knowledge has caught up with is forgotten.
        """
        claim = self._claims.get(shard)
        if claim is None:
            return known
        if claim.epoch > known_epoch:
            return claim
        if claim.epoch < known_epoch or known is not None:
            del self._claims[shard]
            return known
        return claim


@dataclass(frozen=True, slots=True)
class Asked:
    """What the decision needs to know of one request."""

    needs_leader: bool  # a write, a strong read, an order to the leader
    hops: int = 0  # how many nodes have passed it on already
    may_proxy: bool = True  # False: the client wants to be told where to go
    home_failed: bool = False  # the replica of this region could not answer it


class Why(Enum):
    """Why a node refuses to route a request."""

    NO_LEADER = "home could not answer, and no leader is known"
    NOT_LEADER = "this node does not lead the shard, and the request was passed on already"
    UNREACHABLE = "the leader cannot be reached from this node"


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer here."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request on to the leader, and its answer back."""

    target: Target


@dataclass(frozen=True, slots=True)
class Redirect:
    """Tell the client to ask the leader itself."""

    target: Target


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no; `leader` is who is believed to lead, if anybody is."""

    why: Why
    leader: Target | None = None


Decision: TypeAlias = Serve | Forward | Redirect | Refuse


def decide(asked: Asked, here: str, leader: Target | None, failed: Collection[str]) -> Decision:
    """Say what node `here` does with a request for a shard that `leader` leads.

    `failed` names the nodes that could not be reached a moment ago: nothing is sent there. A client
    that wants to be redirected is sent to such a leader all the same: it may have another way.
    """
    if not asked.needs_leader and not asked.home_failed:
        return Serve()
    if leader is None:
        return Refuse(Why.NO_LEADER) if asked.home_failed else Serve()
    if leader.node == here:
        return Serve()
    if asked.hops >= HOPS_MAX:
        return Refuse(Why.NOT_LEADER, leader)
    if not asked.may_proxy:
        return Redirect(leader)
    if leader.node in failed:
        return Refuse(Why.UNREACHABLE, leader)
    return Forward(leader)


class Replica(Protocol):
    """A region's copy of a shard, and the node to ask for it."""

    @property
    def node(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def position(self) -> int | None: ...
    @property
    def staleness_ms(self) -> int | None: ...


def nearest(
    replicas: Iterable[Replica], region: str, max_staleness_ms: int | None, sequence: int
) -> Replica | None:
    """The replica to read from in `region`: fresh and far enough as asked for, freshest first.

    A copy whose age or position is not known here counts as fit, behind those that are known to be:
    it checks by itself when it is asked, and passes the read on if it must. None when the region
    has no copy, or only such as are known not to do: then the leader is the one to ask.
    """
    best: Replica | None = None
    best_rank = (False, 0)
    for replica in replicas:
        at, age_ms = replica.position, replica.staleness_ms
        if replica.region != region or (at is not None and at < sequence):
            continue
        if age_ms is not None and max_staleness_ms is not None and age_ms > max_staleness_ms:
            continue
        unsure = age_ms is None or (at is None and sequence > 0)
        rank = (unsure, age_ms or 0)
        if best is None or rank < best_rank:
            best, best_rank = replica, rank
    return best
