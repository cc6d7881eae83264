"""A version that an operator forces: what is asked before, what comes along, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from regions.change import State
from regions.codec import FORMAT, Reply
from regions.forcing import AHEAD, EPOCHS_PER_VERSION, Act
from regions.membership import (
    GroupDescription,
    Member,
    members,
    read_description,
    write_description,
)
from regions.scripts.model import StoreModel
from regions.scripts.state import Grant
from regions.store_calls import Take
from shards.changing import Changing
from shards.entry import Entry, write_entry
from shards.scripts.model import empty_store, new_store
from shards.scripts.state import Shard

GROUP, TTL_MS = "g", 1_000
PLACE = ["p", "part", "key", b"v", 1]


def log_of(*epochs: int) -> list[Entry]:
    """A log with an entry of each of these epochs."""
    made: list[Entry] = []
    for epoch in epochs:
        last = made[-1] if made else Entry(0, 0, 0, b"")
        made.append(write_entry(last.sequence, last.chain, epoch, [PLACE]))
    return made


class Stores:
    """Stores that vote in version 1, and what one process does about them."""

    def __init__(self, names: str = "abc") -> None:
        self.stores: dict[str, StoreModel] = {name: new_store(name) for name in names}
        incarnations = {n: store.state.incarnation for n, store in self.stores.items()}
        self.old = GroupDescription(GROUP, 1, TTL_MS, incarnations, {})
        for name in names:
            self.do(name, "install", 1, write_description(self.old))
        self.absent: set[str] = set()
        self.waiting: list[tuple[Member, list[list[Any]], Take]] = []
        self.asked: list[tuple[str, str]] = []
        self.now_ms = 0
        self.minted = 0

    def do(self, name: str, operation: str, version: int, *arguments: Any) -> list[Any]:
        store = self.stores[name]
        header = [FORMAT, store.state.incarnation, "", 0]
        return store.call(header, [[operation, GROUP, version, *arguments]]).results[0]

    def give(self, name: str, log: list[Entry], committed: int, promised: int) -> None:
        """Let a store hold this of shard "s"."""
        group = self.stores[name].state.groups[GROUP]
        group.grants["s"] = Grant(pe=promised, he=promised, h="x/1", st="held", ver=1)
        shard = Shard(cm=committed, ap=0)
        shard.log = {entry.sequence: entry.blob for entry in log}
        if log:
            shard.te, shard.ts, shard.tc = log[-1].epoch, log[-1].sequence, log[-1].chain
        group.shards["s"] = shard

    def wipe(self, *names: str) -> None:
        for name in names:
            self.minted += 1
            at = 100 + self.minted
            self.stores[name] = empty_store("again", lambda at=at: (at, at))  # type: ignore[misc]

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self.waiting.append((member, commands, take))
        self.asked.append((member.store, commands[0][0]))

    def answer(self) -> None:
        now, self.waiting = self.waiting, []
        for member, commands, take in now:
            reply: Reply | None = None
            if member.store not in self.absent:
                header = [FORMAT, member.incarnation, "", 0]
                reply = self.stores[member.store].call(header, commands)
            take(reply, self.now_ms)

    def settle(self, changing: Changing, rounds: int = 300) -> Changing:
        for _ in range(rounds):
            changing.advance(self.now_ms)
            self.answer()
            self.now_ms += 50
        return changing

    def force(self, left: str, emptied: str, number: int = 1, draw: float = 0.5) -> Changing:
        act = Act(tuple(left), tuple(emptied), "ada", "fire")
        old = write_description(self.old)
        return Changing.forced(old, act, self, (number, f"p{number}"), lambda: draw)

    def group(self, name: str) -> Any:
        return self.stores[name].state.groups[GROUP]


def test_what_one_of_three_held_comes_to_all_and_no_old_epoch_is_won_again() -> None:
    stores = Stores()
    stores.give("a", log_of(1, 1, 2), 2, 4)
    stores.wipe("b", "c")
    changing = stores.settle(stores.force("a", "bc"))
    assert (changing.state, changing.is_over) == (State.IN_USE, True)
    assert changing.install is not None
    new = changing.install.new
    assert new.version >= 1 + AHEAD
    assert new.forced is not None
    assert (new.forced.of, new.forced.by, new.forced.why) == (1, "ada", "fire")
    assert new.before == {"a": stores.old.voters["a"]}
    assert new.forced.gone == {n: stores.old.voters[n] for n in "bc"}
    for name in "abc":
        group = stores.group(name)
        assert (group.state, group.version) == ("open", new.version)
        assert (group.shards["s"].ts, group.shards["s"].cm) == (3, 2)
        assert group.grants["s"].pf == new.version * EPOCHS_PER_VERSION
        assert group.grants["s"].state_in(group.version) == "inherited"


def test_every_store_that_is_left_must_be_dumped_not_only_most_of_them() -> None:
    stores = Stores("abcdefg")
    stores.give("a", log_of(1), 1, 1)
    stores.give("b", log_of(1), 1, 1)
    stores.give("c", log_of(1, 1), 1, 1)
    stores.wipe("d", "e", "f", "g")
    changing = stores.force("abc", "defg")
    while changing.install is None:
        stores.settle(changing, 1)
    stores.absent.add("c")
    stores.settle(changing)
    assert "merge" not in [word for _, word in stores.asked]
    assert "2 of 3 dumps of version 1; not answering: c" in changing.why
    stores.absent.discard("c")
    stores.settle(changing)
    assert {stores.group(n).shards["s"].ts for n in "abcdefg"} == {2}


def test_a_store_that_does_not_answer_is_left_out_and_needed_for_nothing() -> None:
    stores = Stores()
    stores.give("a", log_of(1), 1, 1)
    stores.wipe("b")
    stores.absent.add("c")
    changing = stores.settle(stores.force("a", "b"))
    assert changing.install is not None
    assert set(changing.install.new.voters) == {"a", "b"}
    assert changing.state is State.IN_USE


def test_a_group_of_which_nothing_is_left_begins_empty() -> None:
    stores = Stores()
    stores.wipe("a", "b", "c")
    changing = stores.settle(stores.force("", "abc"))
    assert changing.state is State.IN_USE
    assert all(stores.group(n).state == "open" for n in "abc")
    assert all(not stores.group(n).shards for n in "abc")


def test_nothing_is_described_before_a_lease_of_the_old_version_is_over() -> None:
    stores = Stores()
    stores.wipe("a", "b", "c")
    changing = stores.force("", "abc")
    while changing.install is None:
        stores.settle(changing, 1)
    assert stores.now_ms >= TTL_MS
    assert not any(word == "mint" for _, word in stores.asked[:3])


def test_a_longer_lease_of_a_version_before_it_is_waited_for_too() -> None:
    stores = Stores()
    stores.old = replace(stores.old, earlier_ttl_ms=5 * TTL_MS)
    stores.wipe("a", "b", "c")
    changing = stores.force("", "abc")
    while changing.install is None:
        stores.settle(changing, 1)
    assert stores.now_ms >= 5 * TTL_MS
    assert changing.install.new.earlier_ttl_ms == 5 * TTL_MS


def test_whoever_meets_a_store_that_is_sealed_for_it_ends_it_alike() -> None:
    stores = Stores()
    stores.give("a", log_of(1, 1, 2), 2, 4)
    stores.wipe("b", "c")
    first = stores.force("a", "bc")
    while stores.group("a").state != "sealed":
        stores.settle(first, 1)
    stores.waiting.clear()
    shown = stores.group("a").next
    assert isinstance(shown, bytes)
    second = stores.settle(Changing.decided(shown, stores, (9, "other"), lambda: 0.5))
    assert second.state is State.IN_USE
    assert {stores.group(n).shards["s"].ts for n in "abc"} == {3}
    assert {stores.group(n).grants["s"].pf for n in "abc"} == {read_description(shown).floor}


# -- what refuses


def refusal(stores: Stores, left: str, emptied: str) -> str:
    changing = stores.settle(stores.force(left, emptied))
    assert changing.state is State.GIVEN_UP
    assert not any(word in ("seal", "mint") for _, word in stores.asked)
    return changing.why


def test_a_store_that_should_be_gone_and_is_not_refuses_it() -> None:
    assert refusal(Stores(), "a", "bc").startswith("b answers again")


def test_a_store_that_should_be_left_and_is_not_refuses_it() -> None:
    stores = Stores()
    stores.wipe("b", "c")
    stores.absent.add("a")
    assert refusal(stores, "a", "bc").startswith("a does not answer any more")
    stores = Stores()
    stores.wipe("a", "b", "c")
    assert refusal(stores, "a", "bc").startswith("a: it forgot")


def decide(stores: Stores, voters: dict[str, str]) -> bytes:
    """Another version 2, as a vote may have made it."""
    return write_description(GroupDescription(GROUP, 2, TTL_MS, voters, {}, stores.old.voters))


def test_a_version_that_is_in_use_somewhere_is_not_forced_past() -> None:
    stores = Stores("abcd")
    stores.old = GroupDescription(GROUP, 1, TTL_MS, {n: stores.old.voters[n] for n in "abc"}, {})
    next_one = decide(stores, {n: stores.stores[n].state.incarnation for n in "bcd"})
    stores.do("a", "seal", 1, next_one, 2)
    stores.do("d", "seal", 1, next_one, 2)
    assert stores.do("d", "finish_install", 2, "1/q", 0, next_one)[0] == "OK"
    stores.absent.update("bc")
    assert refusal(stores, "a", "").startswith("d is at version 2 already")


def test_a_version_that_was_decided_and_never_came_into_use_gives_way() -> None:
    stores = Stores()
    stores.give("a", log_of(1), 1, 1)
    next_one = decide(stores, {**stores.old.voters, "c": "another"})
    stores.do("a", "seal", 1, next_one, 2)
    stores.wipe("b", "c")
    changing = stores.settle(stores.force("a", "bc"))
    assert changing.state is State.IN_USE
    late = stores.settle(Changing.decided(next_one, stores, (7, "late"), lambda: 0.5), 40)
    assert late.install is not None
    assert not late.install.broken
    assert stores.group("a").version > AHEAD


def test_of_two_acts_at_once_the_greater_one_goes_on() -> None:
    stores = Stores()
    stores.give("a", log_of(1), 1, 1)
    stores.wipe("b", "c")
    low, high = stores.force("a", "bc", 1, 0.1), stores.force("a", "bc", 2, 0.9)
    for _ in range(300):
        low.advance(stores.now_ms)
        high.advance(stores.now_ms)
        stores.answer()
        stores.now_ms += 50
    versions = {stores.group(n).version for n in "abc"}
    assert high.install is not None
    assert versions == {high.install.new.version}


# -- what is left need not be of one log


def test_logs_of_two_epochs_that_agree_where_it_counts_are_merged() -> None:
    stores = Stores("abcde")
    log = log_of(1, 1, 2)
    stores.give("a", log, 1, 2)
    stores.give("b", log[:2], 2, 1)
    stores.wipe("c", "d", "e")
    changing = stores.settle(stores.force("ab", "cde"))
    assert changing.state is State.IN_USE
    assert {(stores.group(n).shards["s"].ts, stores.group(n).shards["s"].cm) for n in "abcde"} == {
        (3, 2)
    }


@pytest.mark.parametrize("overruled", [(1, 3), (3,), (1, 3, 3)])
def test_where_a_log_contradicts_what_is_committed_nothing_is_merged(
    overruled: tuple[int, ...],
) -> None:
    stores = Stores("abcde")
    stores.give("a", log_of(1, 2), 2, 2)
    stores.give("b", log_of(*overruled), min(1, len(overruled) - 1), 3)
    stores.wipe("c", "d", "e")
    changing = stores.settle(stores.force("ab", "cde"))
    assert changing.broken.startswith("a and b hold different logs of s at 2")
    assert "merge" not in [word for _, word in stores.asked]


def test_all_that_is_asked_may_be_lost_once() -> None:
    stores = Stores()
    stores.give("a", log_of(1, 1), 2, 1)
    stores.wipe("b", "c")
    changing = stores.force("a", "bc")
    lost: set[tuple[str, str]] = set()
    for _ in range(400):
        changing.advance(stores.now_ms)
        kept, stores.waiting = stores.waiting, []
        for member, commands, take in kept:
            key = member.store, commands[0][0]
            if key in lost or commands[0][0] == "observe":
                stores.waiting.append((member, commands, take))
            else:
                lost.add(key)
                take(None, stores.now_ms)
        stores.answer()
        stores.now_ms += 50
    assert changing.state is State.IN_USE
    assert changing.install is not None
    new = changing.install.new
    assert {changing.install.standing[m].value for m in members(new.voters)} == {"open"}
