"""The arithmetic of agreement: majorities, tallies, what a quorum has reached."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.quorum import Tally, Verdict, bits, quorum_of, reached_by_quorum


@pytest.mark.parametrize("voters", range(1, 8))
def test_two_quorums_share_a_store_and_none_is_larger_than_needed(voters: int) -> None:
    quorum = quorum_of(voters)
    sets = [set(chosen) for chosen in combinations(range(voters), quorum)]
    assert all(one & other for one in sets for other in sets)
    if voters > 1:
        smaller = [set(chosen) for chosen in combinations(range(voters), quorum - 1)]
        assert not all(one & other for one in smaller for other in smaller)


@pytest.mark.parametrize(
    ("mask", "stores"), [(0, []), (1, [0]), (0b1010, [1, 3]), (1 << 70 | 1, [0, 70])]
)
def test_bits_are_told_in_order(mask: int, stores: list[int]) -> None:
    assert list(bits(mask)) == stores


@pytest.mark.parametrize(
    ("yes", "no", "unknown", "verdict"),
    [
        (0b000, 0b000, 0b000, Verdict.PENDING),
        (0b001, 0b000, 0b000, Verdict.PENDING),
        (0b011, 0b000, 0b000, Verdict.WON),
        (0b011, 0b100, 0b000, Verdict.WON),
        (0b001, 0b010, 0b000, Verdict.PENDING),
        (0b001, 0b110, 0b000, Verdict.LOST),
        (0b000, 0b011, 0b000, Verdict.LOST),
        (0b001, 0b010, 0b100, Verdict.LOST),  # what is unknown never becomes a yes
        (0b000, 0b000, 0b001, Verdict.PENDING),
        (0b000, 0b000, 0b011, Verdict.LOST),
        (0b011, 0b000, 0b100, Verdict.WON),
    ],
)
def test_a_tally_of_three(yes: int, no: int, unknown: int, verdict: Verdict) -> None:
    tally = Tally(0b111, 2)
    tally.yes, tally.no, tally.unknown = yes, no, unknown
    assert tally.verdict() is verdict
    assert tally.maybe == 0b111 & ~(yes | no | unknown)


def test_a_store_that_was_not_asked_is_no_maybe() -> None:
    tally = Tally(0b001, 2)
    assert tally.verdict() is Verdict.LOST
    assert Tally(0b011, 2).verdict() is Verdict.PENDING


@pytest.mark.parametrize(
    ("values", "quorum", "reached"),
    [
        ([], 1, 0),
        ([5], 2, 0),
        ([5, 7], 2, 5),
        ([5, 7, 9], 2, 7),
        ([9, 5, 7], 3, 5),
        ([0, 0, 9], 2, 0),
        ([4, 4, 4, 8, 9], 3, 4),
    ],
)
def test_what_a_quorum_has_reached(values: list[int], quorum: int, reached: int) -> None:
    assert reached_by_quorum(values, quorum) == reached


@given(st.lists(st.integers(0, 20), max_size=9), st.integers(1, 9))
def test_what_a_quorum_has_reached_is_what_counting_says(values: list[int], quorum: int) -> None:
    reached = [n for n in range(21) if sum(value >= n for value in values) >= quorum]
    assert reached_by_quorum(values, quorum) == max(reached, default=0)


@given(st.integers(1, 200), st.data())
def test_any_two_quorums_of_any_size_share_a_store(voters: int, data: st.DataObject) -> None:
    majorities = st.sets(st.integers(0, voters - 1), min_size=quorum_of(voters))
    assert data.draw(majorities) & data.draw(majorities)
    assert 2 * (quorum_of(voters) - 1) <= voters


@given(st.lists(st.sampled_from(["yes", "no", "unknown", "open", "not asked"]), max_size=9))
def test_a_verdict_is_given_as_soon_as_nothing_can_change_it(answers: list[str]) -> None:
    def mask(*of: str) -> int:
        return sum(1 << at for at, answer in enumerate(answers) if answer in of)

    quorum = quorum_of(len(answers))
    tally = Tally(mask("yes", "no", "unknown", "open"), quorum)
    tally.yes, tally.no, tally.unknown = mask("yes"), mask("no"), mask("unknown")
    worst, best = answers.count("yes"), answers.count("yes") + answers.count("open")
    expected = (
        Verdict.WON if worst >= quorum else Verdict.LOST if best < quorum else Verdict.PENDING
    )
    assert tally.verdict() is expected
