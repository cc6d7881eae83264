"""A leadership's transitions, row by row; whole stories are in scenarios/."""

from collections.abc import Callable

import pytest

from regions.session import Session
from shards.leadership import Leadership, State
from tests.shards.leadership_stage import Stage


def staged(*steps: str) -> Stage:
    stage = Stage()
    for step in ("renew", *steps):
        stage.do(*step.split())
    stage.trace.clear()
    return stage


STANDING = ("stand",)
RECOVERING = ("stand", "deliver 1 2")
LEADING = ("stand", "deliver", "settle")


@pytest.mark.parametrize(
    ("before", "steps", "state"),
    [
        ((), (), State.ENDED),
        ((), ("stand",), State.STANDING),
        (STANDING, ("deliver 1",), State.STANDING),
        (STANDING, ("deliver 1 2",), State.RECOVERING),
        (STANDING, ("lose 1", "deliver 2"), State.STANDING),
        (STANDING, ("lose 1", "deliver 2 3"), State.RECOVERING),
        (STANDING, ("lose 1", "lose 2"), State.ENDED),
        (STANDING, ("expire",), State.ENDED),
        (STANDING, ("deliver 1", "expire"), State.ENDED),
        (STANDING, ("rival 7 1", "rival 7 2", "deliver 1 2"), State.ENDED),
        (RECOVERING, ("expire",), State.RECOVERING),  # its election is won, and has no deadline
        (RECOVERING, ("send", "deliver 1"), State.RECOVERING),
        (RECOVERING, ("send", "deliver 1 2"), State.LEADING),
        (RECOVERING, ("deliver 3", "send", "deliver 1", "lose 2"), State.RECOVERING),
        (LEADING, ("lose 1", "lose 2", "lose 3"), State.LEADING),  # time ends it, no event does
        (LEADING, ("run 9999",), State.LEADING),
        (LEADING, ("stand",), State.STANDING),
        (LEADING, ("end why",), State.ENDED),
        (LEADING, ("end why", "end why"), State.ENDED),
    ],
)
def test_transitions(before: tuple[str, ...], steps: tuple[str, ...], state: State) -> None:
    stage = staged(*before)
    for step in steps:
        stage.do(*step.split())
    assert stage.leadership.state is state


@pytest.mark.parametrize("state", [s for s in State if s is not State.LEADING])
def test_only_a_leader_serves_whatever_its_lease(state: State) -> None:
    stage = staged(*LEADING)
    assert stage.leadership.serves(stage.now_ms)
    stage.leadership.state = state
    assert stage.leadership.until_ms() is not None
    assert not stage.leadership.serves(stage.now_ms)


@pytest.mark.parametrize(
    ("at_ms", "serves"), [(0, True), (979, True), (980, False), (5_000, False)]
)
def test_a_leader_serves_while_its_lease_lasts(at_ms: int, serves: bool) -> None:
    stage = staged(*LEADING)
    assert stage.leadership.serves(at_ms) == serves


def test_only_acknowledged_grants_are_held() -> None:
    stage = staged("stand", "execute 1", "execute 2", "execute 3")
    assert stage.leadership.held == 0
    stage.do("answer", "2")
    stage.do("lose", "1")
    stage.do("answer", "3")
    assert stage.leadership.held == 0b110


def test_an_append_that_is_accepted_is_held_as_well_as_a_grant() -> None:
    stage = staged("stand 1 2", "deliver 1 2", "settle")
    assert stage.leadership.held == 0b111
    assert stage.twins[2].state.groups["g"].grants["a"].h == "p/1"


def test_a_gap_adopts_too() -> None:
    stage = staged("stand 1 2", "deliver 1 2", "send", "deliver 1 2")
    stage.do("deliver", "3")
    log = stage.leadership.log
    assert log is not None
    assert stage.leadership.held == 0b111
    log.followers[2].sent = log.last.sequence  # as if a call had been lost on the way
    stage.do("write", "k")
    stage.do("settle")
    assert stage.twins[2].state.groups["g"].shards["a"].ts == log.last.sequence


def _seal(stage: Stage) -> None:
    stage.twins[0].state.groups["g"].state = "sealed"


