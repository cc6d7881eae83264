"""For how long the shards of each group had a valid leader, and whether leases are renewed in time.

Theory of operation. Every node judges all shards of the groups whose stores it hears, led by
whomever: who is looked at may die, and takes with it what it counted of itself. A leader is valid
as long as a majority of voters goes on showing new counters of its session (of a node that does not
stand in the group: any store it hears). Once a session has shown none for the whole wait of its
group, nobody can have been led by it any more, and all shards that it holds count as without a
leader since its last sign; so does a shard that nobody holds. That ends when a majority shows
another holder, or the session shows itself again.

What is counted are milliseconds of shards, added up when something changes and never sampled. Time
since the last sign of a session that is not gone counts as neither yet. So both counts only grow.

A *round* is one renewal of a session at all stores of its group. It is done when a majority has
acknowledged it before the next one is due; rounds that a paused process left out were due as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controlplane.node.flapping import Flapping
from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from shards.grant import process_of

if TYPE_CHECKING:
    from controlplane.node.node import Node

LOOK_EVERY_MS: Final = 100
FREE_EVERY_MS: Final = 1_000
CAUGHT_UP_MS: Final = 1_000
"""So long after a pause, what came meanwhile has been heard."""


@dataclass(slots=True)
class Silent:
    """A session that is gone: since when, and how many shards it still holds."""

    since_ms: int
    shards: int


@dataclass(slots=True)
class Ledger:
    """One group: milliseconds of shards, and what has none at present."""

    version: int
    counted_ms: int
    shards: int = 0
    map_version: int = -1
    total_ms: int = 0
    without_ms: int = 0  # of what is over
    valid_ms: int = 0  # as last told
    unled: dict[str, int] = field(default_factory=dict)  # shards that nobody holds: since when
    since_sum_ms: int = 0  # of those
    silent: dict[str, Silent] = field(default_factory=dict)
    signs: dict[str, int] = field(default_factory=dict)  # of each holder the last one, at a look
    free_ms: int = 0  # when to look for shards that nobody ever held
    expected: int = 0  # rounds of renewals
    done: int = 0
    round_ms: int | None = None  # when the present one began

    def begin(self, shard: str, since_ms: int) -> None:
        """Nobody holds a shard."""
        if shard not in self.unled:
            self.unled[shard] = since_ms
            self.since_sum_ms += since_ms

    def end(self, shard: str) -> int | None:
        """Somebody does; since when nobody did."""
        since_ms = self.unled.pop(shard, None)
        if since_ms is not None:
            self.since_sum_ms -= since_ms
        return since_ms

    @property
    def leaderless(self) -> int:
        """How many shards have no valid leader."""
        return len(self.unled) + sum(silent.shards for silent in self.silent.values())

    def without_until_ms(self, now_ms: int) -> int:
        """All milliseconds without a leader."""
        open_ms = now_ms * len(self.unled) - self.since_sum_ms
        open_ms += sum((now_ms - s.since_ms) * s.shards for s in self.silent.values())
        return self.without_ms + open_ms


class Attendance:
    """What one node counts of it."""

    def __init__(self, node: Node, now_ms: int) -> None:
        self._node = node
        self._ledgers: dict[str, Ledger] = {}
        self._next_ms = now_ms
        self.flapping = Flapping()
        self._last: dict[str, str] = {}  # shards that nobody holds: the process that last did

    def of(self, group: Group) -> Ledger:
        """The ledger of a group; sessions and holders are those of its present version."""
        found = self._ledgers.get(group.group)
        if found is None:
            found = self._ledgers[group.group] = Ledger(group.version, group.started_ms)
        elif found.version != group.version:
            found.version = group.version
            self._close(found)
        return found

    def _close(self, ledger: Ledger) -> None:
        """Nothing of the version before is seen any more. Who fell silent is not known now; what
        nobody held goes on being without a leader until somebody takes it."""
        now_ms = self._node.now_ms
        ledger.without_ms += sum((now_ms - s.since_ms) * s.shards for s in ledger.silent.values())
        ledger.silent.clear()
        ledger.signs.clear()
        ledger.round_ms = None

    # -- renewals

    def round_begins(self, group: Group, now_ms: int) -> None:
        """Renewals are due; called before the next ones are planned."""
        ledger, until_ms = self.of(group), group.until_ms()
        if until_ms is None:
            ledger.round_ms = None
            return
        if ledger.round_ms is not None:
            late_ms = max(0, now_ms - group.next_renew_ms)
            ledger.expected += 1 + late_ms // group.times.renew_every_ms
            ledger.done += until_ms - group.times.hold_ms >= ledger.round_ms
        ledger.round_ms = now_ms

    # -- leaders

    def passed(self, group: Group, shard: str, old: str, new: str, now_ms: int) -> None:
        """A shard passes from one holder to another; "" is nobody."""
        if group.is_over:
            return
        ledger = self.of(group)
        self._note_change(shard, old, new, now_ms)
        since_ms = ledger.end(shard)
        silent, sign_ms = ledger.silent.get(old), ledger.signs.get(old, now_ms)
        if silent is not None and silent.shards > 0 and self._is_on_map(shard):
            silent.shards -= 1
            since_ms = silent.since_ms
        elif silent is None and now_ms - sign_ms >= group.times.silent_ms:
            since_ms = sign_ms  # others were faster to see that it is gone
        following = ledger.silent.get(new)
        if not new and self._is_on_map(shard):
            ledger.begin(shard, now_ms if since_ms is None else since_ms)
        elif since_ms is not None:
            ledger.without_ms += now_ms - since_ms
        if following is not None:
            following.shards += 1
            ledger.without_ms -= now_ms - following.since_ms

    def _note_change(self, shard: str, old: str, new: str, now_ms: int) -> None:
        if not new:
            self._last[shard] = process_of(old)
            return
        before = self._last.pop(shard, "") or process_of(old)
        if before and before != process_of(new):
            self.flapping.changed(shard, now_ms)

    def advance(self, now_ms: int) -> None:
        """Look who is gone, and who is back; not right after a pause, before news has come in."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + LOOK_EVERY_MS
        if now_ms - self._node.away_until_ms < CAUGHT_UP_MS:
            return
        for group in self._node.groups.values():
            if group.watch.first_heard_ms is not None:
                self._look(group, self.of(group), now_ms)

    def _look(self, group: Group, ledger: Ledger, now_ms: int) -> None:
        self._count(group, ledger, now_ms)
        wait_ms, signs = group.times.wait_ms, ledger.signs
        ledger.signs = {}
        for holder, shards in group.by_holder.items():
            if not holder:
                continue
            sign_ms = ledger.signs[holder] = max(self._sign_ms(group, holder), signs.get(holder, 0))
            silent = ledger.silent.get(holder)
            if now_ms - sign_ms < wait_ms:
                if silent is not None:
                    ledger.without_ms += (now_ms - silent.since_ms) * silent.shards
                    del ledger.silent[holder]
            elif silent is None:
                on_map = sum(map(self._is_on_map, shards))
                ledger.silent[holder] = Silent(sign_ms, on_map)
        if now_ms >= ledger.free_ms and now_ms - group.started_ms >= wait_ms:
            ledger.free_ms = now_ms + FREE_EVERY_MS
            self._recount(group, ledger, now_ms)

    def _recount(self, group: Group, ledger: Ledger, now_ms: int) -> None:
        """Count anew what has no leader: shards may have come to the map, or left it."""
        for holder, silent in list(ledger.silent.items()):
            left = sum(map(self._is_on_map, group.by_holder.get(holder, ())))
            ledger.without_ms += (now_ms - silent.since_ms) * (silent.shards - left)
            silent.shards = left
            if holder not in group.by_holder:
                del ledger.silent[holder]
        free = group.by_holder.get("", ())
        for shard in [s for s in ledger.unled if s not in free or not self._is_on_map(s)]:
            ledger.without_ms += now_ms - (ledger.end(shard) or now_ms)
        for shard in free:
            if shard not in ledger.unled and self._is_on_map(shard):
                ledger.begin(shard, now_ms)
        self._last = {shard: last for shard, last in self._last.items() if self._is_on_map(shard)}

    def _sign_ms(self, group: Group, holder: str) -> int:
        """When a holder last showed itself: at the latest when it was granted a shard."""
        if group.plan.stands:
            found = group.watch.last_sign_ms(holder, group.voters, group.quorum)
        else:
            found = group.watch.last_sign_ms(holder, group.stores, 1)
        return group.took_ms.get(holder, group.started_ms) if found is None else found

    def _is_on_map(self, shard: str) -> bool:
        directory = self._node.directory
        return shard == SYSTEM or not directory.is_known or shard in directory.rows

    def _count(self, group: Group, ledger: Ledger, now_ms: int) -> None:
        """Add up the time since the last look, with as many shards as there were then.

        Who has heard nothing of the group yet cannot judge it, and counts nothing.
        """
        if group.watch.first_heard_ms is not None:
            ledger.total_ms += max(0, now_ms - ledger.counted_ms) * ledger.shards
        ledger.counted_ms = now_ms
        directory = self._node.directory
        if not directory.is_known:
            ledger.shards = len(group.shards)
        elif ledger.map_version != directory.version:
            ledger.map_version = directory.version
            ledger.shards = directory.count(group.group) + (SYSTEM in group.shards)

    def valid_until_ms(self, group: Group, now_ms: int) -> int:
        """All milliseconds with a valid leader, up to the last sign of each."""
        ledger = self.of(group)
        self._count(group, ledger, now_ms)
        pending_ms = sum(
            (now_ms - self._sign_ms(group, holder)) * len(shards)
            for holder, shards in group.by_holder.items()
            if holder and holder not in ledger.silent
        )
        valid_ms = ledger.total_ms - ledger.without_until_ms(now_ms) - pending_ms
        ledger.valid_ms = max(ledger.valid_ms, valid_ms)
        return ledger.valid_ms
