"""Deciding what the next version of a group is: from the wish to the decision.

Theory of operation. A wish names the stores of the next version. Those that are not of this version
under their present incarnation are minted: each makes its own, and it is read back from the store,
never sent to one. New voters then learn all that is committed, as learners, so that they can stand
in for those that go as soon as they count. Only when nothing speaks against it any more
(`may_follow`) the voters of this version decide by a ballot, and again by a greater one, after a
wait with jitter, for as long as nobody wins.

    WANTED     --each store of the wish has an incarnation--> MINTED
    MINTED     --each new voter has caught up---------------> CAUGHT_UP
    MINTED, CAUGHT_UP --a new store forgot------------------> WANTED
    CAUGHT_UP  --a majority accepted one description--------> DECIDED
    any        --a voter shows a later version--------------> DECIDED
    WANTED, MINTED, CAUGHT_UP --give_up, nothing proposed---> GIVEN_UP

What is decided may be somebody else's description: whoever wanted another one wishes again, of that
version. Once any voter was asked to accept, the change may be decided without anybody knowing it:
it is not given up from then on, until a ballot has told. When something speaks against proposing it
again, that ballot only asks: a majority that has accepted nothing, and promised, is an answer.

After a crash the next coordinator begins at WANTED; it finds what was minted by asking, and what
was copied in the learners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from regions.backoff import full_jitter_ms
from regions.ballot import Ballot, Decided, LostTo, NoQuorum, Nothing, Number, Outcome, Phase
from regions.codec import Reply
from regions.membership import (
    STATE_AT,
    VERSION_AT,
    GroupDescription,
    Member,
    ask_for_description,
    later_description,
    may_follow,
    members,
    write_description,
)
from regions.minting import Minting
from regions.store_calls import Calls

ROUNDS_OF_TTL = 3  # every member is heard so often within a TTL, or it is asked


class State(Enum):
    """How far a change is; from DECIDED on it is finished (shards/install), by whomever."""

    WANTED = "wanted"
    MINTED = "minted"
    CAUGHT_UP = "caught up"
    DECIDED = "decided"
    SEALED = "sealed"
    MERGED = "merged"
    INSTALLED = "installed"
    IN_USE = "in use"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class Wish:
    """Stores that the next version should have, by name. One of this version keeps its place and
    its incarnation, but for those in `forgot`: theirs are gone, and they are admitted anew.

    `ttl_ms` is another lease, `set_ttl_ms` the one that people set; None: as they are. `settled`:
    the process that wishes has waited until no lease of a version before this one can be left."""

    voters: tuple[str, ...]
    followers: tuple[str, ...] = ()
    forgot: frozenset[str] = frozenset()
    ttl_ms: int | None = None
    set_ttl_ms: int | None = None
    settled: bool = False


class Copying(Protocol):
    """What makes one new voter a learner that has caught up; see shards/learning."""

    caught_up: bool
    why: str  # what it waits for, "" for nothing

    def advance(self, now_ms: int) -> None:
        """Do what there is to do now."""


MakeCopying: TypeAlias = Callable[[Member], Copying]


class Change:
    """One change of one group at one process."""

    __slots__ = (
        "_ballot", "_calls", "_copies", "_counting", "_draw", "_failures", "_given_up",
        "_listened_ms", "_make_copying", "_minting", "_next_ballot_ms", "_number", "_proposed",
        "description", "incarnations", "late", "old", "why", "wish",
    )  # fmt: skip

    def __init__(
        self, old: GroupDescription, wish: Wish, number: Number, calls: Calls,
        make_copying: MakeCopying, draw: Callable[[], float],
    ) -> None:  # fmt: skip
        """`number` is this process's first ballot. Its process also tells its minting from that of
        others, so it must not be used by two changes that mint the same store at once."""
        self.old = old
        self.wish = wish
        self.description: bytes | None = None  # what was decided
        self.why = ""  # what it waits for
        known = {
            store: incarnation
            for store, incarnation in old.incarnations.items()
            if (store in wish.voters or store in wish.followers) and store not in wish.forgot
        }
        self._calls = calls
        self._make_copying = make_copying
        self._copies: dict[Member, Copying] = {}
        self._draw = draw
        self._number = number
        nonce = f"{number[1]}/{number[0]}"
        self._minting = Minting(old.incarnations, known, nonce, calls, self._say)
        self.incarnations = self._minting.incarnations
        self._ballot: Ballot | None = None
        self._proposed = False  # a description may be decided already
        self._next_ballot_ms = 0
        self._listened_ms: dict[Member, int] = {}
        self._failures = 0
        self._given_up = False
        self._counting: set[Member] = set()  # members that answered as such, in this version
        self.late: set[Member] = set()  # those that have not come to it yet

    @property
    def state(self) -> State:
        """How far it is."""
        if self.description is not None:
            return State.DECIDED
        if self._given_up:
            return State.GIVEN_UP
        if self._unminted:
            return State.WANTED
        if all(m in self._copies and self._copies[m].caught_up for m in self._new_voters):
            return State.CAUGHT_UP
        return State.MINTED

    def give_up(self) -> bool:
        """Leave it, if nothing was proposed yet; says whether it was left."""
        self._given_up = not self._proposed and self.description is None
        if self._given_up:
            self._ballot = None
        return self._given_up

    def advance(self, now_ms: int) -> None:
        """Ask for whatever can be asked now; early, late and repeated calls are fine."""
        if self.state in (State.DECIDED, State.GIVEN_UP):
            return
        self._forget_the_gone()
        for store in self._unminted:
            self._minting.mint(store, now_ms)
        self._copy(now_ms)
        self._listen(now_ms)
        if self._ballot is None and now_ms >= self._next_ballot_ms:
            self._propose(now_ms)

    def deadline_ms(self, now_ms: int) -> int:
        """When `advance` may have something to do, if no answer comes before."""
        listen_ms = now_ms + self.old.ttl_ms // ROUNDS_OF_TTL
        times = [listen_ms, self._calls.rested_ms(now_ms) or listen_ms]
        if self._ballot is None and self._next_ballot_ms > now_ms:
            times.append(self._next_ballot_ms)
        return min(times)

    # -- minting

    @property
    def _unminted(self) -> list[str]:
        stores = (*self.wish.voters, *self.wish.followers)
        return [store for store in stores if store not in self.incarnations]

    def _forget_the_gone(self) -> None:
        """A store that forgot what was minted here must be minted again."""
        for store, incarnation in list(self.incarnations.items()):
            member = Member(store, incarnation)
            if member in self._calls.unfit and self.old.incarnations.get(store) != incarnation:
                del self.incarnations[store]
                self._copies.pop(member, None)

    def _say(self, why: str) -> None:
        self.why = why

    # -- catching up

    @property
    def _new_voters(self) -> list[Member]:
        """Those that must learn. A follower of this version has what its leaders send it."""
        old = self.old.incarnations
        minted = ((store, self.incarnations.get(store)) for store in self.wish.voters)
        return [Member(s, i) for s, i in minted if i is not None and old.get(s) != i]

    def _copy(self, now_ms: int) -> None:
        """Let new voters learn, once this version decides: before, a store of the one that goes
        before it may be needed as it is."""
        absent = [m.store for m in members(self.old.voters) if m not in self._counting]
        if len(self.old.voters) - len(absent) < self.old.quorum:
            why = f"no quorum of version {self.old.version} answers: {', '.join(absent)} missing"
            self.why = why if self._new_voters else self.why
            return
        for member in self._new_voters:
            if member not in self._copies:
                self._copies[member] = self._make_copying(member)
            self._copies[member].advance(now_ms)

    def _listen(self, now_ms: int) -> None:
        """Hear from every member concerned, now and then: also what they know of later versions.

        A question that is not answered keeps nobody from asking again.
        """
        since_ms = now_ms - self.old.ttl_ms // ROUNDS_OF_TTL
        concerned = {*members(self.old.voters), *members(self.incarnations)}
        for member in sorted(concerned):
            asked_ms = self._listened_ms.get(member, since_ms)
            if asked_ms > since_ms or self._calls.answered_since(member, since_ms):
                continue
            if self._calls.ready(member, now_ms):
                self._listened_ms[member] = now_ms
                question = [ask_for_description(self.old.group)]
                self._calls.ask(member, question, self._heard(member))

    def _heard(self, member: Member) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, _now_ms: int) -> None:
            if reply is not None:
                result = reply.results[0]
                self.saw(result)
                counts = result[STATE_AT] == "open" and result[VERSION_AT] == self.old.version
                self._place(member, counts)

        return take

    def _place(self, member: Member, counts: bool) -> None:
        """Keep who counts in this version, and which of its stores do not yet."""
        is_of_it = self.old.incarnations.get(member.store) == member.incarnation
        for stores, belongs in ((self._counting, counts), (self.late, is_of_it and not counts)):
            (stores.add if belongs else stores.discard)(member)

    def saw(self, result: list[Any]) -> None:
        """Take any answer of a store of this group: it may show that a later version is decided."""
        shown = later_description(result, self.old.version)
        if shown is not None:
            self.description = shown

    # -- deciding

    def proposal(self) -> GroupDescription:
        """What this process wants; incarnations that are not known yet are ""."""
        old, wish = self.old, self.wish
        ttl_ms = old.ttl_ms if wish.ttl_ms is None else wish.ttl_ms
        set_ms = old.least_ttl_ms if wish.set_ttl_ms is None else wish.set_ttl_ms
        left_ms = old.ttl_ms if wish.settled else old.longest_ttl_ms
        return GroupDescription(
            self.old.group,
            self.old.version + 1,
            ttl_ms,
            {store: self.incarnations.get(store, "") for store in self.wish.voters},
            {store: self.incarnations.get(store, "") for store in self.wish.followers},
            dict(self.old.voters),
            self.old.floor,
            set_ttl_ms=set_ms if set_ms != ttl_ms else 0,
            earlier_ttl_ms=left_ms if left_ms > ttl_ms else 0,
            cluster=self.old.cluster,
        )

    def _propose(self, now_ms: int) -> None:
        """Begin a ballot, if nothing speaks against it, or if an earlier one may have decided."""
        new = self.proposal()
        if self.state is State.CAUGHT_UP:
            self.why = self._objection(new, now_ms)
            wanted = None if self.why else write_description(new)
        else:
            self.why = next((c.why for c in self._copies.values() if c.why), self.why)
            wanted = None
        if wanted is not None or self._proposed:
            self._ballot = Ballot(self.old, self._number, wanted)
            self._put(self._ballot)

    def _objection(self, new: GroupDescription, now_ms: int) -> str:
        since_ms = now_ms - self.old.ttl_ms
        known = [*self._counting, *self._new_voters]
        answering = [m for m in known if self._calls.answered_since(m, since_ms)]
        caught_up = [m for m, copy in self._copies.items() if copy.caught_up]
        return may_follow(self.old, new, [*caught_up, *members(self.old.followers)], answering)

    def _put(self, ballot: Ballot) -> None:
        """Ask every voter what this phase of the ballot asks."""
        phase = ballot.phase
        if phase is Phase.ACCEPTING:
            self._proposed = True
        for voter in ballot.voters:
            self._calls.ask(voter, [ballot.question()], self._answered(ballot, phase, voter))

    def _answered(
        self, ballot: Ballot, phase: Phase, voter: Member
    ) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            before = ballot.phase
            ballot.answered(phase, voter, None if reply is None else reply.results[0])
            if ballot is not self._ballot:
                return
            if ballot.outcome is not None:
                self._ballot = None
                self._number = (ballot.greatest[0] + 1, self._number[1])
                self._ended(ballot.outcome, now_ms)
            elif ballot.phase is not before:
                self._put(ballot)

        return take

    def _ended(self, outcome: Outcome, now_ms: int) -> None:
        match outcome:
            case Decided(description):
                self.description = description
                return
            case Nothing():
                self._proposed = False
            case LostTo((_, process)):
                self.why = f"{process} has a ballot under way"
            case NoQuorum(refusals):
                told = ", ".join(f"{store}: {why}" for store, why in refusals)
                self.why = f"no quorum for a ballot: {told}"
        ttl_ms = self.old.ttl_ms
        pause_ms = full_jitter_ms(
            self._failures, first_ms=ttl_ms // 4, ceiling_ms=2 * ttl_ms, draw=self._draw()
        )
        self._failures += 1
        self._next_ballot_ms = now_ms + pause_ms
