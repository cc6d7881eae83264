"""The one step that every planned move of a leader passes at the global leader.

Theory of operation. Whoever wants a shard moved (a plan, a drain, an operator) asks `judge`, and
does it only if the answer is no hindrance; then it tells what came of it: `Began`, and later
`Arrived` or `Failed`. What comes first, comes first: a move of a higher kind takes a shard over
from one of a lower kind, and leaves it no room where there is room for one. Safety waits for
nothing; drains wait for no budget of moves but for their own pace, and for no cold start; what a
person orders is done now, within the hard limits, or refused; nothing optional is done twice to a
shard within its residence, nor in a region in which a rollout is at work: what the gates see there
is to be its doing. A shard that was drained away, or lost, may come home all the same.

Moves that have begun count as done in the scores of nodes: what is on its way to one, it has
already; what is on its way from one, it has not any more. One that does not arrive in time has
failed (`advance` says so), and its shard is left alone for a while, longer each time.

A node that fell silent and came back is suspect for a while: it keeps what it leads and is given
nothing. A node that goes down after it was given shards may have gone down of them: when that
happened to a share of the fleet, whatever was moved of late is left where it is (the brake). A new
global leader moves nothing optional until it knows the fleet.

All times are of one clock of the caller. What must outlive a global leader is not kept here: when a
shard was last moved is told by `Remembered`, what the brake counts by `Crashed` and then `Given`
(`crashes` and `given` are to be kept), who is to lead nothing by `NodesSeen`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from controlplane.planning.bucket import Bucket
from controlplane.planning.limits import Limits
from controlplane.planning.proceedings import (
    Arrived,
    Began,
    Crashed,
    Ended,
    Event,
    Failed,
    Given,
    Held,
    NodeSeen,
    NodesSeen,
    OnItsWay,
    Released,
    Remembered,
    Reported,
    RolledOut,
    Standing,
    Withdrawn,
)
from controlplane.planning.reasons import Hindrance, MoveKind, Wanted

COOL_DOUBLINGS_MAX: Final = 6
_BULK: Final = " bulk"
CRASHES_MAX: Final = 64
CRASH_SHARDS_MAX: Final = 100
"""So many crashes are counted, the newest, each with so many of the shards."""

Scope: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Shard:
    """What is remembered of one shard."""

    moved_ms: int | None = None
    kind: MoveKind | None = None  # why it was
    node: str = ""  # which node took it
    failures: int = 0
    cool_until_ms: int = 0


@dataclass(slots=True)
class _Node:
    seen: NodeSeen
    suspect_until_ms: int = 0
    given_ms: int | None = None  # when it was last given a shard


class Admission:
    """The machine of one global leader."""

    def __init__(
        self, limits: Limits, stood_ms: int, results: Counter[tuple[str, ...]] | None = None
    ) -> None:
        """This node leads the system shard since `stood_ms`. What comes of moves is counted in
        `results`, by what they were for."""
        self.limits = limits
        self._results: Counter[tuple[str, ...]] = Counter() if results is None else results
        self._stood_ms = stood_ms
        self._is_known = False
        self._held_until_ms: int | None = None
        self._rolled_out: frozenset[str] = frozenset()
        self._nodes: dict[str, _Node] = {}
        self._shards: dict[str, _Shard] = {}
        self._on_way: dict[str, OnItsWay] = {}
        self._beside: dict[str, OnItsWay] = {}  # copied, while its leader moves
        self._counts: Counter[Scope] = Counter()
        self._buckets: dict[Scope, Bucket] = {}
        self._crashes: list[Crashed] = []
        self._ended: list[Ended] = []

    # -- what happened

    def step(self, event: Event, now_ms: int) -> None:
        """Take one thing that happened."""
        match event:
            case Reported():
                self._is_known = True
            case NodesSeen(nodes):
                self._nodes_seen(nodes, now_ms)
            case Remembered():
                self._remembered(event, now_ms)
            case Crashed():
                self._crashed(event)
            case Released():
                for crash in self._crashes:
                    if crash.node in self._nodes:
                        self._nodes[crash.node].given_ms = None
                self._crashes.clear()
            case Given(node, at_ms):
                self._given(node, at_ms, now_ms)
            case Held(until_ms):
                self._held_until_ms = until_ms
            case RolledOut(regions):
                self._rolled_out = regions
            case Began(wanted):
                self._began(wanted, now_ms)
            case Withdrawn(shard):
                self._over(shard)
            case Arrived(shard, node):
                self._arrived(shard, node, now_ms)
            case Failed(shard):
                self._failed(shard, now_ms)

    def advance(self, now_ms: int) -> None:
        """Give up what should have arrived by now, and forget what is old."""
        for shard, move in list(self._on_way.items()):
            if now_ms - move.began_ms >= self.limits.finish_ms(move.wanted.kind):
                self._ended.append(Ended(move.wanted, Hindrance.NOT_FINISHED))
                self._failed(shard, now_ms)
        window_ms = self.limits.brake_window_ms
        self._crashes = [crash for crash in self._crashes if now_ms - crash.at_ms < window_ms]
        longest_ms = max(window_ms, self.limits.residence_ms)
        for shard, known in list(self._shards.items()):
            moved = known.moved_ms is not None and now_ms - known.moved_ms < longest_ms
            cools = now_ms < known.cool_until_ms + longest_ms and known.failures > 0
            if not moved and not cools:
                del self._shards[shard]

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do."""
        ends = [m.began_ms + self.limits.finish_ms(m.wanted.kind) for m in self._on_way.values()]
        return min(ends, default=None)

    def take(self) -> list[Ended]:
        """Moves that are over and did not arrive, since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def _nodes_seen(self, nodes: tuple[NodeSeen, ...], now_ms: int) -> None:
        for seen in nodes:
            known = self._nodes.setdefault(seen.node, _Node(seen))
            before, known.seen = known.seen, seen
            went = before.is_alive and not seen.is_alive
            if went and self._is_meant(known, now_ms):
                self._crashed(Crashed(seen.node, now_ms, self._given_to(seen.node)))
            if seen.is_suspect or (seen.is_alive and not before.is_alive):
                known.suspect_until_ms = now_ms + self.limits.suspect_ms
        present = {seen.node for seen in nodes}
        self._nodes = {name: node for name, node in self._nodes.items() if name in present}

    def _is_meant(self, node: _Node, now_ms: int) -> bool:
        """Whether the brake counts it when this node goes down."""
        if node.given_ms is None or node.seen.is_drained or node.seen.is_stopping:
            return False
        return now_ms - node.given_ms < self.limits.brake_window_ms

    def _remembered(self, event: Remembered, now_ms: int) -> None:
        known = self._shards.setdefault(event.shard, _Shard())
        known.moved_ms = max(event.at_ms, known.moved_ms or event.at_ms)
        known.node = event.node
        node = self._nodes.get(event.node)
        if node is None:
            return
        is_news, node.given_ms = node.given_ms is None, max(event.at_ms, node.given_ms or 0)
        if is_news and not node.seen.is_alive and self._is_meant(node, now_ms):
            self._crashed(Crashed(event.node, now_ms, (event.shard,)))  # before this node led

    def _crashed(self, crash: Crashed) -> None:
        self._crashes = [*self._crashes, crash][-CRASHES_MAX:]
        for shard in crash.shards:
            known = self._shards.setdefault(shard, _Shard())
            known.moved_ms = max(crash.at_ms, known.moved_ms or crash.at_ms)
            known.node = known.node or crash.node

    def _given(self, name: str, at_ms: int, now_ms: int) -> None:
        """What another global leader gave; it may have crashed when nobody led."""
        node = self._nodes.get(name)
        if node is None:
            return
        node.given_ms = max(at_ms, node.given_ms or at_ms)
        is_counted = any(c.node == name and c.at_ms >= at_ms for c in self._crashes)
        if not node.seen.is_alive and not is_counted and self._is_meant(node, now_ms):
            self._crashed(Crashed(name, now_ms, ()))

    def _given_to(self, node: str) -> tuple[str, ...]:
        """The shards that a node was given of late, the last ones first."""
        found = [
            (known.moved_ms, shard)
            for shard, known in self._shards.items()
            if known.node == node and known.moved_ms is not None
        ]  # fmt: skip
        return tuple(shard for _, shard in sorted(found, reverse=True)[:CRASH_SHARDS_MAX])

    def _began(self, wanted: Wanted, now_ms: int) -> None:
        before = self._on_way.pop(wanted.shard, None)
        copied = before is not None and before.wanted.kind is MoveKind.BULK
        if before is not None and copied and wanted.kind is not MoveKind.BULK:
            self._beside[wanted.shard] = before
        elif before is not None:
            self._count(before.wanted, -1)
            self._ended.append(Ended(before.wanted, Hindrance.OVERTAKEN))
        self._on_way[wanted.shard] = OnItsWay(wanted, now_ms)
        self._count(wanted, 1)
        self._results[wanted.kind.value, "begun"] += 1
        for scope, rate, cost in self._rates(wanted):
            bucket = self._bucket(scope)
            bucket.fill(rate, now_ms)
            bucket.take(cost)

    def _over(self, shard: str) -> OnItsWay | None:
        """The move of a shard that is over now; what it moved beside goes on as it was."""
        move, beside = self._on_way.pop(shard, None), self._beside.pop(shard, None)
        if move is not None:
            self._count(move.wanted, -1)
        if beside is not None:
            self._on_way[shard] = beside
        return move

    def _arrived(self, shard: str, node: str, now_ms: int) -> None:
        move = self._over(shard)
        if move is None:
            return
        self._results[move.wanted.kind.value, "arrived"] += 1
        self._shards[shard] = _Shard(now_ms, move.wanted.kind, node)
        if node in self._nodes:
            self._nodes[node].given_ms = now_ms

    def _failed(self, shard: str, now_ms: int) -> None:
        move = self._over(shard)
        if move is None:
            return
        self._results[move.wanted.kind.value, "failed"] += 1
        known = self._shards.setdefault(shard, _Shard())
        cool_ms = self.limits.cool_down_ms << min(known.failures, COOL_DOUBLINGS_MAX)
        known.failures += 1
        known.cool_until_ms = now_ms + cool_ms

    # -- what is asked

    def judge(self, wanted: Wanted, now_ms: int, *, stays_led: bool = False) -> Hindrance | None:
        """What keeps a move from being begun now; None if nothing does.

        `stays_led`: the shard is changed where it is, so it does not matter how long it was there.
        """
        kind = wanted.kind
        under_way = self._on_way.get(wanted.shard)
        if under_way is not None and under_way.wanted.kind.rank <= kind.rank:
            return Hindrance.IN_FLIGHT
        hindrance = self._at_target(wanted, now_ms)
        if hindrance is not None:
            return hindrance
        if kind is MoveKind.SAFETY:
            return None
        hindrance = self._by_state(wanted, now_ms)
        if stays_led and hindrance is Hindrance.RESIDENCE:
            hindrance = None
        return hindrance or self._by_room(wanted, now_ms)

    def _at_target(self, wanted: Wanted, now_ms: int) -> Hindrance | None:
        """Whether somebody is there to take it."""
        if not wanted.to_node and not wanted.to_region:
            return None
        found = [n for n in self._nodes.values() if _is_target(wanted, n.seen) and n.seen.is_alive]
        if not found:
            return Hindrance.NO_CANDIDATE
        open_ = [n for n in found if not n.seen.is_drained or wanted.shard in n.seen.canaries]
        if not open_:
            return Hindrance.DRAINED
        if wanted.kind is MoveKind.SAFETY:
            return None
        is_suspect = all(_is_suspect(node, wanted.kind, now_ms) for node in open_)
        return Hindrance.SUSPECT if is_suspect else None

    def _by_state(self, wanted: Wanted, now_ms: int) -> Hindrance | None:
        """Whether this is a time to move this shard."""
        if self.is_held(now_ms):
            return Hindrance.PAUSED
        known = self._shards.get(wanted.shard, _Shard())
        moved_ms = None if known.moved_ms is None else now_ms - known.moved_ms
        window_ms, residence_ms = self.limits.brake_window_ms, self.limits.residence_ms
        if moved_ms is not None and moved_ms < window_ms and self.is_braked:
            return Hindrance.BRAKE
        if wanted.kind in (MoveKind.DRAIN, MoveKind.OPERATOR):
            return None
        if now_ms < known.cool_until_ms:
            return Hindrance.COOLING
        if not wanted.kind.is_optional:
            return None
        if self.is_cold(now_ms):
            return Hindrance.COLD_START
        if self._rolled_out & self._places(wanted):
            return Hindrance.ROLLOUT
        stays = moved_ms is not None and moved_ms < residence_ms
        if wanted.kind is MoveKind.PREFERENCE:
            # Candidates that changed places while home was shut did not choose where they are.
            was_put = known.kind not in (MoveKind.DRAIN, MoveKind.PREFERENCE)
            stays = stays and was_put and known.node == wanted.from_node
        return Hindrance.RESIDENCE if stays else None

    def _places(self, wanted: Wanted) -> set[str]:
        """The regions that a move leaves and goes to, as far as they are known."""
        nodes = (self._nodes.get(wanted.from_node), self._nodes.get(wanted.to_node))
        named = {wanted.from_region, wanted.to_region}
        return named | {node.seen.region for node in nodes if node is not None}

    def _by_room(self, wanted: Wanted, now_ms: int) -> Hindrance | None:
        """Whether there is room for one more, and whether it is within its budget."""
        limits = self.limits
        for scope in _scopes(wanted):
            is_bulk = scope[0].endswith(_BULK)
            most = limits.bulk_in_flight_max if is_bulk else limits.in_flight_max
            if self._counts[scope] >= most[_dimension(scope)]:
                return Hindrance.IN_FLIGHT
        for scope, rate, _ in self._rates(wanted):
            own = scope[0] == "kind"
            if (own or wanted.kind.is_optional) and self._bucket(scope).fill(rate, now_ms) < 1.0:
                return Hindrance.RATE
        return None

    # -- what is shown

    @property
    def on_way(self) -> tuple[OnItsWay, ...]:
        """Moves that have begun and not ended."""
        return tuple(self._on_way.values())

    @property
    def is_braked(self) -> bool:
        """Whether so many nodes went down of what they were given that no more is risked."""
        healthy = sum(node.seen.is_alive for node in self._nodes.values())
        return bool(self._crashes) and (
            len(self._crashes) >= self.limits.brake_share * max(1, healthy)
        )

    @property
    def crashes(self) -> tuple[Crashed, ...]:
        """What the brake counts: to be kept for the next global leader."""
        return tuple(self._crashes)

    @property
    def given(self) -> tuple[Given, ...]:
        """When nodes were last given a shard: to be kept as well."""
        return tuple(
            Given(name, node.given_ms)
            for name, node in sorted(self._nodes.items())
            if node.given_ms is not None
        )

    def is_held(self, now_ms: int) -> bool:
        """Whether somebody holds all moves up."""
        return self._held_until_ms is not None and now_ms < self._held_until_ms

    def is_cold(self, now_ms: int) -> bool:
        """Whether this global leader does not know the fleet yet."""
        return not self._is_known and now_ms - self._stood_ms < self.limits.cold_start_ms

    def standing(self, now_ms: int) -> Standing:
        """All of it."""
        suspects = [name for name, n in self._nodes.items() if now_ms < n.suspect_until_ms]
        return Standing(
            self.is_cold(now_ms), self.is_braked, len(self._crashes), len(self._on_way),
            tuple(sorted(suspects)),
        )  # fmt: skip

    def score(self, node: str) -> int:
        """How many shards a node leads when all that is on its way has arrived."""
        known = self._nodes.get(node)
        leads = known.seen.leads if known is not None else 0
        return leads + self._counts["node to", node] - self._counts["node from", node]

    # -- counting

    def _count(self, wanted: Wanted, by: int) -> None:
        for scope in _scopes(wanted):
            self._counts[scope] += by

    def _rates(self, wanted: Wanted) -> Iterator[tuple[Scope, float, float]]:
        """Buckets, how much comes into each in a minute, and how much a move takes."""
        for scope in _scopes(wanted):
            rate = self.limits.per_minute_max.get(_dimension(scope))
            if rate is not None and not scope[0].endswith(_BULK):
                yield scope, rate, 1.0
        of_kind = self.limits.kind_per_minute(wanted.kind)
        if of_kind is None:
            return
        match wanted.kind:
            case MoveKind.DRAIN:
                yield ("kind", "drain"), of_kind, 1.0
            case MoveKind.BULK:
                yield ("kind", "bulk"), of_kind, wanted.size_bytes
            case _:
                yield ("kind", "plan"), of_kind, 1.0

    def _bucket(self, scope: Scope) -> Bucket:
        return self._buckets.setdefault(scope, Bucket(self._stood_ms))


def _is_suspect(node: _Node, kind: MoveKind, now_ms: int) -> bool:
    """Whether a node is given nothing of this kind because it was silent.

    One that came back as another process is no suspect to people, who can look, nor to the leaders
    that hand shards home, who have waited until it was stable.
    """
    if kind in (MoveKind.OPERATOR, MoveKind.PREFERENCE):
        return node.seen.is_suspect
    return now_ms < node.suspect_until_ms


def _is_target(wanted: Wanted, node: NodeSeen) -> bool:
    return wanted.to_node in ("", node.node) and wanted.to_region in ("", node.region)


def _dimension(scope: Scope) -> str:
    return scope[0].partition(" ")[0]


def _scopes(wanted: Wanted) -> Iterator[Scope]:
    """Whatever a move counts for; one to other stores counts a second time, among its like."""
    for name, value in (
        ("node from", wanted.from_node),
        ("node to", wanted.to_node),
        ("region from", wanted.from_region),
        ("region to", wanted.to_region),
        ("group from", wanted.group),
        ("group to", wanted.to_group),
        ("kind", wanted.kind.value),
    ):
        if value:
            yield name, value
            if wanted.kind is MoveKind.BULK:
                yield name + _BULK, value
