"""Strong reads while a leader stands again: they go on, as long as nobody else can lead."""

import pytest

from controlplane.requests import Consistency, Found, Read, Scan, Scanned, Written
from shards.leadership import Leadership, State
from tests.node.rig import Rig, Seat


def rivalled_rig() -> tuple[Rig, Seat]:
    """`a` has k = v, everywhere; a rival was let in at s1, and its leader does not know yet."""
    rig = Rig()
    n1 = rig.seats["n1"]
    rig.until(lambda: n1.serves("a"))
    n1.put("a", "k", b"v")
    rig.run(rig.ttl_ms)
    assert rig.do("s1", "register", "rival-1/1", "rival", "eu", "//rival")[0] == "OK"
    assert rig.do("s1", "release", "a", "1", "n1-1/1") == ["OK", 1]
    assert rig.do("s1", "prepare", "a", "2", "rival-1/1", ["free"])[0] == "OK"
    return rig, n1


def standing_again(rig: Rig, n1: Seat) -> int:
    """It writes w, is refused at s1, and is about to ask for a higher epoch; gives the write."""
    write = n1.put("a", "k", b"w")
    rig.step_until(n1, lambda: "a" in n1.group.led and n1.led("a").state is State.STANDING)
    return write


def value(seat: Seat, number: int) -> tuple[bytes | None, int]:
    """What a read was answered, and in which epoch."""
    found = seat.answers[number]
    assert isinstance(found, Found)
    (first,) = found.values
    return None if first is None else first.data, found.provenance.epoch


def carried(rig: Rig, seat: Seat) -> None:
    """One way there and back for everything the node has to send."""
    rig.turn(seat)
    rig.carry(seat)
    rig.turn(seat)


def test_a_read_is_answered_at_the_old_commit_index_before_the_new_epoch_is_open() -> None:
    rig, n1 = rivalled_rig()
    write = standing_again(rig, n1)
    confirmed = n1.answers[write]
    assert isinstance(confirmed, Written)  # by s2 and s3, which have not heard that it is
    read = n1.get("a", "k")
    late = n1.put("a", "k", b"x")
    carried(rig, n1)
    assert n1.led("a").state in (State.STANDING, State.RECOVERING)
    assert value(n1, read) == (b"w", 1)
    assert late not in n1.answers
    rig.run(50)
    assert isinstance(n1.answers[late], Written)
    again = n1.get("a", "k")
    rig.run(5)
    assert value(n1, again) == (b"x", 3)


def test_one_that_no_store_can_answer_waits_for_the_next_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Leadership, "_share_commit", lambda *_: None)
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    read = n1.get("a", "k")
    carried(rig, n1)
    assert read not in n1.answers  # all stores show what is committed without the last write
    rig.run(50)
    assert value(n1, read) == (b"w", 3)


def test_a_read_that_may_be_old_says_how_long_ago_it_was_asked() -> None:
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    request = Read("a", ("k",), Consistency.BOUNDED, max_staleness_ms=1_000)
    n1.node.requests.begin(99, request, rig.now_ms)
    n1.node.serving.submit(n1.group, n1.led("a"), 99, request, rig.now_ms)
    rig.turn(n1)
    rig.now_ms += 40  # the answers are under way so long, in which more may be acknowledged
    rig.carry(n1)
    rig.turn(n1)
    found = n1.answers[99]
    assert isinstance(found, Found)
    assert found.provenance.staleness_ms is not None
    assert found.provenance.staleness_ms >= 40


def test_nothing_is_answered_once_the_lease_is_over() -> None:
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    early = n1.get("a", "k")
    rig.turn(n1)  # on its way
    rig.carry(n1)
    assert n1.led("a").reads_on(rig.now_ms)
    n1.asleep = True
    rig.run(rig.ttl_ms)
    assert not n1.led("a").reads_on(rig.now_ms)
    n1.asleep = False
    late = n1.get("a", "k")
    rig.turn(n1)
    assert not n1.serves("a")
    assert not any(isinstance(n1.answers.get(number), Found) for number in (early, late))


def test_nor_when_the_old_grants_were_taken_away() -> None:
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    assert n1.led("a").reads_on(rig.now_ms)
    n1.node.upkeep.revoked(n1.group, "a", 1, rig.now_ms)
    assert not n1.led("a").reads_on(rig.now_ms)
    assert not n1.serves("a")


def test_nor_when_another_session_asks_for_the_new_epoch() -> None:
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    fresh = n1.group.open_session()
    leadership = n1.led("a")
    leadership.stand(fresh, {0: ["mine"], 1: ["mine"], 2: ["mine"]}, "mine", rig.now_ms)
    assert not leadership.reads_on(rig.now_ms)


def test_a_store_that_lets_another_in_does_not_carry_the_old_lease_any_more() -> None:
    rig, n1 = rivalled_rig()
    for store in ("s2", "s3"):
        rig.hold("n1", store)
    standing_again(rig, n1)
    former = n1.led("a").former
    assert former is not None
    assert former.held == 0b110
    assert rig.do("s2", "register", "rival-1/1", "rival", "eu", "//rival")[0] == "OK"
    assert rig.do("s2", "release", "a", "1", "n1-1/1")[0] == "OK"
    assert rig.do("s2", "prepare", "a", "9", "rival-1/1", ["free"])[0] == "OK"
    rig.let("n1", "s2")
    rig.carry(n1)
    rig.turn(n1)
    assert former.held == 0b100
    assert "a" not in n1.group.led


def test_a_read_under_way_when_its_leader_stands_again_is_asked_again() -> None:
    rig, n1 = rivalled_rig()
    rig.mute("n1", "s2", "s3")
    read = n1.get("a", "k")
    standing_again(rig, n1)
    rig.let("n1", "s2", "s3")
    rig.run(20)
    assert value(n1, read)[0] in (b"v", b"w")


def test_a_scan_goes_on_as_well() -> None:
    rig, n1 = rivalled_rig()
    standing_again(rig, n1)
    scan = n1.ask(Scan("a", "p"))
    carried(rig, n1)
    scanned = n1.answers[scan]
    assert isinstance(scanned, Scanned)
    assert [(key, found.data) for key, found in scanned.items] == [("k", b"w")]
