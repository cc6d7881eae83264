"""A session, store by store: registered, renewed, revoked, dead, forgotten; how long it leases."""

from typing import Any

import pytest

from regions.lease_times import LeaseTimes
from regions.session import Session, Standing

TIMES = LeaseTimes(1_000)


def session(voters: int = 3, stores: int = 3) -> Session:
    return Session("p1/1", "g", 4, voters, stores, TIMES)


def live(voters: int = 3, stores: int = 3) -> Session:
    """A session that every store knows."""
    made = session(voters, stores)
    for store in range(stores):
        made.register(store, "n", "eu", "url")
        made.registered(store, "OK")
    return made


def result(code: str, *payload: Any) -> list[Any]:
    return [code, 4, "open", False, *payload]


def test_what_is_sent() -> None:
    made = session()
    assert made.register(0, "n", "eu", "url") == ["register", "g", 4, "p1/1", "n", "eu", "url"]
    assert made.renew(0, 9, ["a"]) == ["renew", "g", 4, "p1/1", 1, 0, 9, ["a"]]


def test_counters_never_repeat_at_any_store() -> None:
    made = live()
    counters = [made.renew(store, 0, [])[4] for store in (0, 1, 2, 1, 0)]
    assert counters == sorted(set(counters))


@pytest.mark.parametrize(
    ("code", "standing"),
    [
        ("OK", Standing.LIVE),
        ("EXISTS", Standing.DEAD),
        ("SEALED", Standing.ABSENT),
        ("NOT_MEMBER", Standing.ABSENT),
    ],
)
def test_the_answer_to_the_first_register(code: str, standing: Standing) -> None:
    made = session()
    made.register(1, "n", "eu", "url")
    made.registered(1, code)
    assert made.standing == [Standing.ABSENT, standing, Standing.ABSENT]
    assert made.spent == (standing is Standing.DEAD)


def test_a_session_that_exists_since_an_answer_was_lost_is_alive() -> None:
    made = session(stores=4)
    for _ in range(2):
        made.register(3, "n", "eu", "url")
    made.registered(3, "EXISTS")
    assert made.live_at(3)
    made.renewed(3, 10, result("DEAD"))
    assert not made.live_at(3)


@pytest.mark.parametrize(
    ("code", "standing"),
    [
        ("OK", Standing.LIVE),
        ("STALE", Standing.LIVE),
        ("SEALED", Standing.LIVE),
        ("DEAD", Standing.DEAD),
        ("UNKNOWN", Standing.FORGOTTEN),
    ],
)
def test_the_answer_to_a_renewal(code: str, standing: Standing) -> None:
    made = live()
    assert made.renewed(2, 50, result(code, 0)) == []
    assert made.standing[2] is standing
    assert made.renewed_ms[2] == (50 if code == "OK" else None)
    assert made.spent == (standing is not Standing.LIVE)


def test_what_a_follower_forgets_does_not_spend_a_session() -> None:
    made = live(voters=3, stores=4)
    made.renewed(3, 50, result("UNKNOWN"))
    assert not made.spent
    assert not made.live_at(3)


def test_a_renewal_refused_for_a_revocation_renews_nothing_and_teaches_the_revision() -> None:
    made = live()
    revoked = made.renewed(0, 50, result("REVOKED", 7, [["a", "3"], ["b", "12"]]))
    assert revoked == [("a", 3), ("b", 12)]
    assert made.renewed_ms[0] is None
    assert made.renew(0, 0, [])[5] == 7
    assert made.renew(1, 0, [])[5] == 0  # each store counts its own


def test_answers_that_come_late_or_twice_never_shorten_or_lengthen_a_lease() -> None:
    made = live()
    for sent_ms in (100, 300, 200, 300):
        made.renewed(0, sent_ms, result("OK", 0))
    made.renewed(1, 150, result("OK", 0))
    assert made.until_ms(0b011) == 150 + TIMES.hold_ms
    assert made.renewed_ms[0] == 300


@pytest.mark.parametrize(
    ("renewed", "held", "until"),
    [
        ((100, 200, 300), 0b111, 200),
        ((100, 200, 300), 0b101, 100),
        ((100, 200, 300), 0b001, None),
        ((100, None, 300), 0b111, 100),
        ((100, None, 300), 0b110, None),
        ((None, None, None), 0b111, None),
        ((100, 200, 300, 900, 900), 0b11111, 200),  # two followers hold it too: they do not count
        ((100, 200, None, 900, 900), 0b11001, None),
    ],
)
def test_a_lease_lasts_from_the_renewal_that_a_majority_of_the_holding_voters_reached(
    renewed: tuple[int | None, ...], held: int, until: int | None
) -> None:
    made = live(voters=3, stores=len(renewed))
    for store, sent_ms in enumerate(renewed):
        if sent_ms is not None:
            made.renewed(store, sent_ms, result("OK", 0))
    assert made.until_ms(held) == (None if until is None else until + TIMES.hold_ms)
