"""Ballots: one decides, two never decide differently, and what was accepted is found again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from regions.ballot import Ballot, Decided, LostTo, NoQuorum, Nothing, Number, Outcome, Phase
from regions.codec import Code
from regions.membership import GroupDescription, Member, members, write_description

NEITHER = [1, "open", False]


def group(voters: int = 3) -> GroupDescription:
    return GroupDescription("g", 1, 1_000, {f"s{n}": f"i{n}" for n in range(voters)}, {})


def description(name: str) -> bytes:
    return write_description(GroupDescription("g", 2, 1_000, {name: "i"}, {}))


def promise(an: int = 0, ap: str = "", ad: bytes | bool = False) -> list[Any]:
    return [Code.OK, *NEITHER, an, ap, ad]


OK = [Code.OK, *NEITHER]
STALE = [Code.STALE, *NEITHER, 9, "q"]
SEALED = [Code.SEALED, 1, "sealed", description("shown")]
WANTED, OTHER, OLDER = description("wanted"), description("other"), description("older")


def outcome(
    promises: list[list[Any] | None],
    accepts: list[list[Any] | None],
    wanted: bytes | None = WANTED,
) -> Outcome | None:
    """One ballot, answered voter by voter in each phase."""
    ballot = Ballot(group(), (5, "p"), wanted)
    for phase, answers in ((Phase.PROMISING, promises), (Phase.ACCEPTING, accepts)):
        for voter, answer in zip(ballot.voters, answers, strict=False):
            ballot.answered(phase, voter, answer)
    return ballot.outcome


@pytest.mark.parametrize(
    ("promises", "accepts", "found"),
    [
        ([promise(), promise()], [OK, OK], Decided(WANTED)),
        ([promise(), None, promise()], [OK, None, OK], Decided(WANTED)),
        ([promise(), promise(3, "q", OTHER)], [OK, OK], Decided(OTHER)),
        ([promise(2, "r", OLDER), promise(3, "q", OTHER)], [OK, OK], Decided(OTHER)),
        ([promise(3, "r", OTHER), promise(3, "q", OLDER)], [OK, OK], Decided(OTHER)),
        ([promise(), STALE, STALE], [], LostTo((9, "q"))),
        ([promise(), promise()], [OK, STALE, STALE], LostTo((9, "q"))),
        ([promise(), promise()], [OK], None),
        ([promise()], [OK, OK, OK], None),
        ([None, None], [], NoQuorum((("s0", "no answer"), ("s1", "no answer")))),
        ([[Code.NOT_MEMBER, 0, "absent", False], None], [],
         NoQuorum((("s0", "NOT_MEMBER"), ("s1", "no answer")))),
        ([SEALED], [], Decided(description("shown"))),
        ([promise(), promise()], [OK, SEALED], Decided(description("shown"))),
    ],
)  # fmt: skip
def test_how_a_ballot_ends(
    promises: list[list[Any] | None], accepts: list[list[Any] | None], found: Outcome | None
) -> None:
    assert outcome(promises, accepts) == found


def test_a_ballot_without_a_wish_finds_out_whether_anything_was_decided() -> None:
    assert outcome([promise(), promise()], [], None) == Nothing()
    assert outcome([promise(), promise(3, "q", OTHER)], [OK, OK], None) == Decided(OTHER)
    assert outcome([promise(), STALE, STALE], [], None) == LostTo((9, "q"))


def test_a_promise_that_comes_after_the_second_phase_began_changes_nothing() -> None:
    ballot = Ballot(group(), (5, "p"), WANTED)
    for voter in ballot.voters[:2]:
        ballot.answered(Phase.PROMISING, voter, promise())
    ballot.answered(Phase.PROMISING, ballot.voters[2], promise(4, "q", OTHER))
    assert ballot.question() == ["accept", "g", 1, 5, "p", WANTED]


def test_the_next_ballot_is_above_all_that_were_seen() -> None:
    ballot = Ballot(group(), (5, "p"), WANTED)
    ballot.answered(Phase.PROMISING, ballot.voters[0], STALE)
    assert ballot.greatest == (9, "q")


class Acceptor:
    """One voter's register, as docs/STORE_SETS.md has it."""

    def __init__(self) -> None:
        self.promised: Number = (0, "")
        self.accepted: Number = (0, "")
        self.description: bytes | bool = False

    def do(self, question: list[Any]) -> list[Any]:
        operation, _, _, number, process, *rest = question
        if operation == "ballot":
            if (number, process) <= self.promised:
                return [Code.STALE, *NEITHER, *self.promised]
            self.promised = (number, process)
            return [Code.OK, *NEITHER, *self.accepted, self.description]
        if (number, process) < self.promised:
            return [Code.STALE, *NEITHER, *self.promised]
        self.promised = self.accepted = (number, process)
        self.description = rest[0]
        return OK


class Proposer:
    """A process that puts ballots until one decides; everything it sends may be late or lost."""

    def __init__(self, old: GroupDescription, name: str) -> None:
        self.old = old
        self.name = name
        self.ballot = Ballot(old, (1, name), description(name))
        self.decided: set[bytes] = set()
        self.waiting = self.questions()

    def questions(self) -> list[tuple[Ballot, Phase, Member, list[Any]]]:
        return [
            (self.ballot, self.ballot.phase, voter, self.ballot.question())
            for voter in self.ballot.voters
        ]

    def took(self, ballot: Ballot, phase: Phase, voter: Member, answer: list[Any] | None) -> None:
        before = ballot.phase
        ballot.answered(phase, voter, answer)
        if ballot is not self.ballot:
            return
        if isinstance(ballot.outcome, Decided):
            self.decided.add(ballot.outcome.description)
        if ballot.outcome is not None:
            number = (ballot.greatest[0] + 1, self.name)
            self.ballot = Ballot(self.old, number, description(self.name))
            self.waiting += self.questions()
        elif ballot.phase is not before:
            self.waiting += self.questions()


@pytest.mark.parametrize("voters", [2, 3, 5])
def test_whatever_is_decided_is_decided_for_good(voters: int) -> None:
    """Three processes, each with its own wish, in any order, with losses: one description."""
    seen = set()
    for seed in range(150):
        chance = Random(seed)
        old = group(voters)
        acceptors = {voter: Acceptor() for voter in members(old.voters)}
        proposers = [Proposer(old, name) for name in "pqr"]
        decided: set[bytes] = set()
        for _ in range(60 * voters):
            proposer = chance.choice(proposers)
            if not proposer.waiting:
                continue
            at = chance.randrange(len(proposer.waiting))
            ballot, phase, voter, question = proposer.waiting.pop(at)
            fate = chance.random()
            answer = acceptors[voter].do(question) if fate > 0.1 else None
            proposer.took(ballot, phase, voter, answer if fate > 0.2 else None)
            decided |= proposer.decided
        assert len(decided) <= 1, f"seed {seed}"
        seen |= decided
    assert len(seen) == 3, "each wish was decided in some run: the runs differ"
