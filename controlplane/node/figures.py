"""The figures of a node, read off its parts when somebody asks."""

from __future__ import annotations

from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Final

from controlplane.figures import GroupFigures, NodeFigures, Ranked
from controlplane.node.group import Group
from regions.lease_times import older_bound_ms

if TYPE_CHECKING:
    from controlplane.node.node import Node

RANKED_MAX: Final = 10


class Figures:
    """Makes those of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def now(self, now_ms: int) -> NodeFigures:
        """All of them."""
        node = self._node
        entries, log_bytes, shard_bytes = self._logs()
        flapping = node.attendance.flapping.shards(now_ms)
        read_ms = node.following.up_to_date_ms
        return NodeFigures(
            groups=tuple(self._group(group, now_ms) for group in node.groups.values()),
            elections=dict(node.elections.ended),
            follower_lag_ms=self._lags(now_ms),
            entries_behind=node.health.lags,
            flapping=len(flapping),
            flapping_first=tuple(nsmallest(RANKED_MAX, flapping)),
            fenced_writes=node.fenced_writes.count,
            requests_open=len(node.requests),
            orphaned=node.requests.orphaned(now_ms),
            log_entries=entries,
            log_bytes=log_bytes,
            shard_bytes=shard_bytes,
            table_age_ms=None if read_ms is None else now_ms - read_ms,
            quarantined=frozenset(s for s, lane in node.lanes.items() if lane.quarantined),
            busiest=self._busiest(),
            longest_leaderless=self._longest_leaderless(now_ms),
        )

    def _group(self, group: Group, now_ms: int) -> GroupFigures:
        attendance = self._node.attendance
        ledger, until_ms = attendance.of(group), group.until_ms()
        since = [*ledger.unled.values(), *(s.since_ms for s in ledger.silent.values() if s.shards)]
        left_ms = None if until_ms is None or not group.led else max(0, until_ms - now_ms)
        return GroupFigures(
            group.group,
            attendance.valid_until_ms(group, now_ms),
            ledger.without_until_ms(now_ms),
            ledger.leaderless,
            now_ms - min(since, default=now_ms),
            ledger.expected,
            ledger.done,
            left_ms,
        )

    def _lags(self, now_ms: int) -> dict[tuple[str, str], int]:
        """What leaders vouch for at the stores in reach, by the regions of both, at the worst.

        Looked at from the stores' side: where a leader falls silent, its copies are seen to age.
        """
        found: dict[tuple[str, str], int] = {}
        for group in self._node.groups.values():
            plans = (*group.plan.voters, *group.plan.followers)
            for plan, sightings in zip(plans, group.watch.sightings, strict=True):
                if plan.region != self._node.plan.region:
                    continue  # nodes there see it sooner
                for sid, seen in sightings.items():
                    if seen.fresh_ms is None or not group.by_holder.get(sid):
                        continue
                    pair = (seen.region, plan.region)
                    found[pair] = max(found.get(pair, 0), older_bound_ms(seen.fresh_ms, now_ms))
        return found

    def _logs(self) -> tuple[int, int, int]:
        """Entries and bytes that logs of shards led here keep, and what those shards hold."""
        entries = log_bytes = shard_bytes = 0
        for group in self._node.groups.values():
            for led in group.led.values():
                log = led.log
                if log is None:
                    continue
                shard_bytes += log.size_bytes
                if log.last is not log.floor:
                    entries += log.last.sequence - log.floor.sequence
                    log_bytes += log.kept_bytes
        return entries, log_bytes, shard_bytes

    def _busiest(self) -> Ranked:
        rates = self._node.reports.load.rates()
        busiest = nlargest(RANKED_MAX, rates, key=lambda each: each[1])
        return tuple(each for each in busiest if each[1] > 0)

    def _longest_leaderless(self, now_ms: int) -> Ranked:
        """Of shards that nobody holds, and of those of sessions that are gone."""
        found: list[tuple[int, str]] = []
        for group in self._node.groups.values():
            ledger = self._node.attendance.of(group)
            found += nsmallest(RANKED_MAX, ((ms, shard) for shard, ms in ledger.unled.items()))
            for holder, silent in ledger.silent.items():
                shards = nsmallest(RANKED_MAX, group.by_holder.get(holder, ()))
                found += [(silent.since_ms, shard) for shard in shards]
        return tuple((shard, float(now_ms - ms)) for ms, shard in nsmallest(RANKED_MAX, found))
