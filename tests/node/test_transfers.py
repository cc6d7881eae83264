"""Transfers and evictions between real nodes: told, taken over, taken back."""

from controlplane.requests import (
    Evict,
    Evicted,
    History,
    Outcome,
    Problem,
    Refused,
    Tenures,
    Transfer,
    Transferred,
    Written,
)
from shards.leadership import State
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a` and holds it everywhere."""
    rig = Rig(nodes or ("n1", "n2"))
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    rig.run(rig.ttl_ms)
    return rig, seat


def problem(outcome: Outcome) -> Problem | None:
    return outcome.problem if isinstance(outcome, Refused) else None


def commands(rig: Rig, *names: str) -> list[tuple[str, str, str]]:
    """From now on: (store, operation, epoch) of these operations, in order of arrival."""
    seen: list[tuple[str, str, str]] = []
    rig.on_call = lambda store, asked: seen.extend(
        (store, command[0], command[4]) for command in asked if command[0] in names
    )
    return seen


def test_a_shard_changes_hands_without_waiting_for_a_lease() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    asked = n1.ask(Transfer("a", "n2"))
    rig.run(10)
    outcome = n1.answers[asked]
    assert isinstance(outcome, Transferred)
    assert (outcome.from_epoch, outcome.to_node) == (1, "n2")
    assert n2.serves("a")
    rig.run(300)
    assert "a" not in n1.group.led
    assert {rig.grant(store)[:2] for store in rig.stores} == {(2, "n2-1/1")}


def test_what_is_under_way_is_committed_before_the_shard_is_handed_over() -> None:
    rig, n1 = led_rig()
    rig.hold("n1", *rig.stores)
    write = n1.put("a", "k")
    asked = n1.ask(Transfer("a", "n2"))
    rig.run(100)
    assert n1.led("a").state is State.HANDING
    late = n1.put("a", "l")
    rig.let("n1", *rig.stores)
    rig.run(10)
    assert isinstance(n1.answers[write], Written)
    assert isinstance(n1.answers[asked], Transferred)
    assert problem(n1.answers[late]) is Problem.NOT_LEADER  # it waited, and is sent on


def test_a_tail_that_does_not_commit_in_time_ends_the_transfer_and_not_the_lease() -> None:
    rig, n1 = led_rig()
    n1.put("a", "k")
    log = n1.led("a").log
    assert log is not None
    rig.turn(n1)
    log.commit -= 1  # as if no majority had answered; renewals go on
    for follower in log.followers:
        follower.covered = 0
    asked = n1.ask(Transfer("a", "n2"))
    rig.turn(n1)
    log.opening = log.last.sequence + 1  # and none will
    rig.run(rig.ttl_ms * 6 // 10)
    assert problem(n1.answers[asked]) is Problem.NO_QUORUM
    assert n1.led("a").state is State.LEADING
    assert n1.led("a").held == 0b111


def test_transfers_that_make_no_sense_are_refused() -> None:
    rig, n1 = led_rig()
    to_itself, to_nobody = n1.ask(Transfer("a", "n1")), n1.ask(Transfer("a", "n9"))
    elsewhere = rig.seats["n2"].ask(Transfer("a", "n1"))
    rig.run(5)
    assert problem(n1.answers[to_itself]) is Problem.INVALID
    assert problem(n1.answers[to_nobody]) is Problem.UNKNOWN_NODE
    assert problem(rig.seats["n2"].answers[elsewhere]) is Problem.NOT_LEADER
    assert n1.serves("a")


def test_a_second_transfer_has_to_wait_for_the_first() -> None:
    rig, n1 = led_rig()
    rig.hold("n1", *rig.stores)
    n1.put("a", "k")
    n1.ask(Transfer("a", "n2"))
    second = n1.ask(Transfer("a", "n2"))
    rig.run(5)
    assert problem(n1.answers[second]) is Problem.TRANSFERRING


def test_a_target_that_does_not_come_is_not_waited_for_and_the_old_epoch_is_over() -> None:
    rig, n1 = led_rig()
    rig.seats["n2"].asleep = True
    asked = n1.ask(Transfer("a", "n2"))
    rig.run(10)
    assert isinstance(n1.answers[asked], Transferred)
    assert n1.led("a").state is State.HANDED
    assert not n1.serves("a")
    rig.until(lambda: n1.serves("a"), ms_max=rig.ttl_ms)
    assert n1.led("a").epoch == 2
    rig.seats["n2"].asleep = False
    rig.run(rig.ttl_ms)
    assert {rig.grant(store)[:2] for store in rig.stores} == {(2, "n1-1/1")}


def test_one_store_of_three_need_not_hear_of_a_handover() -> None:
    rig, n1 = led_rig()
    rig.disconnect("n1", "s1")
    rig.run(5)
    n1.ask(Transfer("a", "n2"))
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=rig.ttl_ms)
    rig.run(100)
    assert rig.grant("s1")[1] == "n2-1/1"  # adopted by an append


def test_a_handover_that_too_few_stores_take_is_taken_back_and_never_follows_a_new_epoch() -> None:
    rig, n1 = led_rig()
    seen = commands(rig, "handover", "prepare")
    n1.ask(Transfer("a", "n2"))
    for store in ("s1", "s2"):  # in the same moment, before the node looks at its requests
        rig.disconnect("n1", store)
    events = n1.inbox
    n1.inbox = [*events[1:], events[0]]
    rig.settle()
    assert ("s3", "handover", "2") not in seen
    for store in ("s1", "s2"):
        rig.connect("n1", store)
    rig.until(lambda: n1.serves("a") or rig.seats["n2"].serves("a"))


def test_what_an_older_handover_is_answered_says_nothing_of_a_newer_one() -> None:
    rig, n1 = led_rig("n1", "n2", "n3")
    rig.seats["n2"].asleep = True
    rig.mute("n1", "s3")
    n1.ask(Transfer("a", "n2"))
    rig.until(lambda: n1.led("a").epoch == 2 and n1.serves("a"), ms_max=rig.ttl_ms)
    assert rig.wire("n1", "s3").replies or rig.wire("n1", "s3").opened > 1
    again = n1.ask(Transfer("a", "n3"))
    rig.let("n1", "s3")
    rig.run(30)
    assert isinstance(n1.answers[again], Transferred)
    assert rig.seats["n3"].serves("a")


def test_a_holder_that_obeys_is_evicted_at_once_and_keeps_its_other_shards() -> None:
    rig = Rig(("n1", "n2"), shards=("a", "b"))
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: n1.serves("a") and n1.serves("b"))
    rig.run(rig.ttl_ms)
    asked = n2.ask(Evict("a", reason="too hot"))
    rig.settle()
    assert n2.answers[asked] == Evicted("a", 1, "n1")
    assert n2.serves("a")  # nothing was waited for
    rig.run(2 * rig.ttl_ms)
    assert n1.serves("b")
    assert n1.led("b").epoch == 1
    assert not n1.serves("a")


def test_a_holder_that_cannot_obey_loses_the_shard_after_the_wait() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    n1.asleep = True
    n2.ask(Evict("a"))
    rig.run(5)
    lost_ms = rig.now_ms
    rig.until(lambda: n2.serves("a"), ms_max=3 * rig.ttl_ms)
    n1.asleep = False
    rig.turn(n1)
    assert not n1.serves("a")
    assert rig.now_ms - lost_ms >= rig.ttl_ms // 2


def test_one_that_peers_take_away_is_handed_over_at_once_as_well() -> None:
    rig, _ = led_rig()
    n2 = rig.seats["n2"]
    n2.node.transfers.evict(n2.group, Evict("a", "node:n2", "it does not serve"), -1, rig.now_ms)
    rig.settle()
    assert n2.serves("a")


def test_a_shard_that_is_taken_away_twice_comes_back_at_once() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    n2.ask(Evict("a"))
    rig.until(lambda: n2.serves("a"), ms_max=10)
    rig.run(rig.ttl_ms // 2)
    n2.ask(Evict("a"))
    rig.until(lambda: n1.serves("a"), ms_max=10)


def test_a_holder_that_nobody_tells_finds_out_by_itself() -> None:
    rig, n1 = led_rig()
    rig.untold.update({"n1", "n2"})
    rig.seats["n2"].ask(Evict("a"))
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=rig.ttl_ms // 2)
    assert n1.kinds("a") == ["elected", "evicted"]


def test_an_eviction_is_told_in_the_history_of_its_shard_with_who_ordered_it() -> None:
    rig, n1 = led_rig("n1", "n2", "n3")
    rig.seats["n3"].ask(Evict("a", principal="anna", reason="too hot"))
    rig.run(10)
    asked = rig.seats["n2"].ask(History("a"))
    rig.run(10)
    told = rig.seats["n2"].answers[asked]
    assert isinstance(told, Tenures)
    last = {name: told.records[-1][name] for name in ("before", "ended", "principal", "reason")}
    assert last == {"before": "n1", "ended": "evicted", "principal": "anna", "reason": "too hot"}
    assert not n1.serves("a")


def test_what_was_taken_away_is_let_go_when_the_successor_does_not_come() -> None:
    rig, n1 = led_rig("n1", "n2", "n3")
    heir = n1.node.standing["g"].next_best(n1.led("a").sighted)
    assert heir is not None
    rig.seats[heir].asleep = True
    other = {"n2": "n3", "n3": "n2"}[heir]
    n1.ask(Evict("a"))
    rig.until(lambda: rig.seats[other].serves("a"), ms_max=2 * rig.ttl_ms)
    assert n1.kinds("a") == ["elected", "evicted", "resigned"]
    assert rig.grant("s1")[0] == 2  # it stood for nothing more


def test_a_transfer_that_is_overtaken_by_an_eviction_goes_on_and_is_not_taken_back() -> None:
    rig, n1 = led_rig("n1", "n2", "n3")
    rig.hold("n1", *rig.stores)
    n1.put("a", "k")
    n1.ask(Transfer("a", "n2"))
    rig.run(5)
    assert n1.led("a").state is State.HANDING
    rig.seats["n3"].ask(Evict("a"))
    rig.settle()
    assert n1.led("a").state is State.HANDED
    rig.let("n1", *rig.stores)
    rig.settle()
    assert rig.seats["n2"].serves("a")


def test_what_was_under_way_at_an_eviction_is_confirmed_if_a_majority_has_it() -> None:
    rig, n1 = led_rig()
    rig.hold("n1", *rig.stores)
    write = n1.put("a", "k")
    rig.settle()
    rig.seats["n2"].ask(Evict("a"))
    rig.settle()
    assert not n1.serves("a")
    rig.let("n1", *rig.stores)
    rig.settle()
    assert isinstance(n1.answers[write], Written)
    assert rig.seats["n2"].serves("a")


def test_a_holder_that_renews_and_keeps_a_revoked_grant_loses_it_after_the_wait() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    n1.node.transfers.obey = lambda *_: None  # type: ignore[method-assign, assignment]
    n2.ask(Evict("a"))
    rig.settle()
    revoked_ms = rig.now_ms
    assert not n1.serves("a")
    rig.until(lambda: n2.serves("a"), ms_max=2 * rig.ttl_ms)
    assert rig.now_ms - revoked_ms >= n2.group.times.wait_ms
    assert n1.group.until_ms() > rig.now_ms  # type: ignore[operator]  # and it renews all the time
    assert n2.led("a").why == "revoked"


def test_a_revocation_at_one_store_alone_opens_nothing() -> None:
    rig, n1 = led_rig()
    n1.node.transfers.obey = lambda *_: None  # type: ignore[method-assign, assignment]
    assert rig.do("s1", "revoke", "a", "n1-1/1", "1", "anna", "")[0] == "OK"
    rig.run(5 * rig.ttl_ms)
    assert {rig.grant(store)[0] for store in rig.stores} == {1}


def test_who_let_a_shard_go_is_not_waited_for() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    n1.led("a").end("resigned", rig.now_ms)
    n1.node.standing["g"].cool("a", rig.now_ms)
    rig.settle()
    step_ms = n2.group.times.poll_every_ms
    rig.until(lambda: n2.serves("a"), ms_max=step_ms + 3 * rig.step_ms)


def test_what_comes_between_the_handover_and_its_news_is_sent_on_at_once() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", *rig.stores)
    n1.ask(Transfer("a", "n2"))
    rig.settle()
    assert n1.led("a").state is State.HANDED
    between = n1.put("a", "k")
    rig.settle()
    assert between not in n1.answers
    rig.let("n1", *rig.stores)
    rig.settle()
    refused = n1.answers[between]
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_LEADER
    assert refused.leader is not None
    assert (refused.leader.node, refused.leader.epoch) == ("n2", 2)


def test_one_whom_nobody_tells_comes_for_what_a_store_shows_was_handed_to_it() -> None:
    rig, n1 = led_rig()
    rig.untold.add("n2")
    n1.ask(Transfer("a", "n2"))
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=rig.ttl_ms // 4)


def test_a_target_is_let_in_by_any_majority_of_the_stores_that_were_told() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s3")  # its answer comes late
    rig.hold("n2", "s1")  # and the target does not get through to this one
    n1.ask(Transfer("a", "n2"))
    rig.settle()
    assert rig.seats["n2"].serves("a")


def test_an_eviction_without_a_holder_or_a_majority_is_refused() -> None:
    rig, n1 = led_rig()
    n2 = rig.seats["n2"]
    for store in ("s1", "s2"):
        rig.disconnect("n2", store)
    asked = n2.ask(Evict("a"))
    rig.run(5)
    assert problem(n2.answers[asked]) is Problem.NO_QUORUM
    n1.led("a").end("resigned", rig.now_ms)
    n1.node.draining = n2.node.draining = True
    rig.run(rig.ttl_ms)
    vacant = n1.ask(Evict("a"))
    rig.run(5)
    assert problem(n1.answers[vacant]) is Problem.NO_LEADER


def test_without_a_quorum_there_is_nothing_to_hand_over() -> None:
    rig, n1 = led_rig()
    for store in ("s2", "s3"):
        rig.disconnect("n1", store)
    rig.run(2 * rig.ttl_ms)
    asked = n1.ask(Transfer("a", "n2"))
    rig.turn(n1)
    assert problem(n1.answers[asked]) is Problem.NO_QUORUM
