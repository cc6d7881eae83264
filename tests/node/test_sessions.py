"""A node's sessions in a group: registered everywhere, replaced when spent; what hangs on it."""

import pytest

from controlplane.node import group
from shards.leadership import State
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str, followers: int = 0) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a`, and is vouched for everywhere."""
    rig = Rig(nodes or ("n1",), followers=followers)
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    rig.run(rig.ttl_ms)
    return rig, seat


def bury(rig: Rig, store: str, sid: str) -> None:
    """Somebody waited long enough to declare a session dead at one store."""
    counter = rig.stores[store].state.groups["g"].sessions[sid].counter
    assert rig.do(store, "bury", sid, counter) == ["OK"]


def test_a_follower_whose_answer_to_register_was_lost_is_served_all_the_same() -> None:
    rig = Rig(followers=1)
    n1 = rig.seats["n1"]
    rig.mute("n1", "s4")
    rig.run(20)
    rig.disconnect("n1", "s4")
    rig.let("n1", "s4")
    rig.connect("n1", "s4")
    rig.until(lambda: n1.serves("a"))
    n1.put("a", "k")
    rig.run(rig.ttl_ms)
    assert rig.log("s4").cm == rig.log("s1").cm
    assert rig.is_fresh("s4")[0]


def test_a_session_found_dead_at_one_store_is_replaced_and_its_shards_prepared_again() -> None:
    rig, n1 = led_rig()
    old = n1.group.session
    assert old is not None
    bury(rig, "s1", old.sid)
    rig.run(rig.ttl_ms)
    assert n1.group.session is not old
    assert n1.serves("a")
    leadership = n1.led("a")
    assert leadership.session is n1.group.session
    assert leadership.epoch == 2
    assert {rig.grant(store) for store in rig.stores} == {(2, n1.group.session.sid, "held")}
    assert list(n1.group.sessions) == [n1.group.session.sid]


def test_strong_reads_wait_out_a_change_of_session_and_none_is_refused() -> None:
    rig, n1 = led_rig()
    assert n1.group.session is not None
    n1.put("a", "k", b"kept")
    rig.run(20)
    bury(rig, "s1", n1.group.session.sid)
    rig.step_until(n1, lambda: n1.led("a").state is State.STANDING)
    read = n1.get("a", "k")
    rig.run(100)
    assert type(n1.answers[read]).__name__ == "Found"


def test_a_session_dead_at_a_majority_leads_nothing_any_more() -> None:
    rig, n1 = led_rig("n1", "n2")
    assert n1.group.session is not None
    n1.asleep = True
    rig.until(lambda: rig.seats["n2"].serves("a"))
    n1.asleep = False
    rig.run(rig.ttl_ms)
    assert "a" not in n1.group.led
    assert rig.seats["n2"].serves("a")
    assert n1.kinds("a")[-1] == "resigned"


def test_a_new_session_stands_for_nothing_before_a_majority_has_renewed_it() -> None:
    rig, n1 = led_rig()
    assert n1.group.session is not None
    for store in ("s1", "s2"):
        bury(rig, store, n1.group.session.sid)
    rig.step_until(n1, lambda: len(n1.group.sessions) > 1)
    assert n1.group.until_ms() is None
    assert not n1.node.standing["g"]._ready(rig.now_ms)


def test_sessions_of_nobody_are_buried_in_the_end() -> None:
    rig, n1 = led_rig()
    rig.do("s1", "register", "gone-1/1", "gone", "eu", "//gone")
    rig.run(9 * rig.ttl_ms)
    assert "gone-1/1" in rig.stores["s1"].state.groups["g"].live
    rig.run(3 * rig.ttl_ms)
    assert "gone-1/1" not in rig.stores["s1"].state.groups["g"].live
    assert n1.serves("a")


def test_a_new_node_is_not_kept_waiting_by_all_that_ever_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group, "OBSERVE_MAX", 10)
    rig, _ = led_rig()
    for number in range(200):
        sid = f"gone-{number}/1"
        for store in rig.stores:
            rig.do(store, "register", sid, "gone", "eu", "//gone")
            bury(rig, store, sid)
    rig.run(rig.ttl_ms)
    buried = [rig.stores[store].state.opseq for store in rig.stores]
    n2 = rig.start("n2", ("n1", "n2"))
    poll_ms = n2.group.times.poll_every_ms
    rig.until(lambda: all(map(n2.group.watch.polled_ms.__getitem__, range(3))))
    rig.run(2 * poll_ms)
    since = [n2.group.watch.since(store) for store in range(3)]
    assert all(upto >= opseq for upto, opseq in zip(since, buried, strict=True))


def test_a_lane_that_does_not_answer_is_dropped_and_opened_again() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s3")
    rig.run(rig.ttl_ms // 2)
    assert rig.wire("n1", "s3").opened > 1
    assert n1.serves("a")
    rig.let("n1", "s3")
    rig.run(rig.ttl_ms)
    assert n1.led("a").held == 0b111
    assert rig.is_fresh("s3")[0]
