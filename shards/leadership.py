"""One process's authority over one shard, from standing for it to having let it go.

Theory of operation. A leadership stands (shards/election), recovers the log (shards/recovery),
opens its epoch by a committed entry, and then leads: it writes (shards/admission, shards/log),
answers strong reads, and hands over when asked (shards/transfer). Whether it may serve is never a
state: it is the comparison `now_ms < until_ms()`, made after a request arrived and again before a
strong answer leaves.

    STANDING    --won-------------> RECOVERING        --lost------------> ENDED
    RECOVERING  --opening entry committed---> LEADING --source lost-----> ENDED
    LEADING     --a store promised higher---> STANDING (again, at a higher epoch, keeping what it
    holds) LEADING     --transfer--------> HANDING           --revoked---------> ENDED
    HANDING     --tail committed, lease dropped, a majority holds the handover--> HANDED
    HANDING, HANDED --refused, or the target is late--> STANDING (again, at a higher epoch)
    any         --a majority promised to another-------> ENDED

Standing again keeps what was held, and its lease, as `former`: writes wait, and nothing that was
under way is confirmed out of the old epoch any more; the commit index known so far goes over into
the new epoch, and recovery runs in full. Strong reads go on (`reads_on`) at that commit index:
nobody else can lead before the lease is over, and this process has acknowledged nothing beyond. Not
so when the new epoch is asked for by another session: its grants take the place of those that the
lease rests on, and who watches it need not have seen the old session renew.

A shard that goes over into others is closed by an entry of its own log. From the moment it is
written nothing more is admitted, served or vouched for, by this leader, or a later one that finds
it in the log [!] or learns of it from a grant [!]. Such a leader still recovers, and commits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from regions.codec import Code
from regions.quorum import Verdict, bits, quorum_of
from regions.session import Session
from shards.catch_up import CatchUp
from shards.election import Condition, Election
from shards.entry import Entry
from shards.grant import Sighted
from shards.log import Log, Stream
from shards.recovery import Progress, Recovery

FETCH_BYTES = 256 * 1024
REST_MS = 5_000  # a store that finds an append malformed will do so again


class State(Enum):
    """Where a leadership is in its life."""

    STANDING = "standing"
    RECOVERING = "recovering"
    LEADING = "leading"
    HANDING = "handing"
    HANDED = "handed"
    ENDED = "ended"


Reply = Callable[[list[Any] | None, int], None]


@dataclass(slots=True)
class Former:
    """What a leadership that stands again had: the stores of its epoch, and with them its lease."""

    session: Session
    held: int
    epoch: int


class Desk(Protocol):
    """What a leadership may ask of the node it lives in."""

    group: str
    version: int
    voters: int
    stores: int

    def ask(self, store: int, command: list[Any], reply: Reply) -> None:
        """Send on the ordered lane; `reply(result, now_ms)`, result None when the lane was lost."""

    def fetch(self, store: int, command: list[Any], reply: Reply) -> None:
        """Send on the bulk lane; `reply(result, now_ms)`, result None when it was lost."""

    def saw(self, shard: str, store: int, fields: list[Any], now_ms: int) -> None:
        """A store showed its grant of a shard."""

    def dirty(self, leadership: Leadership) -> None:
        """There is something to append for this shard."""

    def lazily(self, leadership: Leadership, now_ms: int) -> None:
        """A commit index or a mark of freshness waits; it may travel with something else."""

    def not_understood(self, leadership: Leadership, store: int) -> None:
        """A store finds an append malformed."""

    def stale_accepted(self, leadership: Leadership, store: int) -> None:
        """A store took an append of an epoch above which it had promised another: it must not."""

    def moved(self, leadership: Leadership, now_ms: int) -> None:
        """State or commit index changed."""

    def ended(self, leadership: Leadership, why: str, release: int, now_ms: int) -> None:
        """It is over; `release` is the mask of stores where its `tenures` must be released."""

    def is_child(self, shard: str) -> bool:
        """Whether a shard is known to have begun with a resharding."""

    def opening(self, leadership: Leadership, tail: Entry, log_kept: bool) -> list[list[Any]]:
        """Effects of the entry that opens the epoch after `tail`: one line of history.

        `log_kept` tells that entries of this process's earlier epoch go on; otherwise what
        became of them is unknown.
        """


class Leadership:
    """One shard at one process. `held` is B: stores that acknowledged a grant of this epoch."""

    __slots__ = (
        "_desk", "_earlier", "_election", "_recovery", "announced", "before", "catch_ups", "epoch",
        "former", "held", "log", "session", "shard", "sighted", "state", "why",
    )  # fmt: skip

    def __init__(self, sighted: Sighted, desk: Desk, session: Session) -> None:
        self.shard = sighted.shard
        self.sighted = sighted
        self.session = session
        self._desk = desk
        self._election: Election | None = None
        self._recovery: Recovery | None = None
        self.catch_ups: dict[int, CatchUp] | None = None
        self.log: Log | None = None
        self.epoch = 0
        self._earlier: tuple[tuple[int, str], ...] = ()  # (epoch, session) stood at before
        self.held = 0
        self.announced = 0  # epoch whose opening has been told
        self.former: Former | None = None
        self.state = State.ENDED
        self.why = ""
        self.before: tuple[str, int] = ("", 0)

    # -- authority

    def until_ms(self) -> int | None:
        """Until when this process may rely on its grants; the greatest over its sessions."""
        until = self.session.until_ms(self.held)
        if self.former is None:
            return until
        old = self.former.session.until_ms(self.former.held)
        return old if until is None else (until if old is None else max(until, old))

    def serves(self, now_ms: int) -> bool:
        """Whether this process may answer for the shard at `now_ms`, its clock just read."""
        if self.state is not State.LEADING or self.is_closed:
            return False
        until = self.session.until_ms(self.held) if self.former is None else self.until_ms()
        return until is not None and now_ms < until

    @property
    def place(self) -> tuple[str, str]:
        """Group and shard."""
        return self._desk.group, self.shard

    @property
    def is_closed(self) -> bool:
        """Whether the log has its last entry: the shard goes on in others."""
        return self.log is not None and self.log.closed > 0

    def reading_epoch(self, now_ms: int) -> int | None:
        """The epoch in which strong reads are answered at `now_ms`; None if they are not."""
        if self.serves(now_ms):
            return self.epoch
        former = self.former
        return former.epoch if former is not None and self.reads_on(now_ms) else None

    def reads_on(self, now_ms: int) -> bool:
        """Whether strong reads go on while this process, which led, stands or recovers again."""
        former = self.former
        if former is None or former.session is not self.session:
            return False
        if self.state not in (State.STANDING, State.RECOVERING) or self.is_closed:
            return False
        until = former.session.until_ms(former.held)
        return until is not None and until > now_ms

    @property
    def tenures(self) -> tuple[tuple[int, str], ...]:
        """(epoch, session) of every grant that a store may still have, the newest last."""
        return (*self._earlier, (self.epoch, self.session.sid))

    # -- standing

    def stand(
        self, session: Session, conditions: dict[int, Condition], why: str, now_ms: int
    ) -> None:
        """Ask the stores in `conditions` for a grant at an epoch above all promises seen."""
        if self.state is State.LEADING and self.former is None:
            self.former = Former(self.session, self.held, self.epoch)
            self._share_commit(self.former)
        leading = self.sighted.leading_grant()
        if leading is not None:
            self.before = (leading.holder, leading.epoch)
        if self.epoch:
            self._earlier = self.tenures
        self.session = session
        self.epoch = self.sighted.tried = self.sighted.greatest_promise() + 1
        self.held = 0
        self.why = why
        self._recovery = None
        self.state = State.STANDING
        election = Election(self.shard, self.epoch, session.sid, conditions, self._desk.voters)
        self._election = election
        for store in conditions:
            command = election.command(store, self._desk.group, self._desk.version)
            self._desk.ask(store, command, self._prepared(election, store))
        self._desk.moved(self, now_ms)

    def _share_commit(self, former: Former) -> None:
        """Tell the stores what is committed, before they are asked for more and then read from."""
        log = self.log
        assert log is not None, "what leads has a log"
        for store in bits(former.held):
            found = log.next_append(store, self._desk.group, self._desk.version, 0, vouch=False)
            if found is not None:
                self._desk.ask(store, found[0], self._appended(log, store, found[1]))

    def _prepared(self, election: Election, store: int) -> Reply:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            if result is None:
                election.unknown(store)
            elif result[0] == Code.OK:
                election.granted(store, result[4:])
                self._granted(election, store, now_ms)
            else:
                election.refused(store, result[0])
                if self.former is not None:
                    self.former.held &= ~(1 << store)
                if len(result) > 4:
                    self._desk.saw(self.shard, store, result[4], now_ms)
            self._decide(election, now_ms)

        return reply

    def _granted(self, election: Election, store: int, now_ms: int) -> None:
        epoch = str(election.epoch)
        self._desk.saw(self.shard, store, [epoch, "0", epoch, election.sid, "held", "", 0], now_ms)
        if election.epoch == self.epoch and self.state not in (State.ENDED, State.HANDED):
            self.held |= 1 << store
            tail = election.tails[store]
            if self.log is not None and self.log.epoch == election.epoch:
                self.log.matches(store, tail.sequence, tail.epoch, tail.chain, tail.committed)
                self._desk.dirty(self)

    def _decide(self, election: Election, now_ms: int) -> None:
        if election is not self._election or self.state is not State.STANDING:
            return
        if election.verdict is Verdict.LOST:
            self.end("lost", now_ms)
        elif election.verdict is Verdict.WON:
            if self._desk.is_child(self.shard) and not election.has_beginning:
                self.end("misled", now_ms)  # no store here has what its parents left
            else:
                self._won(election, now_ms)

    def check_standing(self, deadline_ms: int, now_ms: int) -> None:
        """An election that has not ended by its deadline is lost."""
        election = self._election
        if self.state is State.STANDING and election is not None and now_ms >= deadline_ms:
            election.expired()
            self._decide(election, now_ms)

    # -- recovery

    def _won(self, election: Election, now_ms: int) -> None:
        own, commit = (self.log.last, self.log.commit) if self.log is not None else (None, 0)
        self.state = State.RECOVERING
        self._recovery = Recovery(election.tails, own, commit)
        self._desk.moved(self, now_ms)
        self._recover(now_ms)

    def _recover(self, now_ms: int) -> None:
        recovery = self._recovery
        assert recovery is not None, "recovering without a recovery"
        if recovery.progress is Progress.READY:
            self._open(recovery, now_ms)
        elif recovery.progress is Progress.FAILED:
            self.end("recovery-failed", now_ms)
        else:
            store = recovery.choice.store
            assert store is not None, "the leader's own log needs no fetching"
            command = recovery.next_fetch(
                self._desk.group, self._desk.version, self.shard, FETCH_BYTES
            )
            self._desk.fetch(store, command, self._fetched(recovery))

    def _fetched(self, recovery: Recovery) -> Reply:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            if recovery is not self._recovery or self.state is not State.RECOVERING:
                return
            if result is None or result[0] != Code.OK:
                recovery.progress = Progress.FAILED
            else:
                recovery.fetched(result[12])
            self._recover(now_ms)

        return reply

    def _open(self, recovery: Recovery, now_ms: int) -> None:
        own = self.log if recovery.choice.store is None else None
        log = Log(
            self.shard, self.epoch, self.session.sid, self._desk.voters, self._desk.stores,
            recovery.floor, recovery.choice.committed,
        )  # fmt: skip
        if own is not None:
            log.inherit(own)
        else:
            log.extend(recovery.entries)
        assert self._election is not None, "recovered without an election"
        log.closed = log.closed or self._election.closed
        log.open_epoch(self._desk.opening(self, log.last, own is not None))
        self.log = log
        self._recovery = None
        for store, tail in self._election.tails.items():
            log.matches(store, tail.sequence, tail.epoch, tail.chain, tail.committed)
        self._desk.dirty(self)

    # -- leading

    def next_append(
        self, store: int, bytes_max: int, now_ms: int
    ) -> tuple[list[Any], Reply] | None:
        """The next append for a store, sent at `now_ms`, with what takes its answer."""
        log = self.log
        if log is None or log.epoch != self.epoch or self.state is State.HANDED:
            return None
        if not self.session.live_at(store) or now_ms < log.followers[store].rests_until_ms:
            return None
        found = log.next_append(
            store, self._desk.group, self._desk.version, bytes_max, self.serves(now_ms)
        )
        if found is None:
            return None
        command, number = found
        return command, self._appended(log, store, number)

    def has_answered(self, store: int) -> bool:
        """Whether nothing of this epoch is under way to a store."""
        log = self.log
        if log is None or log.epoch != self.epoch or self.state is State.HANDED:
            return True
        return log.has_answered(store)

    def confirm(self, store: int, now_ms: int) -> tuple[list[Any], Reply] | None:
        """Say once more where a store must stand, in the call of a renewal; see Log.confirm."""
        log = self.log
        if log is None or self.has_answered(store):
            return None
        found = log.confirm(store, self._desk.group, self._desk.version, self.serves(now_ms))
        return None if found is None else (found[0], self._appended(log, store, found[1]))

    def _appended(self, log: Log, store: int, number: int) -> Reply:
        def reply(result: list[Any] | None, now_ms: int) -> None:
            if log is not self.log or log.epoch != self.epoch or self.state is State.ENDED:
                return
            if result is None:
                log.lost(store)
            elif result[0] == Code.OK:
                if self.sighted.grants[store].promised > self.epoch:
                    self._desk.stale_accepted(self, store)
                self._adopted(store)
                before = log.commit
                if log.appended(store, number, result[4:]) > before:
                    self._committed(log, now_ms)
                if log.lacks_entries(store):
                    self._desk.dirty(self)
                elif self.state is State.RECOVERING and log.leaves_behind:
                    self._desk.dirty(self)  # what this store has may now bring others up to it
                elif log.wants(store, self.serves(now_ms)):
                    self._desk.lazily(self, now_ms)
                else:
                    log.forget()  # this may have been the last store that needed what is kept
            elif result[0] == Code.GAP:
                self._adopted(store)
                log.gap(store, number, result[5:])
                self._desk.dirty(self)
            else:
                self._append_refused(log, store, result, now_ms)

        return reply

    def _adopted(self, store: int) -> None:
        if self.state is not State.HANDED:
            self.held |= 1 << store
        if self.held == (1 << self._desk.stores) - 1:
            self._earlier = ()  # no store has an older grant of ours

    def _committed(self, log: Log, now_ms: int) -> None:
        if self.state is State.RECOVERING and log.is_open:
            self.state = State.LEADING
            self.former = None
            self._election = None  # grants that come later are met by appends
        self._desk.moved(self, now_ms)
        log.forget()

    def _append_refused(self, log: Log, store: int, result: list[Any], now_ms: int) -> None:
        code = result[0]
        if code in (Code.FENCED, Code.CONFLICT, Code.DEAD):
            log.refused(store)
            self.held &= ~(1 << store)
        else:
            log.lost(store)
        if code == Code.BAD_COMMAND:
            log.followers[store].rests_until_ms = now_ms + REST_MS
            self._desk.not_understood(self, store)
        if code == Code.FENCED and len(result) > 4:
            self._desk.saw(self.shard, store, result[4], now_ms)
        self._desk.moved(self, now_ms)

    def go_on_from(self, former: Leadership) -> None:
        """Take over the log of this process's leadership in the group's version before.

        Of its grants and acknowledgements nothing counts; what it has logged, and knows to be
        committed, does.
        """
        old = former.log
        assert old is not None, "what led has a log"
        self.log = Log(
            self.shard, old.epoch, old.sid, self._desk.voters, self._desk.stores,
            old.last, old.commit,
        )  # fmt: skip
        self.log.inherit(old)
        self.log.trimming = None  # it counts the stores of the version before

    def retire(self) -> None:
        """It is over but for its log, without a word to the stores: their version is over."""
        self.state = State.ENDED
        self.drop_lease()
        self._election = None
        self._recovery = None
        self.catch_ups = None

    @property
    def is_refused(self) -> bool:
        """Whether some store has refused the present epoch."""
        return self.log is not None and self.log.is_refused

    @property
    def fenced_at(self) -> int:
        """Voters that refuse this epoch: a reason to stand again, or to stop."""
        if self.log is None or self.log.epoch != self.epoch:
            return 0
        followers = self.log.followers[: self._desk.voters]
        return sum(1 << i for i, f in enumerate(followers) if f.stream is Stream.REFUSED)

    def lane_lost(self, store: int) -> None:
        """The ordered lane to a store was lost: its stream starts from certain ground again."""
        if self.log is not None and self.log.epoch == self.epoch:
            self.log.lost(store)

    # -- the end

    def drop_lease(self) -> None:
        """Give up what is held, before anybody else is let in. Only a later epoch counts again."""
        self.held = 0
        self.former = None

    def revoked(self, epoch: int) -> None:
        """Its grants of an earlier epoch were taken away: nothing rests on them any more."""
        if self.former is not None and self.former.epoch <= epoch < self.epoch:
            self.former = None

    def end(self, why: str, now_ms: int) -> None:
        """Let it go; what may be held is released, at every epoch it stood at."""
        if self.state is State.ENDED:
            return
        election = self._election
        may_hold = self.held | (election.may_hold if election is not None else 0)
        if self.log is not None:
            may_hold |= (1 << self._desk.stores) - 1
        self.state = State.ENDED
        self.drop_lease()
        self._election = None
        self._recovery = None
        self.catch_ups = None
        self._desk.ended(self, why, may_hold, now_ms)
        self.log = None

    def sources(self, sequence: int) -> list[int]:
        """Stores known to have everything up to `sequence`, of those that hold this epoch."""
        if (log := self.log) is None:
            return []
        return [i for i in bits(self.held) if log.followers[i].covered >= sequence]

    @property
    def quorum(self) -> int:
        """How many voters decide."""
        return quorum_of(self._desk.voters)
