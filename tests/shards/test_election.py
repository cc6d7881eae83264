"""Standing: conditions store by store, what to expect, and the one round of questions."""

from typing import Any

import pytest

from regions.lease_times import LeaseTimes
from regions.quorum import Verdict
from regions.session import Session
from regions.watch import Watch
from shards.election import NEVER, Election, condition_at, pre_vote
from shards.grant import Sighted

TIMES = LeaseTimes(1_000)
NOW_MS = 10_000
LONG_AGO_MS = NOW_MS - TIMES.wait_ms
ME = "p/2"
TAIL = ["3", 7, 99, 5, 4, "1", 2, 88, 1_000, [[6, b"six"], [7, b"seven"]]]


class Scene:
    """Three stores as one process sees them, all answering, its session live at all."""

    def __init__(self) -> None:
        self.watch = Watch(3, TIMES)
        self.sighted = Sighted("a", 3, 3)
        self.session = Session(ME, "g", 1, 3, 3, TIMES)
        for store in range(3):
            self.session.registered(store, "OK")
            self.poll(store, NOW_MS)

    def poll(self, store: int, at_ms: int, *sessions: tuple[str, int]) -> None:
        rows = [[sid, counter, 0, "n", "eu", "url", 0] for sid, counter in sessions]
        self.watch.polled(store, at_ms, at_ms, 1, [rows, [], [], 1])

    def grant(self, *fields: Any, at_ms: int = 0) -> None:
        self.sighted.saw(0, list(fields), at_ms)

    def condition(self, now_ms: int = NOW_MS) -> list[Any] | None:
        return condition_at(self.sighted, 0, self.session, self.watch, now_ms)


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        (["0", "0", "0", "", "free", "", 0], ["free"]),
        (["4", "9", "4", "", "free", "", 0], ["free"]),
        (["4", "0", "4", ME, "held", "", 0], ["mine"]),
        (["4", "0", "4", "p/1", "held", "", 0], ["mine"]),  # another session of this process
        (["4", "0", "4", "p/1", "handover", "q/1", 0], ["mine"]),
        (["4", "0", "4", "p/1", "held", "", 1], ["dead", "p/1", "4", NEVER]),
        (["4", "0", "4", "q/1", "handover", ME, 0], ["handover"]),
        (["4", "0", "4", "q/1", "handover", "p/1", 0], ["dead", "q/1", "4", NEVER]),
        (["4", "0", "4", "q/1", "held", "", 0], ["dead", "q/1", "4", NEVER]),  # not live there
        (["4", "0", "4", "q/1", "inherited", "", 0], None),
        (["4", "0", "4", "q/1", "unheard of", "", 0], None),
    ],
)
def test_conditions_by_what_a_store_showed(fields: list[Any], condition: list[Any] | None) -> None:
    scene = Scene()
    scene.grant(*fields)
    assert scene.condition() == condition


INHERITED = [
    "4",
    "0",
    "4",
    "p/1",
    "inherited",
    "",
    0,
]  # held here, in the version before


@pytest.mark.parametrize(
    ("fields", "until_ms", "condition"),
    [
        (INHERITED, NOW_MS + 1, ["carry", "p/1", "4"]),
        (INHERITED, NOW_MS, None),  # the lease of the version before is over
        ([*INHERITED[:6], 1], NOW_MS + 1, None),  # it was revoked
        (["4", "0", "4", "q/1", "inherited", "", 0], NOW_MS + 1, None),  # another's
        (["4", "0", "4", "", "inherited", "", 0], NOW_MS + 1, None),  # let go, some store says
    ],
)
def test_an_inherited_grant_is_carried_by_its_holder_within_its_lease(
    fields: list[Any], until_ms: int, condition: list[Any] | None
) -> None:
    scene = Scene()
    scene.session.carries["a"] = until_ms
    scene.grant(*fields)
    assert scene.condition() == condition


def test_an_inherited_grant_is_anybodys_after_a_whole_wait_in_the_present_version() -> None:
    scene = Scene()  # which first heard a store at NOW_MS
    scene.grant("4", "0", "4", "q/1", "inherited", "", 0)
    assert scene.condition(NOW_MS + TIMES.wait_ms - 1) is None
    assert scene.condition(NOW_MS + TIMES.wait_ms) == ["waited"]


@pytest.mark.parametrize(
    ("silent_since_ms", "condition"),
    [
        (LONG_AGO_MS, ["dead", "q/1", "4", 7]),
        (LONG_AGO_MS + 1, None),
        (NOW_MS, None),
    ],
)
def test_a_live_holder_is_asked_for_only_after_the_whole_wait(
    silent_since_ms: int, condition: list[Any] | None
) -> None:
    scene = Scene()
    scene.grant("4", "0", "4", "q/1", "held", "", 0)
    scene.poll(0, silent_since_ms, ("q/1", 7))
    assert scene.condition() == condition


