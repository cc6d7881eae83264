"""Grants store by store: who leads, what has been promised, since when a revocation is known."""

import pytest

from shards.grant import NO_GRANT, Grant, Sighted, process_of

H = ["7", "2", "7", "p1/1", "held", "", 0]


def shown(epoch: int, holder: str = "", state: str = "held", revoked: int = 0) -> list[object]:
    """A grant as scripts answer it; "" is a free one."""
    return [str(epoch), "0", str(epoch), holder, state if holder else "free", "", revoked]


def sighted(*grants: list[object], voters: int = 3) -> Sighted:
    found = Sighted("a", voters, max(voters, len(grants)))
    for store, fields in enumerate(grants):
        found.saw(store, fields, 0)
    return found


def test_a_grant_is_read_as_scripts_answer_it() -> None:
    assert Grant.parse(H) == Grant(7, 2, 7, "p1/1", "held", "", False)
    assert Grant.parse(["9", "0", "7", "p1/1", "handover", "p2/1", 1]) == Grant(
        9, 0, 7, "p1/1", "handover", "p2/1", True
    )


@pytest.mark.parametrize(
    ("state", "held"),
    [("free", False), ("held", True), ("handover", True), ("inherited", False), ("new", False)],
)
def test_only_what_gives_authority_is_held(state: str, held: bool) -> None:
    assert Grant(1, 0, 1, "p1/1", state).is_held == held


@pytest.mark.parametrize(
    ("sid", "process"), [("p1/1", "p1"), ("a/b/12", "a/b"), ("p1", ""), ("", "")]
)
def test_a_session_names_its_process(sid: str, process: str) -> None:
    assert process_of(sid) == process


@pytest.mark.parametrize(
    ("grants", "holder"),
    [
        ([], ""),
        ([shown(1, "p/1")] * 3, "p/1"),
        ([shown(1, "p/1")] * 2, "p/1"),
        ([shown(1, "p/1")], ""),  # the other two are free: nobody can lead
        ([shown(1), shown(1), shown(1, "p/1")], ""),
        ([shown(1, "p/1"), shown(1, "p/1"), shown(2, "q/1")], "p/1"),
        ([shown(1, "p/1"), shown(2, "q/1"), shown(3, "r/1")], "r/1"),
        ([shown(1), shown(2, "q/1"), shown(3, "r/1")], ""),
        ([shown(1, "p/1"), shown(2, "p/1"), shown(3, "q/1")], "q/1"),
    ],
)
def test_the_holder_is_who_most_voters_show(grants: list[list[object]], holder: str) -> None:
    assert sighted(*grants).holder() == holder


def test_followers_have_no_voice_in_who_holds() -> None:
    free = shown(0)
    found = sighted(free, free, free, shown(1, "p/1"), shown(1, "p/1"))
    assert found.holder() == ""


def test_the_newest_news_of_a_leader_is_the_greatest_epoch_held_anywhere() -> None:
    assert sighted().leading_grant() is None
    found = sighted(shown(1, "p/1"), shown(1, "p/1"), shown(2, "q/1"), shown(9))
    grant = found.leading_grant()
    assert grant is not None
    assert (grant.holder, grant.epoch) == ("q/1", 2)


def test_the_greatest_promise_counts_floors_and_every_store() -> None:
    found = sighted(shown(3, "p/1"), ["4", "9", "4", "", "free", "", 0], shown(5), shown(11))
    assert found.greatest_promise() == 11
    assert sighted(shown(3), ["4", "9", "4", "", "free", "", 0]).greatest_promise() == 9
    assert sighted().greatest_promise() == 0


def test_a_revocation_is_dated_by_its_first_sight_at_each_store() -> None:
    found = sighted(shown(1, "p/1"))
    assert found.revoked_ms is None
    found.saw(0, shown(1, "p/1", revoked=1), 100)
    found.saw(0, shown(1, "p/1", revoked=1), 200)
    found.saw(1, shown(1, "p/1", revoked=1), 300)
    assert found.revoked_ms == {0: 100, 1: 300}


@pytest.mark.parametrize("other", [shown(1, "q/1", revoked=1), shown(2, "p/1", revoked=1)])
def test_another_grant_revoked_is_another_wait(other: list[object]) -> None:
    found = sighted(shown(1, "p/1", revoked=1))
    found.saw(0, other, 500)
    assert found.revoked_ms == {0: 500}


def test_a_grant_given_again_is_not_revoked() -> None:
    found = sighted(shown(1, "p/1", revoked=1))
    found.saw(0, shown(2, "p/1"), 100)
    assert found.revoked_ms == {}


def test_equal_grants_are_kept_once() -> None:
    found = sighted(H, list(H), list(H))
    assert found.grants[0] is found.grants[1] is found.grants[2]
    assert Sighted("a", 3, 5).grants == [NO_GRANT] * 5
