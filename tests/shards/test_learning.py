"""One learner, taught pass by pass: when it has caught up, and who teaches it."""

from __future__ import annotations

from typing import Any

from regions.codec import FORMAT, Code, Reply
from regions.membership import GroupDescription, Member, members, write_description
from regions.scripts.model import StoreModel
from regions.store_calls import Calls, Take
from shards import learning
from shards.entry import write_entry
from shards.learning import Learning
from shards.scripts.model import new_store
from shards.scripts.state import Shard

GROUP = "g"
TTL_MS = 1_000
STEP_MS = 50


class School:
    """Stores a, b and c of a group, a new one, and whoever teaches it."""

    def __init__(self) -> None:
        self.stores: dict[str, StoreModel] = {name: new_store(name) for name in "abcd"}
        voters = {name: self.stores[name].state.incarnation for name in "abc"}
        self.old = GroupDescription(GROUP, 1, TTL_MS, voters, {})
        self.text = write_description(self.old)
        for member in members(voters):
            assert self.call(member, [["install", GROUP, 1, self.text]]).results[0][0] == Code.OK
            session = ["register", GROUP, 1, "p/1", "n", "r", "u"]
            assert self.call(member, [session]).results[0][0] == Code.OK
        self.new = Member("d", self.stores["d"].state.incarnation)
        self.waiting: list[tuple[Member, list[list[Any]], Take]] = []
        self.asked: list[str] = []
        self.now_ms = 0
        self.attempts = 0
        self.teachers: list[Learning] = []

    def call(self, member: Member, commands: list[list[Any]]) -> Reply:
        header = [FORMAT, member.incarnation, "", 0]
        return self.stores[member.store].call(header, commands)

    def teach(self) -> Learning:
        """Another process begins to teach the new store, with a greater attempt."""

        def attempt(above: str) -> str:
            seen = int(above.partition("/")[0]) if above else 0
            self.attempts = max(self.attempts, seen) + 1
            return f"{self.attempts}/p"

        def go_on(now_ms: int) -> None:
            made.advance(now_ms)

        calls = Calls(self, go_on)
        made = Learning(self.text, self.new, attempt, calls, lambda result: None, lambda: 0.5)
        self.teachers.append(made)
        return made

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        self.waiting.append((member, commands, take))

    def run(self, ms: int) -> None:
        """Let time pass; one round of answers with each step."""
        for _ in range(ms // STEP_MS):
            for teacher in self.teachers:
                teacher.advance(self.now_ms)
            now, self.waiting = self.waiting, []
            for member, commands, take in now:
                self.asked.append(f"{commands[0][0]} {member.store}")
                take(self.call(member, commands), self.now_ms)
            self.now_ms += STEP_MS

    def write(self, shard: str, *names: str, size: int = 10) -> None:
        """An entry that these stores have and know as committed."""
        for name in names:
            log: Shard = self.stores[name].state.groups[GROUP].shards.get(shard) or Shard()
            entry = write_entry(log.ts, log.tc, 1, [["p", "", f"k{log.ts}", bytes(size), 1]])
            at = [log.ts, str(log.te), log.tc, [entry.blob], log.ts + 1, 0]
            member = Member(name, self.stores[name].state.incarnation)
            reply = self.call(member, [["append", GROUP, 1, shard, "1", "p/1", *at]])
            assert reply.results[0][0] == Code.OK, reply.results[0]

    def learnt(self, shard: str) -> int:
        """The learner's commit index."""
        group = self.stores["d"].state.groups.get(GROUP)
        return int(group.shards[shard].cm) if group and shard in group.shards else 0


def test_a_learner_has_caught_up_when_no_store_has_much_that_it_lacks() -> None:
    """The first source lags: what it has is not all there is."""
    school = School()
    school.write("x", "a", "b", "c")
    for _ in range(4):
        school.write("x", "c", size=learning.LAG_BYTES_MAX // 2)
    teacher = school.teach()
    while "dump c" not in school.asked:
        school.run(STEP_MS)
        assert not teacher.caught_up
    school.run(TTL_MS)
    assert (teacher.caught_up, school.learnt("x")) == (True, 5)


def test_what_is_written_later_is_learnt_in_a_later_pass() -> None:
    school = School()
    teacher = school.teach()
    school.run(2 * TTL_MS)
    assert teacher.caught_up
    for name in ("x", "y"):
        school.write(name, "a", "b", "c")
    school.run(2 * learning.PASS_EVERY_MS)
    assert (school.learnt("x"), school.learnt("y")) == (1, 1)
    assert teacher.caught_up


def test_a_learner_that_another_process_teaches_is_left_to_it_for_a_while() -> None:
    school = School()
    school.write("x", "a", "b", "c")
    first = school.teach()
    school.run(TTL_MS)
    second = school.teach()
    while first.why != "d learns from somebody else":
        school.run(STEP_MS)
    assert not first.caught_up
    school.run(TTL_MS - STEP_MS)
    assert second.caught_up
    assert school.asked.count("learn d") == 2


def test_many_shards_are_copied_some_at_a_time() -> None:
    school = School()
    for number in range(100):
        school.write(f"x{number}", "a", "b", "c")
    teacher = school.teach()
    most = 0
    while not teacher.caught_up:
        school.run(STEP_MS)
        most = max(most, len(school.waiting))
    assert most <= learning.COPIES_MAX
    assert all(school.learnt(f"x{number}") == 1 for number in range(100))


def test_a_group_of_nobody_else_cannot_be_learnt() -> None:
    school = School()
    alone = GroupDescription(GROUP, 1, TTL_MS, {"d": "another"}, {})
    calls = Calls(school, lambda now_ms: None)
    found = Learning(
        write_description(alone),
        school.new,
        lambda above: "1/p",
        calls,
        lambda result: None,
        lambda: 0.5,
    )
    found.advance(0)
    assert found.why == "nobody is left that d could learn from"
    assert school.waiting == []
