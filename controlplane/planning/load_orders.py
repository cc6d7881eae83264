"""Orders that the load of shards gives, as far as they are admitted and until they are over.

Theory of operation. Splitting (controlplane/planning/splitting) says what is due; the admission of
moves, whether it may be begun now: splits and merges take from the same budgets as moves that
balance, and wait for the same things, but for residence. What was given is on its way until the
record of the resharding is over. A new global leader finds those records, and counts them as begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controlplane.planning.admission import Admission
from controlplane.planning.proceedings import Arrived, Began, Failed, Withdrawn
from controlplane.planning.reasons import MoveKind, Wanted
from controlplane.planning.splitting import PRINCIPAL, Due, ShardSeen, Splitting
from shards.resharding import Part, Phase


class LoadOrders:
    """Those of one global leader."""

    def __init__(self) -> None:
        self.splitting = Splitting()
        self._on_way: dict[str, int | None] = {}  # since when its record is awaited; None: seen

    def due(
        self, policy: Mapping[str, Any], shards: Sequence[ShardSeen],
        records: Iterable[tuple[str, Phase, tuple[Part, ...]]], bytes_max: int,
        admission: Admission, now_ms: int,
    ) -> list[Due]:  # fmt: skip
        """What is to be ordered now: it counts as begun. `records` are reshardings, by principal,
        phase and parents."""
        by_name = {each.shard: each for each in shards}
        self._settle(by_name, records, admission, now_ms)
        found = []
        for due in self.splitting.look(policy, shards, bytes_max, now_ms):
            wanted = [_wanted(parent) for parent in due.parents]
            if any(each.shard in self._on_way for each in due.parents):
                continue
            if all(admission.judge(each, now_ms, stays_led=True) is None for each in wanted):
                for each in wanted:
                    admission.step(Began(each), now_ms)
                    self._on_way[each.shard] = now_ms
                found.append(due)
        return found

    def refused(
        self, due: Due, policy: Mapping[str, Any], admission: Admission, now_ms: int
    ) -> None:
        """An order was not written down."""
        for parent in due.parents:
            self._on_way.pop(parent.shard, None)
            admission.step(Withdrawn(parent.shard), now_ms)
        self.splitting.refused(due, policy, now_ms)

    def _settle(
        self, shards: Mapping[str, ShardSeen],
        records: Iterable[tuple[str, Phase, tuple[Part, ...]]], admission: Admission, now_ms: int,
    ) -> None:  # fmt: skip
        """Tell the admission what has begun, and what is over."""
        is_open = {
            parent.shard
            for principal, phase, parents in records
            if principal == PRINCIPAL and phase in (Phase.DRAFTING, Phase.CLOSING)
            for parent in parents
        }
        for shard in sorted(is_open):
            if shard not in self._on_way and shard in shards:
                admission.step(Began(_wanted(shards[shard])), now_ms)
            self._on_way[shard] = None
        for shard, asked_ms in list(self._on_way.items()):
            is_late = asked_ms is not None and now_ms - asked_ms >= admission.limits.begin_ms_max
            if shard not in shards:
                admission.step(Arrived(shard, ""), now_ms)
            elif (asked_ms is None and shard not in is_open) or is_late:
                admission.step(Failed(shard), now_ms)
            else:
                continue
            del self._on_way[shard]


def _wanted(seen: ShardSeen) -> Wanted:
    return Wanted(seen.shard, seen.group, MoveKind.BALANCE, seen.node, seen.region)
