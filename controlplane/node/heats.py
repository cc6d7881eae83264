"""How hot the shards are that this node leads, and, at the global leader, all shards.

Theory of operation. Nothing is counted unless the document `placement` has shards split by load
(`split_by_load`). Then every leader notes what it takes (shards/heat), looks every `LOOK_MS`, and
tells the global leader: of each shard that it leads what has changed materially, or was not spoken
of for `REPEAT_MS`; of those that are warm, everything at every look. When another node leads the
fleet, all is said once more. So nothing is acknowledged, and a successor soon knows as much.

What is told is of one leader in one epoch. The global leader takes a row for what it says only
while that is the shard's leadership, and no longer than `WARM_MS` or `COLD_MS`: what is not known
is neither hot nor cold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from config.document import Kind
from config.revision import Revision
from controlplane.machine import Tell
from controlplane.node.following import SYSTEM
from controlplane.requests import Read, Request, Scan, Write
from shards.heat import Cut, Heat, HeatGauge
from shards.key_in_slot import is_for_slot
from shards.keyspace import partition_of
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

LOOK_MS: Final = 5_000
REPEAT_MS: Final = 60_000
WARM_MS: Final = 3 * LOOK_MS
COLD_MS: Final = 3 * REPEAT_MS
WARM_SHARE: Final = 0.5
"""Of what is hot: from there on a shard is spoken of at every look."""
MATERIAL_SHARE: Final = 0.2
ROWS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Row:
    heat: Heat
    node: str
    epoch: int
    at_ms: int


class Heats:
    """One node's part in it."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._gauges: dict[str, HeatGauge] = {}
        self._told: dict[str, tuple[Heat, int, int]] = {}  # what was said, of which epoch, when
        self._listener: tuple[str, int] = ("", 0)
        self._rows: dict[str, _Row] = {}  # at the global leader
        self._looked_ms = now_ms
        self._next_ms = now_ms + LOOK_MS
        self._read: Revision | None = None
        self._policy: dict[str, Any] | None = None

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._next_ms

    @property
    def policy(self) -> dict[str, Any] | None:
        """What the documents say of splitting by load; None: nothing is split by itself."""
        revision = self._node.feed.get(Kind.PLACEMENT.value)
        if revision is not self._read:
            self._read = revision
            self._policy = None if revision is None else revision.content.get("split_by_load")
        return self._policy

    def note(self, shard: str, request: Request) -> None:
        """The leader of a shard takes a request."""
        if shard == SYSTEM or self.policy is None:
            return
        partition, write_bytes = _weight(request)
        if not partition:
            return
        gauge = self._gauges.get(shard)
        if gauge is None:
            gauge = self._gauges[shard] = HeatGauge(self._node.draw, self._looked_ms)
        gauge.note(partition, write_bytes)

    # -- at leaders

    def advance(self, now_ms: int) -> None:
        """Look, when it is time."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + LOOK_MS
        self._looked_ms = now_ms
        policy, leader = self.policy, self._node.census.global_leader()
        if policy is None:
            self._gauges, self._told, self._rows = {}, {}, {}
            return
        if self._node.census.leadership(SYSTEM) is None:
            self._rows = {}
        if leader is not None and (leader.node, leader.epoch) != self._listener:
            self._listener = (leader.node, leader.epoch)
            self._told = {}
        rows = self._look(policy, now_ms)
        if leader is None:
            return
        for at in range(0, len(rows), ROWS_MAX):
            message = {"kind": "heat", "rows": rows[at : at + ROWS_MAX]}
            if leader.node == self._node.plan.node:
                self.heard(leader.node, message, now_ms)
            else:
                self._node.out.append(Tell(leader.node, message))

    def _look(self, policy: dict[str, Any], now_ms: int) -> list[list[Any]]:
        rows = []
        led = self._led(now_ms)
        self._gauges = {shard: gauge for shard, gauge in self._gauges.items() if shard in led}
        self._told = {shard: said for shard, said in self._told.items() if shard in led}
        for shard, leadership in led.items():
            size_bytes = 0 if leadership.log is None else leadership.log.size_bytes
            gauge = self._gauges.get(shard)
            heat = Heat(0.0, 0.0, size_bytes) if gauge is None else gauge.look(size_bytes, now_ms)
            said = self._told.get(shard)
            if (
                said is None
                or said[1] != leadership.epoch
                or is_news(heat, said[0], said[2], policy, now_ms)
            ):
                self._told[shard] = (heat, leadership.epoch, now_ms)
                rows.append([shard, leadership.epoch, *_packed(heat)])
        return rows

    def _led(self, now_ms: int) -> dict[str, Leadership]:
        return {
            led.shard: led
            for group in self._node.groups.values()
            for led in group.led.values()
            if led.state is State.LEADING and led.serves(now_ms) and led.shard != SYSTEM
        }

    # -- at the global leader

    def collects(self, now_ms: int) -> bool:
        """Whether this node is the one that is told."""
        led = self._node.census.leadership(SYSTEM)
        return led is not None and led[1].serves(now_ms)

    def heard(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """A leader tells of its shards; what has not the shape of it is ignored."""
        rows = message.get("rows")
        for row in rows[:ROWS_MAX] if isinstance(rows, list) else ():
            match row:
                case [str() as shard, int() as epoch, *packed] if heat := _read(packed):
                    self._rows[shard] = _Row(heat, sender, epoch, now_ms)

    def of(self, shard: str, now_ms: int) -> Heat | None:
        """How hot a shard is, by its present leader; None if that has not said so lately."""
        row, policy = self._rows.get(shard), self.policy
        if row is None or policy is None:
            return None
        group = self._node.census.group_of(shard)
        hint = None if group is None else self._node.census.leader_hint(group, shard)
        if hint is None or (hint.node, hint.epoch) != (row.node, row.epoch):
            return None
        lasts_ms = WARM_MS if is_warm(row.heat, policy) else COLD_MS
        return row.heat if now_ms - row.at_ms <= lasts_ms else None


def is_warm(heat: Heat, policy: dict[str, Any]) -> bool:
    """Whether a shard is on the way to being split."""
    requests_max: float = policy["requests_per_s"]
    bytes_max: float = policy.get("write_bytes_per_s", float("inf"))
    return (
        heat.requests_per_s >= WARM_SHARE * requests_max
        or heat.write_bytes_per_s >= WARM_SHARE * bytes_max
    )


def is_news(heat: Heat, said: Heat, said_ms: int, policy: dict[str, Any], now_ms: int) -> bool:
    """Whether the global leader is to hear of it."""
    if is_warm(heat, policy) or is_warm(said, policy) or now_ms - said_ms >= REPEAT_MS:
        return True
    merged: float = policy.get("merge", {}).get("requests_per_s", 0.0)
    least = MATERIAL_SHARE * max(merged, said.requests_per_s)
    return abs(heat.requests_per_s - said.requests_per_s) > least


def _weight(request: Request) -> tuple[str, int]:
    """Whose partition a request is for, and how much it writes."""
    match request:
        case Write(mutations=(first, *_) as mutations):
            sizes = (len(value) for m in mutations if (value := getattr(m, "value", None)))
            return first.partition, sum(sizes)
        case Read(keys=(key,)) if is_for_slot(key):
            return "", 0  # other nodes ask whether the shard is served: that is no load of clients
        case Read(keys=(key, *_)):
            return partition_of(key), 0
        case Scan():
            return request.partition, 0
    return "", 0


def _packed(heat: Heat) -> list[Any]:
    cuts = [
        None if cut is None else [cut.at, cut.larger_share, cut.hottest, cut.hottest_share]
        for cut in (heat.by_requests, heat.by_bytes)
    ]
    return [heat.requests_per_s, heat.write_bytes_per_s, heat.size_bytes, *cuts]


def _read(packed: list[Any]) -> Heat | None:
    match packed:
        case [int() | float() as requests, int() | float() as written, int() as size, one, other]:
            return Heat(float(requests), float(written), size, _read_cut(one), _read_cut(other))
    return None


def _read_cut(packed: Any) -> Cut | None:
    match packed:
        case [int() as at, int() | float() as larger, str() as hottest, int() | float() as share]:
            return Cut(at, float(larger), hottest, float(share))
    return None
