"""Majorities: how many answers decide, and what has been decided so far.

The only arithmetic of agreement in the house. Stores are numbered; sets of stores are bit masks.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """Where a question put to several stores stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def quorum_of(voters: int) -> int:
    """The size of a majority: any two majorities of the same voters share one."""
    return voters // 2 + 1


def bits(mask: int) -> Iterable[int]:
    """Numbers of the stores in `mask`, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Tally:
    """Answers of voters to one question: yes, no, or unknown for ever.

    A store whose answer is lost does not count towards WON and will not, but it is kept apart from
    `no`, because what it was asked may have been done there.
    """

    __slots__ = ("_asked", "_quorum", "no", "unknown", "yes")

    def __init__(self, asked: int, quorum: int) -> None:
        self._asked = asked
        self._quorum = quorum
        self.yes = 0
        self.no = 0
        self.unknown = 0

    @property
    def maybe(self) -> int:
        """Stores that were asked and may still answer."""
        return self._asked & ~(self.yes | self.no | self.unknown)

    def verdict(self) -> Verdict:
        """WON with a majority of yes; LOST once a majority of yes is out of reach."""
        if self.yes.bit_count() >= self._quorum:
            return Verdict.WON
        if (self.yes | self.maybe).bit_count() < self._quorum:
            return Verdict.LOST
        return Verdict.PENDING


def reached_by_quorum(values: list[int], quorum: int) -> int:
    """The greatest number that at least `quorum` of `values` reach (0 if there are too few)."""
    if len(values) < quorum:
        return 0
    return sorted(values, reverse=True)[quorum - 1]
