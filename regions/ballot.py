"""One ballot on what the next version of a group is, put by one process to the voters of this one.

Theory of operation. Single-decree Paxos. A ballot is (number, process), compared in this order. In
the first phase each voter is asked to promise that it takes nothing of a smaller ballot, and says
what it accepted in the greatest one so far. A majority's promises make that description the value
of this ballot: it may have been decided, and then nothing else may be. Only if none of them has
accepted any, the value is the one this process wants. In the second phase each voter is asked to
accept the value; a majority has decided it.

    PROMISING --a majority promised--> ACCEPTING --a majority accepted--> Decided
    PROMISING --a majority promised, and there is no value--> Nothing
    any --a majority out of reach--> LostTo (the ballot that some voter promised), NoQuorum
    any --a voter is sealed, or beyond this version--> Decided (it shows what was)

A promise that comes after the second phase began changes nothing any more; an answer that is lost
may have been carried out, and does not count. A ballot is not tried again: the next one has a
greater number, and finds what this one left.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from regions.codec import Code, as_bytes
from regions.membership import GroupDescription, Member, later_description, members
from regions.quorum import Tally, Verdict, quorum_of

Number: TypeAlias = tuple[int, str]
"""A ballot: number and process."""

NONE: Number = (0, "")


class Phase(Enum):
    """What the voters are asked for."""

    PROMISING = "promising"
    ACCEPTING = "accepting"


@dataclass(frozen=True, slots=True)
class Decided:
    """The description of a later version, as its voters keep it."""

    description: bytes


@dataclass(frozen=True, slots=True)
class LostTo:
    """A voter has promised a greater ballot: somebody else is at it."""

    ballot: Number


@dataclass(frozen=True, slots=True)
class NoQuorum:
    """Too few voters answered as asked; why, for each that did not."""

    refusals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was decided, nor will any smaller ballot decide anything: a majority promised."""


Outcome: TypeAlias = Decided | LostTo | NoQuorum | Nothing


class Ballot:
    """One attempt; `outcome` is None while it is open, and never changes afterwards."""

    __slots__ = (
        "_accepted", "_refusals", "_tally", "_version", "greatest", "group", "number", "outcome",
        "phase", "value", "voters",
    )  # fmt: skip

    def __init__(self, old: GroupDescription, number: Number, wanted: bytes | None) -> None:
        """`wanted` is decided only if no voter turns out to have accepted anything else; None only
        asks whether something was."""
        self.group = old.group
        self._version = old.version
        self.voters: list[Member] = members(old.voters)
        self.number = number
        self.value = wanted
        self.phase = Phase.PROMISING
        self.greatest = number  # of all ballots seen: the next one is above it
        self.outcome: Outcome | None = None
        self._accepted = NONE
        self._refusals: dict[str, str] = {}
        self._tally = self._new_tally()

    def _new_tally(self) -> Tally:
        voters = len(self.voters)
        return Tally((1 << voters) - 1, quorum_of(voters))

    def question(self) -> list[Any]:
        """What to ask each voter in this phase, once."""
        if self.phase is Phase.PROMISING:
            return ["ballot", self.group, self._version, *self.number]
        return ["accept", self.group, self._version, *self.number, self.value]

    def answered(self, phase: Phase, voter: Member, result: list[Any] | None) -> None:
        """A voter answered what it was asked in that phase; None: the answer is lost."""
        if self.outcome is not None or phase is not self.phase:
            return
        bit = 1 << self.voters.index(voter)
        if result is None:
            self._tally.unknown |= bit
            self._refusals[voter.store] = "no answer"
        elif result[0] == Code.OK:
            self._tally.yes |= bit
            if phase is Phase.PROMISING:
                self._adopt(result[4:])
        elif (shown := later_description(result, self._version)) is not None:
            self.outcome = Decided(shown)
            return
        else:
            self._tally.no |= bit
            self._refusals[voter.store] = str(result[0])
            if result[0] == Code.STALE:
                self.greatest = max(self.greatest, (result[4], result[5]))
        self._decide()

    def _adopt(self, payload: list[Any]) -> None:
        """Of what is found accepted, the greatest ballot's may have been decided."""
        number, process, description = payload
        if description and (number, process) > self._accepted:
            self._accepted = (number, process)
            self.value = as_bytes(description)

    def _decide(self) -> None:
        verdict = self._tally.verdict()
        if verdict is Verdict.WON and self.value is None:
            self.outcome = Nothing()
        elif verdict is Verdict.WON and self.phase is Phase.PROMISING:
            self.phase = Phase.ACCEPTING
            self._refusals = {}
            self._tally = self._new_tally()
        elif verdict is Verdict.WON and self.value is not None:
            self.outcome = Decided(self.value)
        elif verdict is Verdict.LOST and self.greatest > self.number:
            self.outcome = LostTo(self.greatest)
        elif verdict is Verdict.LOST:
            self.outcome = NoQuorum(tuple(sorted(self._refusals.items())))
