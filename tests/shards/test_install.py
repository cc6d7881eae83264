"""From the decision to its use: what counts as a dump, how much is under way, who is left out."""

from __future__ import annotations

from typing import Any

import pytest

from regions.change import State
from regions.codec import FORMAT, Code, Reply
from regions.membership import GroupDescription, Member, members, write_description
from regions.scripts.model import StoreModel
from regions.scripts.state import Grant
from regions.store_calls import Take
from shards import filling
from shards.changing import Changing
from shards.install import Standing
from shards.scripts.model import new_store

GROUP = "g"
TTL_MS = 1_000


class Stores:
    """Three stores of version 1; version 2 is decided to be the first two and a new one."""

    def __init__(self, shards: int = 1) -> None:
        self.stores: dict[str, StoreModel] = {name: new_store(name) for name in "abcd"}
        incarnations = {n: store.state.incarnation for n, store in self.stores.items()}
        self.old = GroupDescription(GROUP, 1, TTL_MS, {n: incarnations[n] for n in "abc"}, {})
        voters = {n: incarnations[n] for n in "abd"}
        self.new = GroupDescription(GROUP, 2, TTL_MS, voters, {}, self.old.voters)
        for name in "abc":
            self.do(name, "install", 1, write_description(self.old))
        for name in "abc":
            grants = self.stores[name].state.groups[GROUP].grants
            grants.update({f"s{n}": Grant(pe=n + 1) for n in range(shards)})
        self.waiting: list[tuple[Member, list[list[Any]], Take]] = []
        self.asked: list[tuple[str, list[list[Any]]]] = []
        self.absent: set[str] = set()
        self.now_ms = 0
        text = write_description(self.new)
        self.changing = Changing.decided(text, self, (1, "p"), lambda: 0.5)
        self.changing.advance(0)

    def do(self, name: str, operation: str, version: int, *arguments: Any) -> list[Any]:
        store = self.stores[name]
        header = [FORMAT, store.state.incarnation, "", 0]
        return store.call(header, [[operation, GROUP, version, *arguments]]).results[0]

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self.waiting.append((member, commands, take))
        self.asked.append((member.store, commands))

    def answer(self, *names: str) -> None:
        """Carry out and answer what waits at these stores, at all without names."""
        now, self.waiting = self.waiting, []
        for member, commands, take in now:
            if names and member.store not in names:
                self.waiting.append((member, commands, take))
                continue
            reply: Reply | None = None
            if member.store not in self.absent:
                header = [FORMAT, member.incarnation, "", 0]
                reply = self.stores[member.store].call(header, commands)
            take(reply, self.now_ms)

    def settle(self) -> None:
        for _ in range(400):
            self.answer()
            self.now_ms += 50
            self.changing.advance(self.now_ms)

    def operations(self, name: str) -> list[str]:
        """What a store was asked, one word for each command."""
        return [
            command[0] for store, commands in self.asked if store == name for command in commands
        ]

    @property
    def state(self) -> State:
        return self.changing.state


def test_no_dump_is_begun_before_this_process_has_the_answer_to_its_seal() -> None:
    stores = Stores()
    assert {n: stores.operations(n) for n in "abcd"} == {n: ["seal"] for n in "abcd"}
    stores.answer("a")
    assert stores.operations("a") == ["seal", "dump"]
    assert stores.operations("b") == ["seal"]
    assert [commands[0][-1] for _, commands in stores.asked if commands[0][0] == "dump"] == [1]


def test_one_dump_of_three_is_not_enough() -> None:
    stores = Stores()
    stores.absent.update("bc")
    stores.settle()
    assert stores.operations("a").count("dump") == 1
    assert stores.state is State.DECIDED
    assert "merge" not in stores.operations("a")
    stores.absent.discard("c")
    stores.settle()
    assert stores.state is State.IN_USE


def test_an_incarnation_that_is_gone_is_none_of_those_that_are_dumped() -> None:
    """The empty store at its address says what it has: nothing. That is no dump."""
    stores = Stores()
    stores.absent.add("c")
    stores.stores["b"] = new_store("b", nonce="again", clock=lambda: (9, 9))
    stores.settle()
    assert stores.state is State.DECIDED
    assert "merge" not in stores.operations("a")
    assert set(stores.changing.calls.unfit) == {Member("b", stores.old.voters["b"])}


def test_a_dump_that_is_refused_is_not_an_empty_one() -> None:
    stores = Stores()
    stores.answer("a", "b")
    stores.stores["a"].state.groups[GROUP].state = "open"
    stores.stores["b"].state.groups[GROUP].state = "open"
    stores.answer("a", "b")
    assert stores.state is not State.MERGED