@pytest.mark.parametrize(
    ("spoil", "held", "stream"),
    [
        (lambda stage: stage.do("rival", "9", "1"), 0b110, "refused"),  # FENCED
        (lambda stage: stage._do(0, "bury", "p/1", 1), 0b111, "flowing"),  # no matter in its epoch
        (_seal, 0b111, "unknown"),  # SEALED: not of this epoch's making
    ],
)
def test_what_a_refused_append_means(
    spoil: Callable[[Stage], object], held: int, stream: str
) -> None:
    stage = staged(*LEADING)
    spoil(stage)
    stage.do("write", "k")
    stage.do("send")
    stage.do("deliver")
    log = stage.leadership.log
    assert log is not None
    assert (stage.leadership.held, log.followers[0].stream.value) == (held, stream)
    assert stage.leadership.fenced_at == (0b001 if stream == "refused" else 0)


def test_an_epoch_is_above_everything_seen_and_everything_asked() -> None:
    stage = staged("rival 41 3", "stand", "deliver")
    assert stage.leadership.epoch == 42
    stage.do("end", "why")
    stage.do("again")
    stage.sighted.grants = [stage.sighted.grants[0].__class__()] * 3  # all of it forgotten
    stage.leadership.stand(stage.session, {0: ["free"]}, "free", 0)
    assert stage.leadership.epoch == 43


def test_it_knows_who_was_seen_before_it() -> None:
    stage = staged("rival 4 1", "stand")
    assert stage.leadership.before == ("x/1", 4)


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        (("stand", "end why"), "ended, why: release 1 at 1 2 3"),
        (("stand 1 2", "end why"), "ended, why: release 1 at 1 2"),
        (("rival 7 1", "stand", "deliver 1", "end why"), "ended, why: release 8 at 2 3"),
        (("stand 1 2", "deliver", "end why"), "ended, why: release 1 at 1 2 3"),  # it has appended
        ((*LEADING, "stand", "end why"), "ended, why: release 1 and 2 at 1 2 3"),
        ((*LEADING, "stand", "deliver", "settle", "end why"), "ended, why: release 2 at 1 2 3"),
    ],
)
def test_what_is_released_at_the_end(steps: tuple[str, ...], shown: str) -> None:
    stage = staged()
    for step in steps:
        stage.do(*step.split())
    assert stage.trace[-1] == shown


@pytest.mark.parametrize("late", ["deliver 3", "lose 3"])
def test_answers_after_the_end_change_nothing(late: str) -> None:
    stage = staged("stand", "deliver 1 2", "end why")
    stage.do(*late.split())
    assert (stage.leadership.state, stage.leadership.held) == (State.ENDED, 0)
    assert stage.leadership.log is None
    assert stage.leadership.next_append(0, 1 << 20, 0) is None


def test_answers_to_an_older_election_change_nothing_of_the_next() -> None:
    stage = staged(*LEADING, "stand", "execute 3", "stand")
    assert stage.leadership.epoch == 3
    stage.do("answer", "3")  # the grant of epoch 2
    assert (stage.leadership.state, stage.leadership.held) == (State.STANDING, 0)


def test_nothing_is_appended_where_the_session_is_not_known_or_the_shard_is_handed_over() -> None:
    stage = staged(*LEADING)
    stage.do("write", "k")
    made: Leadership = stage.leadership
    made.session = Session("p/2", "g", 1, 3, 3, stage.times)
    assert made.next_append(0, 1 << 20, 0) is None
    made.session = stage.session
    made.state = State.HANDED
    assert made.next_append(0, 1 << 20, 0) is None
    made.state = State.HANDING
    assert made.next_append(0, 1 << 20, 0) is not None


def test_standing_again_keeps_the_lease_until_the_new_epoch_is_open() -> None:
    stage = staged(*LEADING)
    until_ms = stage.leadership.until_ms()
    stage.do("stand")
    assert (stage.leadership.held, stage.leadership.until_ms()) == (0, until_ms)
    stage.do("deliver")
    stage.do("settle")
    assert stage.leadership.former is None
    assert stage.leadership.until_ms() == until_ms


def test_a_lease_that_was_dropped_is_gone_though_the_session_is_renewed() -> None:
    stage = staged(*LEADING)
    stage.leadership.drop_lease()
    stage.do("renew")
    assert stage.leadership.until_ms() is None


def test_sources_are_stores_that_hold_the_epoch_and_have_acknowledged_so_much() -> None:
    stage = staged(*LEADING)
    stage.do("write", "k")
    stage.do("send")
    stage.do("deliver", "2")
    assert stage.leadership.sources(1) == [0, 1, 2]
    assert stage.leadership.sources(2) == [1]
    stage.do("rival", "9", "2")
    stage.do("write", "l")
    stage.do("send")
    stage.do("deliver")
    assert 1 not in stage.leadership.sources(1)
