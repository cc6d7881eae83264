"""The rules of freshness, R19 and R20, each in the smallest schedule that breaks without it.

Named after docs/GUARANTEES.md. A renewal vouches for followers, but not for what it names.
"""

import pytest

from controlplane.requests import Written
from regions.lease_times import LeaseTimes, older_bound_ms
from regions.watch import Watch
from tests.node.rig import Rig, Seat
from tests.rules.one_node import led_rig, let_a_rival_in, spy

TIMES = LeaseTimes(1_000)


def lapsed_rig() -> tuple[Rig, Seat]:
    """The session is renewed by a majority, but of the stores that hold `a` by too few."""
    rig, n1 = led_rig()
    rig.mute("n1", "s2")
    rig.run(rig.ttl_ms)
    assert n1.serves("a")
    let_a_rival_in(rig, "s1", 2)
    n1.put("a", "k")
    rig.until(lambda: n1.led("a").held & 1 == 0, 100)
    until = n1.group.until_ms()
    assert until is not None
    assert until > rig.now_ms
    assert not n1.serves("a")
    return rig, n1


def test_r19_a_renewal_names_what_is_led_without_a_lease() -> None:
    rig, _ = lapsed_rig()
    rig.mute("n1", "s3")  # until it has answered, it is told with each renewal
    commands = spy(rig, "s3")
    rig.run(rig.ttl_ms // 2)
    renewals = [command for command in commands if command[0] == "renew"]
    assert len(renewals) > 1
    assert all(command[7] == ["a"] for command in renewals)
    assert not rig.is_fresh("s3")[0]


def unmark(rig: Rig, n1: Seat) -> None:
    """Have the third store named the shard in a renewal, as if it lacked something."""
    log = n1.led("a").log
    assert log is not None
    log.followers[2].synced = False
    n1.group.outgoing[2].unsure.add("a")
    n1.group.next_renew_ms = rig.now_ms
    rig.turn(n1)


def test_r19_what_was_marked_again_after_a_renewal_is_named_again() -> None:
    rig, n1 = led_rig()
    rig.hold("n1", "s3")
    unmark(rig, n1)
    rig.run(20)  # an append, behind the renewal, marks the store again
    rig.let("n1", "s3")
    rig.settle()
    assert rig.is_fresh("s3")[0]
    rig.run(50)
    commands = spy(rig, "s3")
    unmark(rig, n1)
    rig.settle()
    assert next(c for c in commands if c[0] == "renew")[7] == ["a"]


def test_r19_what_was_marked_again_after_it_was_answered_is_named_again() -> None:
    rig, n1 = led_rig()
    unmark(rig, n1)
    rig.until(lambda: not rig.is_fresh("s3")[0], 50)
    n1.put("a", "k")
    rig.until(lambda: rig.is_fresh("s3")[0], 50)
    rig.run(50)
    commands = spy(rig, "s3")
    unmark(rig, n1)
    rig.settle()
    assert next(c for c in commands if c[0] == "renew")[7] == ["a"]


def test_r19_what_an_earlier_connection_unmarked_is_named_on_the_next_one() -> None:
    rig, _ = lapsed_rig()
    for _ in range(2):
        rig.disconnect("n1", "s3")
        commands = spy(rig, "s3")
        rig.connect("n1", "s3")
        rig.run(rig.ttl_ms // 2)
        vouching = [command for command in commands if command[0] == "renew" and command[6]]
        assert vouching[0][7] == ["a"]
        assert vouching[-1][7] == [], "it knows by now"


def test_a_renewal_of_a_session_that_has_run_out_vouches_for_nothing_and_excepts_nothing() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s2")
    rig.disconnect("n1", "s1")
    rig.until(lambda: not n1.serves("a"))
    commands, seen = spy(rig, "s3"), rig.is_fresh("s3")[1]
    rig.run(rig.ttl_ms)
    renewals = [command[6:8] for command in commands if command[0] == "renew"]
    assert len(renewals) > 1
    assert all(renewal == [0, []] for renewal in renewals)
    assert rig.is_fresh("s3")[1] == seen, "so its copy is known to be as old as it is"


def test_r19_a_leader_without_a_lease_marks_no_store_as_fresh() -> None:
    rig, _ = lapsed_rig()
    commands = spy(rig, "s3")
    rig.disconnect("n1", "s3")
    rig.connect("n1", "s3")
    rig.run(rig.ttl_ms // 2)
    appends = [command for command in commands if command[0] == "append"]
    assert appends
    assert [command for command in appends if command[-1] == 1] == []


def test_r19_a_store_that_lacks_something_is_not_vouched_for() -> None:
    rig, n1 = led_rig()
    leadership = n1.led("a")
    log = leadership.log
    assert log is not None
    log.followers[2].synced = False  # as after a batch that had no room for it
    n1.group.outgoing[2].unsure.add("a")
    rig.hold("n1", "s3")
    assert n1.group.outgoing[2]._unsync(rig.now_ms) == ["a"]
    assert n1.group.outgoing[1]._unsync(rig.now_ms) == []


def test_r19_nor_is_one_whose_connection_is_new() -> None:
    rig, n1 = led_rig()
    commands = spy(rig, "s3")
    rig.disconnect("n1", "s3")
    rig.connect("n1", "s3")
    rig.settle()
    first = next(command for command in commands if command[0] == "renew")
    assert first[7] == ["a"]
    assert n1.serves("a")


@pytest.mark.parametrize("declined", ["entry", "commit index"])
def test_r19_nor_is_one_that_declined_what_the_renewal_builds_on(declined: str) -> None:
    """Its memory was full for the call before, and not for the one with the renewal."""
    rig, n1 = led_rig()
    seen = rig.is_fresh("s3")[1]
    if declined == "entry":
        rig.hold("n1", "s3")
    write = n1.put("a", "k")
    rig.settle()
    rig.hold("n1", "s3")
    wire = rig.wire("n1", "s3")
    rig.until(lambda: any(c[0] == "append" for call in wire.requests for c in call.commands))
    rig.until(lambda: any(c[0] == "renew" for call in wire.requests for c in call.commands))
    rig.full.add("s3")
    first = wire.requests.popleft()
    assert [command[0] for command in first.commands] == ["append"]
    wire.replies.append(rig._execute("s3", first))
    rig.full.clear()
    rig.mute("n1", "s3")
    wire.held = False
    rig.settle()
    assert isinstance(n1.answers[write], Written)
    fresh, newer = rig.is_fresh("s3")
    assert newer > seen  # the renewal was taken
    assert not fresh or rig.log("s3").ap == rig.log("s1").ap
    rig.let("n1", "s3")
    rig.run(2 * rig.ttl_ms)
    assert rig.is_fresh("s3")[0]
    assert rig.log("s3").ap == rig.log("s1").ap


def test_r20_an_age_is_dated_by_a_poll_from_before_what_the_holder_had_seen() -> None:
    watch = Watch(1, TIMES)
    for opseq, sent_ms in ((10, 100), (20, 200), (30, 300)):
        watch.heard(0, opseq, sent_ms)
    assert watch.staleness_ms(0, 20, 500) == older_bound_ms(100, 500)
    assert watch.staleness_ms(0, 21, 500) == older_bound_ms(200, 500)
    assert watch.staleness_ms(0, 10, 500) is None
