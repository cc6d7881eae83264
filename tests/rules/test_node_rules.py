"""The rules that nodes keep, each in the smallest schedule that breaks without it.

Named after docs/GUARANTEES.md. Schedules are played by real nodes over twin stores.
"""

from typing import Any

import pytest

from controlplane.machine import Answered
from controlplane.requests import (
    Evict,
    Found,
    Problem,
    Refused,
    Transfer,
    Transferred,
    Written,
)
from regions.lease_times import LeaseTimes
from regions.session import Session
from regions.watch import Watch
from shards.election import NEVER, Tail, condition_at, pre_vote
from shards.entry import Entry
from shards.grant import Sighted
from shards.leadership import State
from shards.log import Log
from shards.recovery import Recovery
from tests.node.rig import Rig, Seat
from tests.rules.one_node import led_rig, let_a_rival_in, spy
from tests.rules.one_store import chain_of

TIMES = LeaseTimes(1_000)


def leading_state(seat: Seat) -> State | None:
    """How far a node is with shard `a`."""
    return seat.led("a").state if "a" in seat.group.led else None


# -- leases


def test_r10_a_lease_counts_from_when_the_renewal_was_sent() -> None:
    rig, n1 = led_rig()
    sent_ms: list[int] = []
    rig.on_call = lambda _store, commands: sent_ms.extend(
        rig.now_ms for command in commands if command[0] == "renew"
    )
    rig.mute("n1", *rig.stores)
    rig.until(lambda: len(sent_ms) == 3)
    rig.run(100)  # the answers are late
    assert len(sent_ms) == 3
    rig.let("n1", *rig.stores)
    rig.settle()
    assert n1.led("a").until_ms() == sent_ms[0] + TIMES.hold_ms


def test_r11_a_grant_is_not_a_renewal() -> None:
    session = Session("p/1", "g", 1, 3, 3, TIMES)
    for store in range(3):
        session.registered(store, "OK")
    assert session.until_ms(0b111) is None
    session.renewed(0, 50, ["OK", 1, "open", False, 0])
    assert session.until_ms(0b111) is None
    session.renewed(1, 70, ["OK", 1, "open", False, 0])
    assert session.until_ms(0b111) == 50 + TIMES.hold_ms


def test_r11_a_node_that_no_majority_renewed_does_not_stand() -> None:
    rig = Rig()
    n1 = rig.seats["n1"]
    rig.turn(n1)
    rig.carry(n1)  # registered, and renewed nowhere yet
    for store in ("s2", "s3"):
        for session in rig.stores[store].state.groups["g"].sessions.values():
            session.counter = 10**9  # every renewal there is refused as stale
    asked = spy(rig, "s1")
    rig.run(3 * rig.ttl_ms)
    assert [command for command in asked if command[0] == "prepare"] == []


def test_r12_a_leader_that_slept_through_its_lease_answers_nothing() -> None:
    rig, n1 = led_rig()
    n1.asleep = True
    rig.run(2 * rig.ttl_ms)
    assert n1.led("a").state is State.LEADING  # nothing has told it otherwise
    assert not n1.serves("a")
    write, read = n1.put("a", "k"), n1.get("a", "k")
    n1.asleep = False
    rig.turn(n1)
    for number in (write, read):
        answer = n1.answers[number]
        assert isinstance(answer, Refused)
        assert answer.problem is Problem.NO_QUORUM


def test_r12_the_lease_is_looked_at_again_before_a_strong_answer_leaves() -> None:
    rig, n1 = led_rig()
    read = n1.get("a", "k")
    rig.turn(n1)  # the question is on its way to a store
    rig.carry(n1)  # and its answer on the way back
    n1.asleep = True
    rig.run(2 * rig.ttl_ms)
    n1.asleep = False
    rig.turn(n1)
    answer = n1.answers[read]
    assert isinstance(answer, Refused)
    assert answer.problem is Problem.NO_QUORUM


# -- elections


