"""From the wish to the decision: what is asked for, what is waited for, and when it may be left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regions.change import Change, State, Wish
from regions.codec import Code, Reply
from regions.membership import GroupDescription, Member, read_description, write_description
from regions.store_calls import Calls, Take

TTL_MS = 1_000
OLD = GroupDescription("g", 1, TTL_MS, {"a": "a1", "b": "b1", "c": "c1"}, {"f": "f1"})
OLD_TEXT = write_description(OLD)
Answer = Callable[[Member, list[Any]], Reply | None]


class Copying:
    """A learner that catches up when the test says so."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.caught_up = False
        self.why = "it is far behind"
        self.asked = 0

    def advance(self, now_ms: int) -> None:
        self.asked += 1


class Stand:
    """One change; stores answer at once, by operation, as `says` tells."""

    def __init__(self, wish: Wish, old: GroupDescription = OLD) -> None:
        self.now_ms = 0
        self.log: list[str] = []
        self.waiting: list[tuple[Member, list[Any], Take]] = []
        self.says: dict[str, Answer] = {
            "mint": lambda member, command: result(member.store, f"{member.store}2"),
            "observe": self._shows,
            "ballot": lambda member, command: result(*member, Code.OK, 0, "", False),
            "accept": lambda member, command: result(*member, Code.OK),
        }
        self.copies: list[Copying] = []
        calls = Calls(self, self._go_on)
        self.change = Change(old, wish, (1, "p"), calls, self._copying, lambda: 0.5)
        self.old = old

    def _go_on(self, now_ms: int) -> None:
        self.change.advance(now_ms)

    def _copying(self, member: Member) -> Copying:
        self.copies.append(Copying(member))
        return self.copies[-1]

    def _shows(self, member: Member, command: list[Any]) -> Reply | None:
        if self.old.incarnations.get(member.store) == member.incarnation:
            text = write_description(self.old)
            return result(*member, Code.OLD_VERSION, state="open", description=text)
        return result(*member, Code.NOT_MEMBER, state="learner")

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self.waiting.append((member, commands[0], take))

    def run(self, ms: int) -> None:
        """Let time pass, everybody answering."""
        for _ in range(ms // 50):
            self.change.advance(self.now_ms)
            while self.waiting:
                member, command, take = self.waiting.pop(0)
                self.log.append(f"{command[0]} {member.store}")
                take(self.says[command[0]](member, command), self.now_ms)
            self.now_ms += 50

    def catch_up(self) -> None:
        for copy in self.copies:
            copy.caught_up, copy.why = True, ""


def result(
    store: str, incarnation: str, code: str = Code.OK, *payload: Any, state: str = "open",
    description: bytes | bool = False,
) -> Reply:  # fmt: skip
    return Reply(Code.OK, store, incarnation, "run", 1, [[code, 1, state, description, *payload]])


def refusing(code: str, *payload: Any) -> Answer:
    return lambda member, command: result(*member, code, *payload)


def test_a_store_that_forgot_is_minted_caught_up_and_then_decided() -> None:
    stand = Stand(Wish(("a", "b", "c"), ("f",), forgot=frozenset({"c"})))
    assert stand.change.state is State.WANTED
    stand.run(100)
    assert (stand.change.state, stand.change.why) == (State.MINTED, "it is far behind")
    assert [copy.member for copy in stand.copies] == [Member("c", "c2")]
    stand.catch_up()
    stand.run(100)
    assert stand.change.state is State.DECIDED
    decided = read_description(stand.change.description or b"")
    assert decided == GroupDescription(
        "g", 2, TTL_MS, {"a": "a1", "b": "b1", "c": "c2"}, {"f": "f1"}, dict(OLD.voters)
    )


def test_what_was_minted_before_is_found_by_asking() -> None:
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["mint"] = lambda member, command: result(member.store, "d7", Code.EXISTS)
    stand.says["hello"] = lambda member, command: result("d", "d7")
    stand.run(100)
    assert stand.change.incarnations["d"] == "d7"


def test_a_store_that_has_not_forgotten_is_not_admitted_anew() -> None:
    stand = Stand(Wish(("a", "b", "c"), forgot=frozenset({"c"})))
    stand.says["mint"] = lambda member, command: result(member.store, "c1", Code.EXISTS)
    stand.says["hello"] = lambda member, command: result("c", "c1")
    stand.run(2_000)
    assert (stand.change.state, stand.change.why) == (
        State.WANTED, "c has not forgotten its incarnation",
    )  # fmt: skip


def test_a_learner_that_forgets_is_minted_again() -> None:
    stand = Stand(Wish(("a", "b", "d")))
    stand.run(100)
    forgot = Reply(Code.WRONG_INCARNATION, "d", "d3", "run", 1, [])
    stand.says["observe"] = lambda member, command: (
        forgot if member == ("d", "d2") else stand._shows(member, command)
    )
    stand.says["mint"] = lambda member, command: result(member.store, "d3")
    stand.run(1_000)
    assert stand.change.incarnations["d"] == "d3"
    assert [copy.member.incarnation for copy in stand.copies] == ["d2", "d3"]


def test_nothing_is_proposed_while_something_speaks_against_it() -> None:
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["observe"] = lambda member, command: (
        stand._shows(member, command) if member.store in ("a", "c", "d") else None
    )
    stand.run(100)
    stand.catch_up()
    stand.run(1_000)
    assert stand.change.state is State.CAUGHT_UP
    assert stand.change.why == "fewer than 2 of its voters vote now and answer"
    assert "ballot a" not in stand.log


def test_before_this_version_decides_no_store_is_made_a_learner() -> None:
    """One that is of the version before may still be needed as it is."""
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["observe"] = lambda member, command: (
        stand._shows(member, command) if member.store == "a" else None
    )
    stand.run(1_000)
    assert stand.copies == []
    assert stand.change.why == "no quorum of version 1 answers: b, c missing"


def test_stores_that_are_late_for_this_version_are_named() -> None:
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["observe"] = lambda member, command: (
        result(*member, Code.SEALED, state="sealed", description=OLD_TEXT)
        if member.store == "b"
        else stand._shows(member, command)
    )
    stand.run(100)
    assert stand.change.late == {Member("b", "b1")}


def test_a_lost_ballot_is_followed_by_a_greater_one_after_a_wait() -> None:
    stand = Stand(Wish(("a", "b")))
    stand.says["ballot"] = refusing(Code.STALE, 6, "q")
    stand.run(50)
    assert stand.change.why == "q has a ballot under way"
    asked: list[list[Any]] = []
    stand.says["ballot"] = lambda member, command: (
        asked.append(command) or result(*member, Code.OK, 0, "", False)  # type: ignore[func-returns-value]
    )
    stand.run(50)
    assert asked == []
    stand.run(TTL_MS)
    assert asked[0] == ["ballot", "g", 1, 7, "p"]
    assert stand.change.state is State.DECIDED


def test_a_wish_may_be_left_until_somebody_is_asked_to_accept() -> None:
    stand = Stand(Wish(("a", "b")))
    stand.change.advance(0)
    assert stand.change.give_up()
    assert stand.change.state is State.GIVEN_UP
    stand.run(TTL_MS)
    assert "accept a" not in stand.log


def test_what_may_be_decided_is_not_left() -> None:
    stand = Stand(Wish(("a", "b")))
    stand.says["accept"] = lambda member, command: None
    stand.run(50)
    assert "accept a" in stand.log
    assert not stand.change.give_up()
    stand.says["accept"] = lambda member, command: result(*member, Code.OK)
    stand.run(3 * TTL_MS)
    assert stand.change.state is State.DECIDED


def test_a_ballot_that_only_asks_tells_whether_it_may_be_left() -> None:
    """What was proposed can be proposed no more, since a store went away in between."""
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["accept"] = lambda member, command: None
    stand.run(100)
    stand.catch_up()
    stand.run(50)
    assert not stand.change.give_up()
    stand.says["observe"] = lambda member, command: (
        None if member.store == "d" else stand._shows(member, command)
    )
    stand.run(5 * TTL_MS)
    assert stand.change.why == "does not answer: d"
    assert stand.log.count("ballot a") == stand.log.count("accept a") + 1
    assert stand.change.give_up()


def test_a_store_that_shows_a_later_version_ends_the_wish() -> None:
    later = write_description(GroupDescription("g", 2, TTL_MS, {"a": "a1"}, {}, dict(OLD.voters)))
    stand = Stand(Wish(("a", "b", "d")))
    stand.says["observe"] = lambda member, command: (
        result(*member, Code.SEALED, state="sealed", description=later)
        if member.store == "b"
        else stand._shows(member, command)
    )
    stand.run(50)
    assert (stand.change.state, stand.change.description) == (State.DECIDED, later)
