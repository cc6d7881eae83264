"""Writes whose leader lost the shard: which are listed, and what became of each, for certain."""

import pytest

from controlplane.node import fenced_writes
from controlplane.node.fenced_writes import FencedWrite
from controlplane.requests import Fate, Found, Problem, Put, Read, Trace, Traced, Write, Written
from tests.node.rig import Rig, Seat
from tests.node.test_serving import answered, led_rig, problem, write


def traced(rig: Rig, seat: Seat, lost: FencedWrite) -> Traced:
    question = Trace(lost.shard, lost.sequence, lost.epoch, lost.chain, lost.operation)
    outcome = answered(rig, seat, question)
    assert isinstance(outcome, Traced), outcome
    return outcome


def cut_off(*, is_found: bool = False) -> tuple[Rig, Seat, Seat, FencedWrite]:
    """A leader writes `k` at one store, and is cut off; n2 leads then, having found it or not."""
    rig, n1 = led_rig("n1", "n2")
    n2 = rig.seats["n2"]
    rig.hold("n1", "s2", "s3")
    number = n1.ask(write("k", b"lost", op_id="op-1", digest="digest"))
    rig.run(10)
    rig.hold("n1", "s1")
    if not is_found:
        rig.hold("n2", "s1")
    rig.until(lambda: n2.serves("a"))
    assert isinstance(answered(rig, n2, write("other")), Written)
    rig.let("n1", *rig.stores)
    rig.let("n2", "s1")
    rig.until(lambda: "a" not in n1.group.led)
    rig.until(lambda: number in n1.answers)
    assert problem(n1.answers[number]) is Problem.UNKNOWN_OUTCOME
    (lost,) = n1.node.fenced_writes.all()
    return rig, n1, n2, lost


def test_it_says_what_was_to_be_written_where_and_why_it_was_lost() -> None:
    _, n1, _, lost = cut_off()
    assert (lost.shard, lost.epoch, lost.operation, lost.digest) == ("a", 1, "op-1", "digest")
    assert [(c.partition, c.key, c.value) for c in lost.changes] == [("p", "k", b"lost")]
    assert lost.why in ("expired", "fenced", "replaced")
    assert n1.node.fenced_writes.count == lost.number == 1


def test_one_that_the_next_leader_did_not_find_was_replaced() -> None:
    rig, _, n2, lost = cut_off()
    assert traced(rig, n2, lost) == Traced("a", Fate.REPLACED, None)


def test_one_that_the_next_leader_found_was_kept() -> None:
    rig, _, n2, lost = cut_off(is_found=True)
    assert traced(rig, n2, lost) == Traced("a", Fate.KEPT, lost.sequence)
    read = answered(rig, n2, Read("a", ("k",)))
    assert isinstance(read, Found)
    assert read.values[0] is not None


def test_one_that_was_sent_again_under_its_id_has_happened_later() -> None:
    rig, _, n2, lost = cut_off()
    again = answered(rig, n2, write("k", b"lost", op_id="op-1", digest="digest"))
    assert isinstance(again, Written)
    rig.run(rig.ttl_ms)
    assert traced(rig, n2, lost) == Traced("a", Fate.RETRIED, again.position)


def test_nobody_tells_before_a_store_has_committed_its_place() -> None:
    rig, _, n2, lost = cut_off()
    ahead = Trace("a", lost.sequence + 1_000, lost.epoch, lost.chain, "")
    assert problem(answered(rig, n2, ahead)) is Problem.NO_QUORUM


def test_what_was_confirmed_is_not_listed() -> None:
    rig, n1 = led_rig("n1", "n2")
    assert isinstance(answered(rig, n1, write("k")), Written)
    n1.led("a").end("resigned", rig.now_ms)
    assert n1.node.fenced_writes.all() == ()


def test_the_memory_of_them_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced_writes, "KEPT_MAX", 3)
    rig, n1 = led_rig()
    for store in rig.stores:
        rig.mute("n1", store)
    for number in range(5):
        n1.ask(Write("a", (Put("p", f"k{number}", b"v"),)))
    rig.run(5)
    n1.led("a").end("resigned", rig.now_ms)
    kept = n1.node.fenced_writes.all()
    assert [write.changes[0].key for write in kept] == ["k2", "k3", "k4"]
    assert n1.node.fenced_writes.count == 5