@pytest.mark.parametrize(
    ("revoked_ms", "condition"),
    [(LONG_AGO_MS, ["revoked", "q/1", "4"]), (LONG_AGO_MS + 1, None)],
)
def test_a_revoked_grant_of_one_who_renews_is_asked_for_after_the_whole_wait(
    revoked_ms: int, condition: list[Any] | None
) -> None:
    scene = Scene()
    scene.grant("4", "0", "4", "q/1", "held", "", 1, at_ms=revoked_ms)
    scene.poll(0, NOW_MS, ("q/1", 7))
    assert scene.condition() == condition


def test_a_majority_is_expected_where_every_store_has_its_condition() -> None:
    prospect = pre_vote(Scene().sighted, Scene().session, Scene().watch, 3, NOW_MS)
    assert prospect.expected
    assert prospect.conditions == {0: ["free"], 1: ["free"], 2: ["free"]}
    assert prospect.why == ""


@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        ("silent", "store 0 does not answer"),
        ("unregistered", "store 0 does not know this session"),
        ("held", "store 0 is held by q/1 at epoch 4"),
    ],
)
@pytest.mark.parametrize("stores", [1, 2])
def test_one_store_may_be_missing_and_two_may_not(obstacle: str, why: str, stores: int) -> None:
    scene = Scene()
    for store in range(stores):
        if obstacle == "silent":
            scene.watch.polled_ms[store] = None
        elif obstacle == "unregistered":
            scene.session.standing[store] = Session("x/1", "g", 1, 1, 1, TIMES).standing[0]
        else:
            scene.sighted.saw(store, ["4", "0", "4", "q/1", "held", "", 0], 0)
            scene.poll(store, NOW_MS, ("q/1", 7))
    prospect = pre_vote(scene.sighted, scene.session, scene.watch, 3, NOW_MS)
    assert prospect.expected == (stores == 1)
    assert (why in prospect.why) == (stores == 2)
    assert set(prospect.conditions) == set(range(3)) - set(range(stores))


def test_followers_are_not_asked() -> None:
    scene = Scene()
    prospect = pre_vote(scene.sighted, scene.session, scene.watch, 2, NOW_MS)
    assert set(prospect.conditions) == {0, 1}


# -- the round


def election(*stores: int) -> Election:
    return Election("a", 9, ME, {store: ["free"] for store in stores or (0, 1, 2)}, 3)


def test_a_question_names_epoch_session_and_condition() -> None:
    asked = Election("a", 9, ME, {1: ["dead", "q/1", "4", 7]}, 3)
    assert asked.command(1, "g", 2) == [
        "prepare", "g", 2, "a", "9", ME, ["dead", "q/1", "4", 7],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "verdicts"),
    [
        ("yy", ["pending", "won"]),
        ("yny", ["pending", "pending", "won"]),
        ("nn", ["pending", "lost"]),
        ("un", ["pending", "lost"]),
        ("yuu", ["pending", "pending", "lost"]),
        ("yynu", ["pending", "won", "won", "won"]),
    ],
)
def test_a_round_is_won_by_a_majority_and_lost_when_none_can_be(
    answers: str, verdicts: list[str]
) -> None:
    asked = election()
    found = []
    for store, answer in enumerate(answers):
        store %= 3
        if answer == "y":
            found.append(asked.granted(store, TAIL))
        elif answer == "n":
            found.append(asked.refused(store, "HELD"))
        else:
            found.append(asked.unknown(store))
    assert [verdict.value for verdict in found] == verdicts


@pytest.mark.parametrize("early", [True, False])
def test_time_that_is_up_makes_the_rest_unknown(early: bool) -> None:
    asked = election()
    asked.granted(0, TAIL)
    if not early:
        asked.granted(1, TAIL)
    verdict = Verdict.LOST if early else Verdict.WON
    assert asked.expired() is verdict
    assert asked.expired() is verdict  # twice is once
    assert asked.granted_at == (0b001 if early else 0b011)


def test_a_loser_must_release_where_it_was_or_may_have_been_granted() -> None:
    asked = election()
    asked.granted(0, TAIL)
    asked.refused(1, "FENCED")
    assert asked.may_hold == 0b101
    asked.unknown(2)
    assert asked.may_hold == 0b101
    assert asked.refusals == {1: "FENCED", 2: "no answer"}


def test_too_few_stores_to_ask_lose_at_once() -> None:
    assert election(0).verdict is Verdict.LOST


def test_a_grant_tells_the_log_of_its_store() -> None:
    asked = election()
    asked.granted(0, TAIL)
    tail = asked.tails[0]
    assert (tail.epoch, tail.sequence, tail.chain, tail.committed, tail.applied) == (3, 7, 99, 5, 4)
    assert (tail.base, tail.size_bytes) == (2, 1_000)
    assert tail.suffix == ((6, b"six"), (7, b"seven"))
