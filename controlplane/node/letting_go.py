"""Grants of this process that it does not lead: let go at every store, and vouched for at none.

Theory of operation. A leadership that ends may leave a grant at each store, of each epoch that it
stood at: acknowledged, adopted by an append, or given with the answer lost. Each of them is a debt
until that store has answered its release. As long as one is left, no renewal vouches for the shard:
a store that is still marked by the old epoch would go on calling its copy fresh while somebody else
leads. Debts outlive the next leadership of the same shard, since its appends do not reach a store
that is down. A release that was asked for is not asked for again before it was answered, or lost
with its lane, and a lane is given no more of them than it bears: else a store would have the more
to do, the slower it is.

What is owed to a store that forgets a grant nobody remembers (a debt paid under a session that had
been replaced, say) is found by looking: a shard at which some store shows a grant of this process.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from regions.quorum import bits
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.group import Group


SWEPT_MAX = 1_000  # shards with debts, looked at in one sweep


@dataclass(frozen=True, slots=True)
class Debt:
    """One epoch to be released at one store, as the session that asked for it."""

    store: int
    epoch: int
    sid: str


class LettingGo:
    """What one process still owes to the stores of one group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._debts: dict[str, set[Debt]] = {}
        self._asked: set[tuple[str, Debt]] = set()  # and not answered yet
        self._seen: set[str] = set()  # not led; some store showed a grant of ours, or may

    @property
    def not_vouched_for(self) -> set[str]:
        """Shards that somebody else may lead by now while a store still carries our mark."""
        return self._debts.keys() - self._group.led.keys()

    def owes(self, shard: str) -> bool:
        """Whether a store has yet to answer a release."""
        return shard in self._debts

    @property
    def is_paying(self) -> bool:
        """Whether a store within reach has yet to answer a release."""
        lanes = self._group.lanes
        return any(lanes[debt.store].is_up for debts in self._debts.values() for debt in debts)

    def ended(self, leadership: Leadership, release: int) -> None:
        """A leadership is over: every epoch it stood at is released at the stores of `release`."""
        shard = leadership.shard
        self._seen.add(shard)
        for store in bits(release):
            for epoch, sid in leadership.tenures:
                debt = Debt(store, epoch, sid)
                self._debts.setdefault(shard, set()).add(debt)
                self._pay(shard, debt)

    def shown(self, shard: str) -> None:
        """A store showed a grant of ours; one of a shard led here is as it should be."""
        if shard not in self._group.led:
            self._seen.add(shard)

    def sweep(self) -> None:
        """Ask again where no answer came; release what was forgotten."""
        for shard in list(islice(self._debts, SWEPT_MAX)):
            debts = self._debts[shard] = self._debts.pop(shard)  # the others come first next time
            leadership = self._group.led.get(shard)
            if leadership is None or leadership.state is State.LEADING:
                for debt in sorted(debts, key=lambda d: (d.epoch, d.store)):
                    self._pay(shard, debt)
        led = self._group.led
        for shard in sorted(s for s in self._seen if s not in led and s not in self._debts):
            self._release_forgotten(shard)

    def _release_forgotten(self, shard: str) -> None:
        ours = [
            Debt(store, grant.epoch, grant.holder)
            for store, grant in enumerate(self._group.sighted(shard).grants)
            if grant.is_held and self._group.is_mine(grant.holder)
        ]
        if not ours:
            self._seen.discard(shard)
        for debt in ours:
            self._pay(shard, debt)

    def _pay(self, shard: str, debt: Debt) -> None:
        group, asked = self._group, (shard, debt)
        lane = group.lanes[debt.store]
        if not lane.is_up or asked in self._asked or lane.pace.room <= 0:
            return
        self._asked.add(asked)
        command = ["release", group.group, group.version, shard, str(debt.epoch), debt.sid]

        def reply(result: list[Any] | None, now_ms: int) -> None:
            self._asked.discard(asked)
            debts = self._debts.get(shard)
            if result is None or debts is None:
                return
            debts.discard(debt)
            if not debts:
                del self._debts[shard]

        group.ask(debt.store, command, reply)