def test_r13_what_the_old_epoch_still_acknowledges_confirms_nothing() -> None:
    rig, n1 = led_rig()
    let_a_rival_in(rig, "s1", 2)
    rig.mute("n1", "s2", "s3")
    write = n1.put("a", "k")
    rig.step_until(n1, lambda: leading_state(n1) is State.STANDING)
    leadership = n1.led("a")
    commit = leadership.log.commit if leadership.log is not None else None
    for store in ("s2", "s3"):
        wire = rig.wire("n1", store)
        assert wire.replies  # to what was sent in the old epoch; the question is still to leave
        while wire.replies:
            n1.inbox.append(Answered(store, wire.generation, wire.replies.popleft()))
            rig.turn(n1)
            assert (leadership.state, leadership.held) == (State.STANDING, 0)
            assert leadership.log is not None
            assert leadership.log.commit == commit
            assert write not in n1.answers
    rig.let("n1", "s2", "s3")
    rig.run(50)
    answer = n1.answers[write]
    assert isinstance(answer, Written)
    assert answer.epoch == n1.led("a").epoch > 2


def test_r13_the_commit_index_goes_over_into_the_new_epoch() -> None:
    tails = {0: Tail(1, 3, 0, 1, 1, 0, 0, ()), 1: Tail(1, 3, 0, 2, 2, 0, 0, ())}
    own = Entry(3, 1, 0, b"")
    assert Recovery(tails, own, 3).choice.committed == 3
    assert Recovery(tails, own, 0).choice.committed == 2


def seen_by_a_watch(still_at: tuple[int, ...]) -> tuple[Sighted, Watch, Session]:
    """Three stores held by h/1, each polled all along; it stopped renewing at some of them."""
    watch, sighted = Watch(3, TIMES), Sighted("a", 3, 3)
    session = Session("p/1", "g", 1, 3, 3, TIMES)
    for store in range(3):
        session.registered(store, "OK")
        sighted.saw(store, ["1", "0", "1", "h/1", "held", "", 0], 0)
        for at_ms in range(0, TIMES.wait_ms + 1, 10):
            counter = 7 if store in still_at else at_ms
            watch.polled(
                store, at_ms, at_ms, 1, [[["h/1", counter, 0, "h", "eu", "", 0]], [], [], 1]
            )
    return sighted, watch, session


def test_r14_silence_at_one_store_says_nothing_of_another() -> None:
    sighted, watch, session = seen_by_a_watch(still_at=(0,))
    now_ms = TIMES.wait_ms
    found = [condition_at(sighted, store, session, watch, now_ms) for store in range(3)]
    assert found == [["dead", "h/1", "1", 7], None, None]
    assert not pre_vote(sighted, session, watch, 3, now_ms).expected


def test_r14_a_watcher_that_has_not_waited_itself_declares_nobody_dead() -> None:
    sighted, watch, session = seen_by_a_watch(still_at=(0, 1, 2))
    early = [condition_at(sighted, 1, session, watch, TIMES.wait_ms - 1)]
    assert early == [None]
    assert condition_at(sighted, 1, session, watch, TIMES.wait_ms) == ["dead", "h/1", "1", 7]
    watch.sightings[1].clear()  # dead there, as the store says: only if it is so may it be used
    assert condition_at(sighted, 1, session, watch, 0) == ["dead", "h/1", "1", NEVER]


def test_a_revoked_grant_is_left_alone_for_the_whole_wait() -> None:
    sighted, watch, session = seen_by_a_watch(still_at=())
    sighted.saw(0, ["1", "0", "1", "h/1", "held", "", 1], 100)
    last_ms = 100 + TIMES.wait_ms
    assert condition_at(sighted, 0, session, watch, last_ms - 1) is None
    assert condition_at(sighted, 0, session, watch, last_ms) == ["revoked", "h/1", "1"]


def test_r15_nothing_is_served_until_an_entry_of_the_new_epoch_is_committed() -> None:
    rig, n1 = led_rig("n1", "n2")
    n2 = rig.seats["n2"]
    n1.put("a", "k", b"acknowledged")
    rig.run(50)
    n1.asleep = True
    rig.step_until(n2, lambda: leading_state(n2) is State.RECOVERING)
    rig.hold("n2", *rig.stores)
    write, read = n2.put("a", "l"), n2.get("a", "k")
    rig.run(100)
    assert not n2.serves("a")
    assert (write in n2.answers, read in n2.answers) == (False, False)
    rig.let("n2", *rig.stores)
    rig.run(50)
    assert isinstance(n2.answers[write], Written)
    found = n2.answers[read]
    assert isinstance(found, Found)
    assert found.values[0] is not None


