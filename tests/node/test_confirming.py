"""Strong reads that a majority confirms: when they are answered, and what they ask for it."""

from typing import Any

from controlplane.requests import Consistency, Found, Outcome, Problem, Read, Refused, Scan, Scanned
from tests.node.rig import Rig, Seat
from tests.node.test_serving import answered, led_rig, problem, write

KEY = Read("a", ("k",), quorum=True)


def value(outcome: Outcome) -> bytes | None:
    """What a read of one key found."""
    assert isinstance(outcome, Found), outcome
    return None if outcome.values[0] is None else outcome.values[0].data


def confirmations(rig: Rig) -> list[str]:
    """Stores that are asked for nothing but a confirmation, from now on, in order."""
    asked: list[str] = []

    def seen(store: str, commands: list[list[Any]]) -> None:
        asked.extend(store for command in commands if command[0] == "read" and command[6] == [])

    rig.on_call = seen
    return asked


def without_lease(*nodes: str) -> tuple[Rig, Seat]:
    """A leader that slept through its lease, and whom nobody has replaced."""
    rig, n1 = led_rig(*nodes)
    answered(rig, n1, write("k"))
    rig.run(50)
    n1.asleep = True
    rig.run(3 * rig.ttl_ms)
    n1.asleep = False
    assert not n1.serves("a")
    return rig, n1


def test_a_majority_confirms_a_read_for_which_there_is_no_lease() -> None:
    rig, n1 = without_lease()
    by_lease, by_quorum = n1.ask(Read("a", ("k",))), n1.ask(KEY)
    scan = n1.ask(Scan("a", "p", quorum=True))
    for _ in range(3):
        rig.turn(n1)
        rig.carry(n1)
    assert problem(n1.answers[by_lease]) is Problem.NO_QUORUM
    rig.settle()
    assert value(n1.answers[by_quorum]) == b"v"
    assert isinstance(n1.answers[scan], Scanned)


def test_a_majority_that_promised_somebody_else_confirms_nothing() -> None:
    rig, n1 = led_rig("n1", "n2")
    answered(rig, n1, write("k", b"old"))
    rig.run(50)
    rig.hold("n2", "s1")  # which so goes on holding what n1 had, and could show it
    n1.asleep = True
    rig.until(lambda: rig.seats["n2"].serves("a"))
    answered(rig, rig.seats["n2"], write("k", b"new"))
    number = n1.ask(KEY)
    n1.asleep = False
    rig.until(lambda: number in n1.answers)
    assert problem(n1.answers[number]) in (Problem.NO_QUORUM, Problem.NOT_LEADER)
    assert value(answered(rig, rig.seats["n2"], KEY)) == b"new"


def test_the_voters_are_asked_after_the_read_came() -> None:
    rig, n1 = led_rig()
    asked = confirmations(rig)
    rig.mute("n1", *rig.stores)
    first = n1.ask(KEY)
    rig.run(10)
    assert sorted(asked) == ["s1", "s2", "s3"]
    others = [n1.ask(KEY) for _ in range(5)]
    rig.run(10)
    assert len(asked) == 3  # a round is under way, and too early for those that came behind it
    rig.let("n1", *rig.stores)
    rig.until(lambda: all(number in n1.answers for number in (first, *others)))
    assert len(asked) == 6  # and one for all five


def test_no_majority_to_ask_is_said_at_once_and_silence_in_time() -> None:
    rig, n1 = led_rig(ttl_ms=20_000)
    rig.mute("n1", "s1", "s2")
    asked_ms = rig.now_ms
    number = n1.ask(KEY)
    rig.until(lambda: number in n1.answers)
    assert problem(n1.answers[number]) is Problem.NO_QUORUM
    assert rig.now_ms - asked_ms <= n1.node.plan.limits.read_timeout_ms
    rig.let("n1", "s1", "s2")
    rig.run(100)
    rig.disconnect("n1", "s1")
    rig.disconnect("n1", "s2")
    rig.run(5)
    number = n1.ask(KEY)
    rig.settle()
    refused = n1.answers[number]
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NO_QUORUM
    assert refused.detail == "1 of 3 stores reachable, 2 needed"


def test_reads_of_a_leadership_that_ended_meanwhile_go_to_the_next_one() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", *rig.stores)
    number = n1.ask(KEY)
    rig.run(10)
    n1.led("a").end("resigned", rig.now_ms)
    rig.let("n1", *rig.stores)
    rig.until(lambda: number in n1.answers)
    found = n1.answers[number]
    assert isinstance(found, Found)
    assert found.provenance.epoch == 2


def test_a_read_that_may_be_old_asks_no_majority() -> None:
    rig, n1 = led_rig()
    asked = confirmations(rig)
    answered(rig, n1, Read("a", ("k",), Consistency.ANY, quorum=True))
    assert asked == []
