"""Reads at local stores: bounded by a truthful age, from a position on, or whatever is there."""

from controlplane.requests import Consistency, Found, Outcome, Problem, Read, Refused, Role, Scan
from controlplane.requests import Scanned as ScanFound
from tests.node.rig import Rig, Seat

BOUNDED, SESSION, ANY = Consistency.BOUNDED, Consistency.SESSION, Consistency.ANY


def led_rig(*nodes: str, ttl_ms: int = 1_000) -> tuple[Rig, Seat, Seat]:
    """A fleet whose first node leads shard `a`, and whose second one reads."""
    rig = Rig(nodes or ("n1", "n2"), ttl_ms=ttl_ms)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: n1.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    rig.run(ttl_ms)
    return rig, n1, n2


def read(rig: Rig, seat: Seat, how: Consistency, **more: int) -> Outcome:
    number = seat.ask(Read("a", ("k",), how, **more))  # type: ignore[arg-type]
    rig.until(lambda: number in seat.answers)
    return seat.answers[number]


def put(rig: Rig, seat: Seat, value: bytes) -> int:
    number = seat.put("a", "k", value)
    rig.until(lambda: number in seat.answers)
    outcome = seat.answers[number]
    assert not isinstance(outcome, Refused)
    return outcome.position  # type: ignore[union-attr]


def shown(outcome: Outcome) -> bytes | None:
    assert isinstance(outcome, Found)
    value = outcome.values[0]
    return None if value is None else value.data


def age_ms(outcome: Outcome) -> int:
    assert isinstance(outcome, Found)
    assert outcome.provenance.role is Role.FOLLOWER
    assert outcome.provenance.staleness_ms is not None
    return outcome.provenance.staleness_ms


def only_reach(rig: Rig, node: str, *stores: str) -> None:
    for store in rig.stores:
        if store not in stores:
            rig.disconnect(node, store)
    rig.run(5)


def test_a_bounded_read_comes_from_a_follower_with_its_age() -> None:
    rig, n1, n2 = led_rig()
    put(rig, n1, b"new")
    rig.run(300)
    found = read(rig, n2, BOUNDED, max_staleness_ms=500)
    assert shown(found) == b"new"
    assert 0 < age_ms(found) <= 500


def test_an_age_is_never_less_than_how_long_ago_the_data_was_the_newest() -> None:
    """The leader is cut off from the reader's store: the same copy grows older as time passes."""
    rig, n1, n2 = led_rig()
    put(rig, n1, b"old")
    rig.run(300)
    only_reach(rig, "n2", "s3")
    rig.disconnect("n1", "s3")
    put(rig, n1, b"new")
    written_ms = rig.now_ms
    for _ in range(20):
        rig.run(50)
        found = read(rig, n2, BOUNDED, max_staleness_ms=10_000)
        assert shown(found) == b"old"
        assert age_ms(found) >= rig.now_ms - written_ms


def test_a_bound_that_cannot_be_kept_is_refused_with_the_way_to_the_leader() -> None:
    rig, n1, n2 = led_rig()
    put(rig, n1, b"old")
    rig.run(50)
    only_reach(rig, "n2", "s3")
    rig.disconnect("n1", "s3")
    rig.run(600)
    refused = read(rig, n2, BOUNDED, max_staleness_ms=500)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.STALE
    assert refused.leader is not None
    assert refused.leader.node == "n1"
    assert shown(read(rig, n2, ANY)) == b"old"


def test_another_store_is_asked_when_the_nearest_is_too_old() -> None:
    rig, n1, n2 = led_rig()
    rig.disconnect("n1", "s1")
    put(rig, n1, b"new")
    rig.run(700)
    found = read(rig, n2, BOUNDED, max_staleness_ms=400)
    assert shown(found) == b"new"
    assert isinstance(found, Found)
    assert found.provenance.store != "s1"


def test_a_session_reads_what_it_wrote_or_is_told_where_to_go() -> None:
    rig, n1, n2 = led_rig()
    rig.disconnect("n1", "s3")
    only_reach(rig, "n2", "s3")
    position = put(rig, n1, b"mine")
    refused = read(rig, n2, SESSION, position=position)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.STALE
    assert shown(read(rig, n2, SESSION, position=position - 1)) is None
    rig.connect("n2", "s1")
    rig.run(20)
    assert shown(read(rig, n2, SESSION, position=position)) == b"mine"


def test_a_session_read_waits_a_moment_for_its_position() -> None:
    rig, n1, n2 = led_rig()
    only_reach(rig, "n2", "s3")
    rig.mute("n1", "s3")
    rig.hold("n1", "s3")
    position = put(rig, n1, b"mine")
    number = n2.ask(Read("a", ("k",), SESSION, None, position))
    rig.run(5)
    assert number not in n2.answers
    rig.let("n1", "s3")
    rig.run(40)
    assert shown(n2.answers[number]) == b"mine"


def test_the_leader_itself_answers_what_followers_may() -> None:
    rig, n1, _ = led_rig()
    put(rig, n1, b"new")
    found = read(rig, n1, BOUNDED, max_staleness_ms=50)
    assert isinstance(found, Found)
    assert found.provenance.role is Role.LEADER
    assert shown(found) == b"new"


def test_scans_are_bounded_like_reads() -> None:
    rig, n1, n2 = led_rig()
    put(rig, n1, b"new")
    rig.run(300)
    number = n2.ask(Scan("a", "p", consistency=BOUNDED, max_staleness_ms=500))
    rig.run(20)
    found = n2.answers[number]
    assert isinstance(found, ScanFound)
    assert [key for key, _ in found.items] == ["k"]
    assert found.provenance.role is Role.FOLLOWER


def test_local_reads_go_on_when_nobody_leads_and_say_how_old_they_are() -> None:
    rig, n1, n2 = led_rig()
    put(rig, n1, b"last")
    rig.run(300)
    n1.asleep = True
    n2.node.draining = True  # so that it does not take over
    slept_ms = rig.now_ms
    rig.run(5 * rig.ttl_ms)
    found = read(rig, n2, BOUNDED, max_staleness_ms=60_000)
    assert shown(found) == b"last"
    assert age_ms(found) >= rig.now_ms - slept_ms
    strong = read(rig, n2, Consistency.STRONG)
    assert isinstance(strong, Refused)


def test_without_any_store_a_read_is_refused() -> None:
    rig, _, n2 = led_rig()
    only_reach(rig, "n2")
    refused = read(rig, n2, ANY)
    assert isinstance(refused, Refused)