def test_r16_an_old_entry_on_a_majority_is_not_committed_by_that() -> None:
    old = chain_of(1, "x", "y")
    log = Log("a", 3, "p/1", 3, 3, Entry(0, 0, 0, b""), 0)
    log.extend(old)
    log.open_epoch([])
    for store in (0, 1):
        log.matches(store, 0, 0, 0, 0)
        assert log.appended(store, 0, ["1", 2, old[1].chain, 0, 0, 2, 0]) == 0
    assert not log.is_open
    log.appended(0, 0, ["3", 3, log.last.chain, 0, 0, 3, 0])
    assert log.commit == 0
    assert log.appended(1, 0, ["3", 3, log.last.chain, 0, 0, 3, 0]) == 3
    assert log.is_open


def test_r16_what_a_grant_shows_covers_nothing() -> None:
    old = chain_of(1, "x", "y")
    log = Log("a", 3, "p/1", 3, 3, Entry(0, 0, 0, b""), 0)
    log.extend(old)
    log.open_epoch([])
    for store in range(3):
        log.matches(store, 3, 3, log.last.chain, 0)
    assert [f.covered for f in log.followers] == [0, 0, 0]
    log.appended(0, 0, ["3", 3, log.last.chain, 0, 0, 3, 0])
    assert log.commit == 0


# -- transfers


def test_r17_the_lease_is_given_up_before_the_successor_is_named() -> None:
    rig, n1 = led_rig("n1", "n2")
    untils: list[int | None] = []

    def look(_store: str, commands: list[list[Any]]) -> None:
        if any(command[0] == "handover" for command in commands):
            untils.append(n1.led("a").until_ms())
            assert not n1.serves("a")

    rig.on_call = look
    transfer = n1.ask(Transfer("a", "n2"))
    rig.run(50)
    assert untils == [None, None, None]
    assert isinstance(n1.answers[transfer], Transferred)
    assert rig.seats["n2"].serves("a")


def test_r17_what_is_acknowledged_late_gives_no_lease_back() -> None:
    rig, n1 = led_rig("n1", "n2")
    n1.put("a", "k")
    rig.settle()  # committed; the commit index follows a little later
    rig.mute("n1", *rig.stores)
    rig.run(20)
    late = [len(rig.wire("n1", store).replies) for store in rig.stores]
    assert min(late) > 0
    n1.ask(Transfer("a", "n2"))
    rig.turn(n1)
    assert n1.led("a").state is State.HANDED
    rig.let("n1", *rig.stores)
    for _ in range(3):
        rig.turn(n1)
        assert n1.led("a").until_ms() is None
        rig.carry(n1)


# -- retries


def test_r18_a_retry_at_the_next_leader_happens_once() -> None:
    rig, n1 = led_rig("n1", "n2")
    first = n1.put("a", "k", b"1", op_id="once")
    rig.run(20)
    del rig.seats["n1"]
    n2 = rig.seats["n2"]
    rig.until(lambda: n2.serves("a"))
    again = n2.put("a", "k", b"1", op_id="once")
    rig.run(20)
    done, retried = n1.answers[first], n2.answers[again]
    assert isinstance(done, Written)
    assert isinstance(retried, Written)
    assert (retried.position, retried.replayed) == (done.position, True)


# -- evictions


def test_a_holder_that_obeys_an_eviction_gives_up_before_it_renews_again() -> None:
    rig, n1 = led_rig("n1", "n2")
    commands = spy(rig, "s1")
    rig.untold.add("n1")  # so that it finds out by itself
    rig.seats["n2"].ask(Evict("a"))
    rig.run(400)
    assert "a" not in n1.group.led
    names = [command[0] for command in commands]
    revoked = names.index("revoke")
    acknowledging = next(
        index
        for index, command in enumerate(commands)
        if index > revoked and command[0] == "renew" and command[5] == 1
    )
    assert revoked < names.index("handover") < acknowledging


@pytest.mark.parametrize("lost", ["reply", "request"])
def test_a_question_that_got_no_answer_does_not_count_as_a_grant(lost: str) -> None:
    rig = Rig()
    n1 = rig.seats["n1"]
    rig.step_until(n1, lambda: "a" in n1.group.led)
    for store in ("s2", "s3"):
        (rig.mute if lost == "reply" else rig.hold)("n1", store)
    rig.run(50)
    assert n1.led("a").state is State.STANDING
    assert n1.led("a").held == 1
    rig.disconnect("n1", "s2")
    rig.disconnect("n1", "s3")
    rig.settle()
    assert "a" not in n1.group.led