def test_promises_of_every_dump_come_to_every_store() -> None:
    stores = Stores()
    stores.stores["b"].state.groups[GROUP].grants["s0"].pe = 40
    stores.stores["a"].state.groups[GROUP].grants["s0"].pf = 50
    stores.absent.add("c")
    stores.settle()
    kept = [stores.stores[name].state.groups[GROUP].grants["s0"] for name in "abd"]
    assert [(grant.pe, grant.pf) for grant in kept] == [(40, 50)] * 3


def test_a_shard_that_one_dump_alone_names_is_merged_everywhere() -> None:
    stores = Stores()
    stores.stores["b"].state.groups[GROUP].grants["only here"] = Grant(pe=7)
    stores.absent.add("c")
    stores.settle()
    for name in "abd":
        assert stores.stores[name].state.groups[GROUP].grants["only here"].pe == 7


def test_many_shards_are_brought_with_little_under_way_at_a_time() -> None:
    stores = Stores(shards=2_000)
    most_calls = most_commands = rounds = 0
    while stores.state is not State.IN_USE:
        for name in "abcd":
            sizes = [
                len(commands) for member, commands, _ in stores.waiting if member.store == name
            ]
            most_calls, most_commands = max(most_calls, len(sizes)), max(most_commands, *sizes, 0)
        stores.answer()
        rounds += 1
    assert most_calls <= filling.CALLS_MAX
    assert most_commands <= filling.MERGES_PER_CALL
    assert rounds < 25, "each round is a round trip to the farthest store"


def test_a_removed_store_keeps_its_seal_and_shows_what_was_decided() -> None:
    stores = Stores()
    stores.settle()
    group = stores.stores["c"].state.groups[GROUP]
    assert (group.state, group.version) == ("sealed", 1)
    assert group.next == write_description(stores.new)


def test_two_descriptions_of_one_version_stop_everything() -> None:
    stores = Stores()
    other = GroupDescription(GROUP, 2, TTL_MS, {"a": "x"}, {}, stores.old.voters)
    stores.do("b", "seal", 1, write_description(other), 2)
    stores.settle()
    assert stores.changing.install is not None
    assert stores.changing.install.broken == "b is sealed for another version 2"
    assert stores.operations("b") == ["seal"]


def test_a_group_that_has_gone_further_is_left_alone() -> None:
    stores = Stores()
    for name in "abd":
        if name == "d":
            stores.do("d", "learn", 1, "1/q", write_description(stores.old))
        else:
            stores.do(name, "seal", 1, write_description(stores.new), 2)
        for shard in stores.stores["a"].state.groups[GROUP].grants:
            merge = ["1/q", "1", "0", "0", "", 0, 0, 0, b"", 1, [], "0", 0, 0, 0]
            assert stores.do(name, "merge", 2, shard, *merge)[0] == Code.OK
        stores.do(name, "finish_install", 2, "1/q", 1, write_description(stores.new))
    later = GroupDescription(GROUP, 3, TTL_MS, stores.new.voters, {}, stores.new.voters)
    stores.do("a", "seal", 2, write_description(later), 3)
    stores.settle()
    assert stores.changing.install is not None
    assert stores.changing.install.overtaken == write_description(later)
    assert "merge" not in stores.operations("b")


def test_followers_come_last_and_nothing_waits_for_them() -> None:
    stores = Stores()
    follower = new_store("f")
    stores.stores["f"] = follower
    new = GroupDescription(
        GROUP, 2, TTL_MS, stores.new.voters, {"f": follower.state.incarnation}, stores.old.voters
    )
    stores.asked.clear()
    stores.waiting.clear()
    stores.changing = Changing.decided(write_description(new), stores, (2, "p"), lambda: 0.5)
    stores.changing.advance(0)
    while stores.state is not State.IN_USE:
        assert "f" not in [name for name, _ in stores.asked]
        stores.answer()
    stores.settle()
    assert stores.changing.install is not None
    assert stores.changing.install.is_over
    assert {stores.changing.install.standing[m] for m in members(new.incarnations)} == {
        Standing.OPEN
    }


@pytest.mark.parametrize("lost", ["seal", "dump", "merge", "finish_install"])
def test_every_answer_may_be_lost_once(lost: str) -> None:
    stores = Stores(shards=3)
    losses = 0
    for _ in range(200):
        now, stores.waiting = stores.waiting, []
        for member, commands, take in now:
            reply = stores.stores[member.store].call([FORMAT, member.incarnation, "", 0], commands)
            loses = commands[0][0] == lost and losses < 4
            losses += loses
            take(None if loses else reply, stores.now_ms)
        stores.now_ms += 50
        stores.changing.advance(stores.now_ms)
    assert losses
    assert stores.state is State.IN_USE
    assert stores.changing.install is not None
    assert stores.changing.install.is_over
