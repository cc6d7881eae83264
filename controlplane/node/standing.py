"""Who stands for which shard, and when: order among candidates, patience, and no storms.

Theory of operation. For every shard the live nodes of its group have an order that all of them
compute alike: those of drained places last (controlplane/node/drains), then by the regions the
placement prefers, in a region the node that it prefers, then by a hash of node and shard, which
spreads the shards over the nodes of a region. The first in order stands at once when the shard is
open; each next one a step later, if it is still open, or a step after a better one was last seen to
take any shard: it has much to do, and will come to this one. Who is to lead nothing waits for all
others that live, and a lease more: it leads what nobody else can. A candidate stands only when a
majority of stores is expected to grant (shards/election.pre_vote), and after a lost election waits
a random time that grows with every loss.

A shard is *open* when nobody holds it, when its holder has been silent for the whole wait, when it
was handed to this process, or when it was revoked and the wait has passed, though its holder goes
on renewing. After a change of the group's version nothing is open at first but to whoever carries
its lease over; all else has to be waited for. Shards are looked at by holder, so that a healthy
fleet of any size costs nothing here; after a mass failure they are taken in chunks, the busiest
first, as many as the stores take without keeping a renewal waiting (controlplane/node/pace). Who
let a shard go is not waited for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from shards.election import drawn, pre_vote
from shards.grant import Held, Sighted, process_of
from shards.leadership import Leadership, State

if TYPE_CHECKING:
    from controlplane.node.node import Node

LOOK_EVERY_MS = 20
LOOKED_AT_PER_MS = 7  # open shards: a quarter of the time, on a processor of its own
LOOKED_AT_MAX = 256  # ... in one turn, for whatever else it has to do waits for its end
CHUNK_MAX = 512  # shards stood for in one turn
STANDING_MAX = 1024  # elections under way at once
# A store that was not heard of yet counts as free: what the others show says more.
MOST_TELLING = ("handover", "revoked", "carry", "waited", "dead", "mine", "free")
STUCK_TTLS = 4
BUSY_TTLS = 4  # one that is taking over shard after shard is waited for so long
AVOIDED_TTLS = 1  # ... and any other, by a node that is to lead nothing


@dataclass(slots=True)
class Attempt:
    """What a candidate remembers of one open shard.

    `left_ms`: when it last had a valid leader; None if it had none, or never lost it.
    """

    open_since_ms: int
    left_ms: int | None = None
    stood_ms: int = 0
    won_ms: int = 0  # a majority granted it: its log is recovered since
    backoff_ms: int = 0  # after lost elections: not before
    not_before_ms: int = 0  # worth another look, while the same nodes live (`version`)
    version: int = -1
    losses: int = 0
    deadline_ms: int = 0
    reported: bool = False


class StandingDesk:
    """Candidacies of one node in one group."""

    def __init__(self, node: Node, group: Group) -> None:
        self._node = node
        self._group = group
        self._attempts: dict[str, Attempt] = {}
        self._cooling: dict[str, int] = {}  # evicted here: do not stand before
        self._alive: list[tuple[str, str]] = []  # (node, region), sorted
        self._appeared_ms: dict[str, int] = {}
        self._took_ms: dict[str, int] = {}  # when a living node was last seen to take a shard
        self.special: set[str] = set()  # handed to us: look at once
        self._taken_away: set[str] = set()  # ... by a holder that was evicted
        self.why: dict[str, str] = {}
        self.deadline_ms: int | None = None  # when there may be something to stand for
        self._unseen: deque[str] = deque()  # open, and not looked at since they were listed
        self._next_list_ms = 0
        self._next_look_ms = 0
        self._woken = False  # something opened since the last look
        self._alive_version = 0
        self._avoided: frozenset[str] = frozenset()  # nodes that are to lead nothing
        self._heeded = 0  # of the drains, the revision

    def advance(self, now_ms: int) -> None:
        """Stand where it is time; called at every turn in which time passed."""
        alive = self._living(now_ms)
        drains = self._node.drains
        if alive != self._alive or self._heeded != drains.revision:
            avoided = frozenset(node for node, region in alive if drains.avoids(node, region))
            self._alive_version += alive != self._alive or avoided != self._avoided
            self._alive, self._heeded, self._avoided = alive, drains.revision, avoided
        self._check_deadlines(now_ms)
        self._drop_carried(now_ms)
        self.deadline_ms = self._next_gone_ms(now_ms)
        if self._group.session is None or not self._ready(now_ms):
            return
        if now_ms >= self._next_look_ms or self.special:
            self._look(now_ms)
        if self._attempts or self._woken or self._unseen:
            looks = (self.deadline_ms, self._next_look_ms)
            self.deadline_ms = min(ms for ms in looks if ms is not None)

    def wake(self, now_ms: int) -> None:
        """Something opened: look as soon as it is time to, not when the next poll is due.

        Without a session there is nothing to stand with, nobody looks, and the deadline would stay.
        """
        if self._group.session is None:
            return
        self._woken = True
        self.deadline_ms = now_ms

    def hurry(self, now_ms: int) -> None:
        """The same, without waiting until it is time: clients wait, and there are but a few."""
        self._next_look_ms = min(self._next_look_ms, now_ms)
        self.wake(now_ms)

    def _look(self, now_ms: int) -> None:
        """Go through some of the open shards; the more it looked at, the longer until the next."""
        group = self._group
        budget = min(CHUNK_MAX, STANDING_MAX - len(group.standing), group.room)
        if budget <= 0:
            self._next_look_ms = now_ms + LOOK_EVERY_MS
            return
        self.special = {s for s in self.special if s in group.led or self._is_handed_here(s)}
        for shard in (*self.special, SYSTEM):
            if self._is_worth_a_look(shard, now_ms):
                budget -= self._consider(shard, now_ms)
        if now_ms < self._next_look_ms:
            return
        if not self._unseen or now_ms >= self._next_list_ms:
            self._list(now_ms)
        looked_at = 0
        while self._unseen and budget > 0 and looked_at < LOOKED_AT_MAX:
            shard = self._unseen.popleft()
            if self._is_worth_a_look(shard, now_ms):
                looked_at += 1
                budget -= self._consider(shard, now_ms)
        self._next_look_ms = now_ms + max(LOOK_EVERY_MS, looked_at // LOOKED_AT_PER_MS)

    def _list(self, now_ms: int) -> None:
        """List what is open, the busiest first; anew when all of it should have been looked at."""
        self._unseen = deque(self._open_shards(now_ms))
        self._next_list_ms = now_ms + 2 * len(self._unseen) // LOOKED_AT_PER_MS
        self._woken = False

    def _is_worth_a_look(self, shard: str, now_ms: int) -> bool:
        """Whether it is open, and was not found to be too early while the same nodes lived."""
        attempt = self._attempts.get(shard)
        not_before_ms = 0
        if attempt is not None and attempt.version == self._alive_version:
            not_before_ms = attempt.not_before_ms
        return now_ms >= not_before_ms and self._is_open(shard, now_ms)

    def _is_open(self, shard: str, now_ms: int) -> bool:
        """Whether a shard may be stood for, as it was when it was listed."""
        group = self._group
        sighted = group.shards.get(shard)
        if sighted is None or shard in group.led:
            return False
        if shard in self.special or self.is_gone(group.holder_of(sighted), now_ms):
            return True
        return shard in group.revoked and self._is_lost(shard, now_ms)

    def _ready(self, now_ms: int) -> bool:
        """A majority renewed the session, and the others had a chance to show up."""
        group = self._group
        until = group.until_ms()
        if until is None or now_ms >= until or self._node.draining:
            return False
        if group.carried or now_ms - group.started_ms >= group.times.ttl_ms:
            return True
        expected = self._node.census.nodes_of(group)
        return expected <= {node for node, _ in self._alive}

    def _living(self, now_ms: int) -> list[tuple[str, str]]:
        group = self._group
        plan = self._node.plan
        live = [
            p
            for p in group.watch.peers(now_ms).values()
            if p.silent_ms < group.times.silent_ms
            and not self._node.census.is_draining(process_of(p.sid))
        ]
        self._appeared_ms = {p.node: p.appeared_ms for p in live}
        self._took_ms = {p.node: group.took_ms.get(p.sid, 0) for p in live}
        found = {(p.node, p.region) for p in live}
        if group.session is not None:
            found.add((plan.node, plan.region))
        return sorted(found)

    # -- which shards are open

    def _open_shards(self, now_ms: int) -> list[str]:
        group = self._group
        found = {s for s in self.special if s not in group.led}
        found.update(s for s in group.revoked if s not in group.led and self._is_lost(s, now_ms))
        for holder, shards in list(group.by_holder.items()):
            if self.is_gone(holder, now_ms):
                found.update(s for s in shards if s not in group.led)
        self._forget_closed(found)
        return self._node.demand.busiest_first(found)

    def _is_handed_here(self, shard: str) -> bool:
        """Whether a store shows it; else its holder has taken it back, or somebody else has it."""
        group = self._group
        sid = "" if group.session is None else group.session.sid
        grants = group.sighted(shard).grants[: group.voters]
        return any(grant.state == Held.HANDOVER and grant.target == sid for grant in grants)

    def _is_lost(self, shard: str, now_ms: int) -> bool:
        """Whether a majority would grant it, whoever renews: it was revoked, and waited for."""
        group, session = self._group, self._group.session
        assert session is not None, "standing without a session"
        sighted = group.sighted(shard)
        return pre_vote(sighted, session, group.watch, group.voters, now_ms).expected

    def is_gone(self, holder: str, now_ms: int) -> bool:
        """Whether a session is none, or was silent for the whole wait: what it holds is open."""
        group = self._group
        if holder == "":
            return True
        if group.is_mine(holder):
            return False
        still = 0
        for store in range(group.voters):
            if not group.watch.answering(store, now_ms):
                continue
            known = group.watch.sightings[store]
            if holder not in known or group.watch.counter_still(store, holder, now_ms) is not None:
                still += 1
        return still >= group.quorum

    def _next_gone_ms(self, now_ms: int) -> int | None:
        group = self._group
        voters, quorum = group.voters, group.quorum
        found = [group.watch.still_at_ms(holder, voters, quorum) for holder in group.by_holder]
        for shard in group.revoked:
            seen = group.sighted(shard).revoked_ms or {}
            times = sorted([ms for store, ms in seen.items() if store < voters])
            if len(times) >= quorum:
                found.append(times[quorum - 1] + group.times.wait_ms)
        return min([ms for ms in found if ms is not None and ms > now_ms], default=None)

    def _forget_closed(self, open_now: set[str]) -> None:
        """Keep what is open or stood for; in new dicts, since emptied ones keep their room."""
        led = self._group.led
        if not self._attempts and not self.why:
            return
        self._attempts = {s: a for s, a in self._attempts.items() if s in open_now or s in led}
        self.why = {s: why for s, why in self.why.items() if s in self._attempts}

    # -- one shard

    def came_by(self, shard: str, evicted: bool) -> None:
        """It was handed to this node, by a holder that it was taken from (`evicted`) or not."""
        (self._taken_away.add if evicted else self._taken_away.discard)(shard)

    def next_best(self, sighted: Sighted) -> str | None:
        """Who should lead a shard that this node may not keep; None if there is nobody."""
        here = self._node.plan.node
        others = [node for node in self.order(sighted) if node != here]
        return others[0] if others else None

    def order(self, sighted: Sighted) -> list[str]:
        """Nodes that may lead a shard, the best first, as every node computes it."""
        return [node for node, _ in sorted(self._alive, key=partial(self._rank, sighted))]

    def heirs(self, sighted: Sighted) -> list[str]:
        """Other nodes than this one that are to lead a shard, the best first."""
        here, shard = self._node.plan.node, sighted.shard
        order = sorted(self._alive, key=partial(self._rank, sighted))
        return [n for n, region in order if n != here and not self._is_avoided(n, region, shard)]

    def comes_first(self, sighted: Sighted) -> bool:
        """Whether this node is the best that may lead a shard."""
        best = min(self._alive, key=partial(self._rank, sighted), default=None)
        return best is not None and best[0] == self._node.plan.node

    def _rank(self, sighted: Sighted, candidate: tuple[str, str]) -> tuple[int, ...]:
        """Lower is better: a node that may lead, the pinned one, by region, there a canary, the
        preferred node, then by chance, alike everywhere."""
        node, region = candidate
        regions, pin = sighted.regions, self._node.pins.of(sighted.shard)
        is_other = pin is not None and pin.node != node
        place = regions.index(region) if region in regions else len(regions)
        chance = drawn(sighted.shard, node)
        is_avoided = self._is_avoided(node, region, sighted.shard)
        is_canary = node in self._avoided and not is_avoided
        return is_avoided, is_other, place, not is_canary, node != sighted.pin, chance

    def _is_avoided(self, node: str, region: str, shard: str) -> bool:
        """Whether a node is not to lead a shard; most often nothing is avoided."""
        return node in self._avoided and self._node.drains.avoids(node, region, shard)

    def _consider(self, shard: str, now_ms: int) -> bool:
        attempt = self._attempts.get(shard)
        if attempt is None:
            left_ms = self._left_ms(self._group.sighted(shard), now_ms)
            attempt = self._attempts[shard] = Attempt(now_ms, left_ms)
        sighted = self._group.sighted(shard)
        self._report_stuck(sighted, attempt, now_ms)
        turn_ms = self._turn_ms(sighted, attempt)
        if now_ms < turn_ms:
            attempt.version, attempt.not_before_ms = self._alive_version, turn_ms
            return False
        if shard not in self.special and shard not in self._group.carried:
            held_back = self._node.pins.holds_back(shard, now_ms)
            if held_back:
                self.why[shard] = held_back
                return False
        return self._try(sighted, attempt, now_ms)

    def _turn_ms(self, sighted: Sighted, attempt: Attempt) -> int:
        """When it is this node's turn to stand: after a loss, an eviction, better candidates."""
        if sighted.shard in self.special or sighted.shard in self._group.carried:
            return attempt.backoff_ms  # evicted once, perhaps; but wanted now
        turn_ms = max(attempt.backoff_ms, self._cooling.get(sighted.shard, 0))
        times, heirs = self._group.times, self._heirs_if_avoided(sighted)
        ahead = heirs or self._ahead(sighted)
        took_ms = max((self._took_ms.get(node, 0) for node in ahead), default=0)
        busy_ms = min(took_ms, attempt.open_since_ms + BUSY_TTLS * times.ttl_ms)
        step_ms = times.poll_every_ms + 4 * self._round_trip_ms()
        patience_ms = len(ahead) * step_ms + (AVOIDED_TTLS * times.ttl_ms if heirs else 0)
        return max(turn_ms, max(attempt.open_since_ms, busy_ms) + patience_ms)

    def _heirs_if_avoided(self, sighted: Sighted) -> list[str]:
        """Who is to lead a shard rather than this node, which is to lead nothing; else nobody."""
        plan = self._node.plan
        if not self._is_avoided(plan.node, plan.region, sighted.shard):
            return []
        return self.heirs(sighted)

    def _try(self, sighted: Sighted, attempt: Attempt, now_ms: int) -> bool:
        group, shard = self._group, sighted.shard
        session = group.session
        assert session is not None, "standing without a session"
        prospect = pre_vote(sighted, session, group.watch, group.voters, now_ms)
        may_be_led = self._node.reshardings.may_be_led(shard, group.group)
        if sighted.placement_rev == 0 or not prospect.expected or not may_be_led:
            self.why[shard] = prospect.why or "its placement is not known yet"
            attempt.version = self._alive_version
            attempt.not_before_ms = now_ms + group.times.poll_every_ms // 4
            return False
        tags = {condition[0] for condition in prospect.conditions.values()}
        why = next(tag for tag in MOST_TELLING if tag in tags)
        if why == "handover" and shard in self._taken_away:
            why = "revoked"
        leadership = Leadership(sighted, group, session)
        carried = group.carried.pop(shard, None) if why == "carry" else None
        if carried is not None:  # else an earlier attempt had it, and lost: its log went with it
            leadership.go_on_from(carried.former)
        group.led[shard] = leadership
        attempt.deadline_ms = now_ms + group.times.call_timeout_ms * 2
        attempt.stood_ms = now_ms
        leadership.stand(session, prospect.conditions, why, now_ms)
        return True

    def _ahead(self, sighted: Sighted) -> list[str]:
        """The candidates that come before this node.

        One that gave the shard up, or lost it to a revocation, does not come for it. One that
        appeared after the holder's last sign of life is not waited for, since it is not ready yet;
        unless this node is as new itself, as after a restart of everything.
        """
        here = self._node.plan.node
        unwilling = self._unwilling(sighted)
        order = [node for node in self.order(sighted) if node == here or node not in unwilling]
        ahead = order[: order.index(here)] if here in order else order
        signed_ms = self._last_sign_ms(sighted)
        if signed_ms is None or self._group.started_ms > signed_ms:
            return ahead
        return [node for node in ahead if self._appeared_ms.get(node, 0) <= signed_ms]

    def _unwilling(self, sighted: Sighted) -> set[str]:
        """Nodes that hold a revoked grant, or were the last to let the shard go."""
        sids = {grant.holder for grant in sighted.grants if grant.is_held and grant.revoked}
        last = self._group.let_go.get(sighted.shard)
        if last is not None:
            sids.add(last)
        return {self._node.census.node_name(sid) for sid in sids}

    def _last_sign_ms(self, sighted: Sighted) -> int | None:
        leading = sighted.leading_grant()
        if leading is None:
            return None
        signs = [
            seen.first_seen_ms
            for sightings in self._group.watch.sightings
            if (seen := sightings.get(leading.holder)) is not None
        ]
        return max(signs, default=None)

    def _left_ms(self, sighted: Sighted, now_ms: int) -> int | None:
        """When an open shard last had a valid leader, as far as is seen here; see Attempt."""
        group, leading = self._group, sighted.leading_grant()
        if leading is None:
            return now_ms if sighted.shard in group.let_go else None
        if leading.state == Held.HANDOVER:
            return now_ms
        seen = [ms for store, ms in (sighted.revoked_ms or {}).items() if store < group.voters]
        if len(seen) >= group.quorum:
            return sorted(seen)[group.quorum - 1]
        return group.watch.last_sign_ms(leading.holder, group.voters, group.quorum)

    def _round_trip_ms(self) -> int:
        return max(lane.round_trip_ms for lane in self._group.lanes)

    def _report_stuck(self, sighted: Sighted, attempt: Attempt, now_ms: int) -> None:
        stuck = now_ms - attempt.open_since_ms > STUCK_TTLS * self._group.times.ttl_ms
        if stuck and not attempt.reported:
            attempt.reported = True
            why = self.why.get(sighted.shard, "no candidate was elected")
            self._node.happened("stuck", sighted.shard, 0, {"why": why})

    def _check_deadlines(self, now_ms: int) -> None:
        for leadership in list(self._group.standing.values()):
            attempt = self._attempts.get(leadership.shard)
            if attempt is not None:
                leadership.check_standing(attempt.deadline_ms, now_ms)

    def _drop_carried(self, now_ms: int) -> None:
        """Leases of the version before that have run out carry nothing over any more."""
        for shard, carried in list(self._group.carried.items()):
            if carried.until_ms <= now_ms:
                del self._group.carried[shard]
                self._node.upkeep.gave_up(self._group, carried.former, "expired", now_ms)

    # -- outcomes

    @property
    def first(self) -> str | None:
        """The node that comes first of the living where any could do something."""
        return self._alive[0][0] if self._alive else None

    @property
    def rank(self) -> int:
        """How many living nodes come before this one where any could do something."""
        return [node for node, _ in self._alive].index(self._node.plan.node) if self._alive else 0

    def again(self, leadership: Leadership, now_ms: int) -> None:
        """A leader whose epoch was passed at some store stands again, while its lease lasts."""
        group = self._group
        session = group.session
        if session is None:
            leadership.end("no-session", now_ms)
            return
        prospect = pre_vote(leadership.sighted, session, group.watch, group.voters, now_ms)
        if not prospect.expected:
            self.why[leadership.shard] = prospect.why
            return
        attempt = self._attempts.setdefault(leadership.shard, Attempt(now_ms))
        attempt.deadline_ms = now_ms + group.times.call_timeout_ms * 2
        attempt.stood_ms = now_ms
        leadership.stand(session, prospect.conditions, "mine", now_ms)

    def recovers(self, shard: str, now_ms: int) -> None:
        """A majority granted it: what is in its log is decided now."""
        attempt = self._attempts.get(shard)
        if attempt is not None and attempt.won_ms < attempt.stood_ms:
            attempt.won_ms = now_ms

    def left_ms(self, shard: str) -> int | None:
        """Since when nobody leads a shard that is stood for here; None if nobody ever did."""
        attempt = self._attempts.get(shard)
        return None if attempt is None else attempt.left_ms

    def won(self, shard: str) -> Attempt | None:
        """The epoch is open: forget the trouble it took, and tell it."""
        self.special.discard(shard)
        self._taken_away.discard(shard)
        self.why.pop(shard, None)
        return self._attempts.pop(shard, None)

    def lost(self, shard: str, now_ms: int) -> None:
        """Back off with full jitter: U(0, min(TTL/2, 2 round trips * 2^losses))."""
        self.special.discard(shard)
        self._taken_away.discard(shard)
        attempt = self._attempts.setdefault(shard, Attempt(now_ms, now_ms))  # it was led till now
        attempt.losses += 1
        round_trip_ms = max(10, self._round_trip_ms())
        cap = min(self._group.times.ttl_ms // 2, 2 * round_trip_ms * 2 ** min(attempt.losses, 10))
        attempt.backoff_ms = now_ms + int(self._node.draw() * cap)

    def cool(self, shard: str, now_ms: int) -> None:
        """This process was made to give the shard up: let others have it first."""
        self._cooling[shard] = now_ms + 2 * self._group.times.ttl_ms

    def leading_state(self, shard: str) -> State | None:
        """State of this node's leadership, None without one."""
        leadership = self._group.led.get(shard)
        return None if leadership is None else leadership.state
