"""The rules that a store keeps while the stores of its group are changed, each in the smallest
schedule that breaks without it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.codec import FORMAT, Code
from regions.scripts.state import Grant
from shards.entry import Entry
from tests.rules.one_store import GROUP, OneStore, chain_of

A, A2, B = "p1/1", "p1/2", "p2/1"
NEXT = b"the second version"
BY, LATER = "5/p1", "6/p2"


@pytest.fixture
def store() -> OneStore:
    """A store at which two sessions are known, and the first of them holds shard `a` at 1."""
    made = OneStore()
    made.register(A, B)
    assert made.prepare("a", 1, A) == "OK"
    return made


def merge(
    store: OneStore, log: tuple[Entry, ...] = (), commit: int = 0, by: str = BY, **of: Any
) -> list[Any]:
    """Merge into shard `a`: by default nothing but what is told."""
    last = log[-1] if log else Entry(0, 0, 0, b"")
    first = log[0].sequence if log else 1
    promised, held = of.get("pe", 0), of.get("he", 0)
    return store.do(
        "merge", "a", by, str(promised), str(of.get("pf", 0)), str(held), of.get("h", ""), 0, 1, 0,
        b"", first, [entry.blob for entry in log], str(last.epoch), last.sequence, last.chain,
        commit,
    )  # fmt: skip


def seal(store: OneStore) -> None:
    """Seal the store; what follows is said in the next version."""
    assert store.do("seal", NEXT, store.version + 1) == ["OK"]
    store.version += 1


def switch(store: OneStore) -> None:
    """Seal the store, and install the next version there."""
    seal(store)
    assert store.do("finish_install", BY, 0, NEXT) == ["OK"]


def learner() -> OneStore:
    """A store that copies version 1 of another group than its own, `n`."""
    made = OneStore()
    assert of_learner(made, "learn", BY, b"first") == ["OK"]
    return made


def of_learner(store: OneStore, op: str, *arguments: Any, version: int = 1) -> list[Any]:
    """[code, payload ...] of a command to the group that the store copies."""
    found = store.call([op, "n", version, *arguments]).results[0]
    return [str(found[0]), *found[4:]]


# -- deciding


def test_only_a_greater_ballot_is_promised(store: OneStore) -> None:
    assert store.do("ballot", 2, "p") == ["OK", 0, "", False]
    assert store.do("ballot", 2, "p") == ["STALE", 2, "p"]
    assert store.do("ballot", 1, "q") == ["STALE", 2, "p"]


def test_nothing_is_accepted_below_the_promise(store: OneStore) -> None:
    assert store.do("ballot", 2, "p")[0] == "OK"
    assert store.do("accept", 1, "q", NEXT) == ["STALE", 2, "p"]
    assert store.do("ballot", 3, "r") == ["OK", 0, "", False]


def test_what_was_accepted_is_found_by_a_later_ballot(store: OneStore) -> None:
    assert store.do("accept", 2, "p", NEXT) == ["OK"]
    assert store.do("ballot", 3, "q") == ["OK", 2, "p", NEXT]


def test_a_register_is_of_one_version(store: OneStore) -> None:
    assert store.do("accept", 9, "p", NEXT) == ["OK"]
    switch(store)
    assert store.do("ballot", 1, "q") == ["OK", 0, "", False]


# -- sealing

READ_FROM_IT = {"range", "page", "dump", "learned", "draft_read"}
COPIED_TO_IT = {"learn_page", "learn_data", "learn_log"}
OF_THE_NEXT_VERSION = {"merge", "merge_tail", "finish_install"}
REFUSED = {
    "prepare": ("a", "2", A, ["mine"]),
    "append": ("a", "1", A, 0, "0", 0, [], 0, 0),
    "renew": (A, 1, 0, 0, []),
    "release": ("a", "1", A),
    "handover": ("a", "1", A, B),
    "revoke": ("a", A, "1", "op", "why"),
    "register": (A2, "n", "eu", "u"),
    "bury": (B, 0),
    "ballot": (9, "p"),
    "accept": (9, "p", NEXT),
}


@pytest.mark.parametrize("op", REFUSED)
def test_a_sealed_store_takes_nothing_of_its_version(store: OneStore, op: str) -> None:
    other = OneStore()
    other.register(A, B)
    other.prepare("a", 1, A)
    assert other.do(op, *REFUSED[op])[0] == "OK"  # it is the seal, and nothing else
    assert store.do("seal", NEXT, 2) == ["OK"]
    before = store.twin.copy()
    assert store.do(op, *REFUSED[op]) == ["SEALED"]
    assert store.twin.state == before


def test_whatever_a_sealed_store_answers_is_on_a_short_list() -> None:
    commands = OneStore().twin._commands
    answered = {op for op, command in commands.items() if command.works_sealed}
    assert answered <= READ_FROM_IT | COPIED_TO_IT | {"seal"}
    of_no_group = {op for op, command in commands.items() if not command.needs_group}
    assert of_no_group == {"hello", "mint", "install", "learn"}
    assert {op for op, command in commands.items() if command.of_next} == OF_THE_NEXT_VERSION


def test_a_sealed_store_shows_what_comes_next(store: OneStore) -> None:
    assert store.do("seal", NEXT, 2) == ["OK"]
    found = store.call(["renew", GROUP, 1, A, 1, 0, 0, []]).results[0]
    assert found == [Code.SEALED, 1, "sealed", NEXT]


def test_a_seal_is_of_one_description(store: OneStore) -> None:
    assert store.do("seal", NEXT, 2) == ["OK"]
    assert store.do("seal", b"another", 2) == ["CONFLICT"]
    store.version = 2
    assert store.do("finish_install", BY, 0, b"another") == ["CONFLICT"]


def test_a_seal_gives_way_to_a_greater_version_and_to_no_smaller_one(store: OneStore) -> None:
    assert store.do("seal", NEXT, 2) == ["OK"]
    assert store.do("seal", b"forced", 9) == ["OK"]
    assert store.do("seal", NEXT, 2) == ["STALE", 9]
    store.version = 2
    assert store.do("finish_install", BY, 0, NEXT) == ["OLD_VERSION"]
    store.version = 9
    assert store.do("finish_install", BY, 0, b"forced") == ["OK"]


def test_a_dump_before_the_seal_counts_for_nothing(store: OneStore) -> None:
    assert store.do("dump", "", 9_999, 1) == ["UNDECIDED"]
    assert store.do("seal", NEXT, 2) == ["OK"]
    assert store.do("dump", "", 9_999, 1)[0] == "OK"


def test_a_shard_of_which_only_a_floor_is_known_is_dumped(store: OneStore) -> None:
    assert store.do("release", "b", "7", B) == ["OK", 0]
    assert store.do("seal", NEXT, 2) == ["OK"]
    assert [record[:3] for record in store.do("dump", "", 9_999, 1)[1]] == [
        ["a", "1", "0"],
        ["b", "0", "7"],
    ]


# -- merging


def test_the_greater_log_is_taken_and_never_the_longer_one(store: OneStore) -> None:
    longer, greater = chain_of(1, "k1", "k2", "k3"), chain_of(2, "k1")
    store.append("a", 1, A, entries=longer)
    seal(store)
    assert merge(store, greater) == ["OK"]
    assert merge(store, longer) == ["OK"]
    shard = store.twin.state.groups[GROUP].shards["a"]
    assert (shard.te, shard.ts, list(shard.log)) == (2, 1, [1])


def test_promises_and_commits_are_never_lowered_by_a_merge(store: OneStore) -> None:
    log = chain_of(1, "k1", "k2")
    store.append("a", 1, A, entries=log, commit=2)
    store.do("release", "a", "4", B)
    seal(store)
    assert merge(store, log, commit=1, pe=0, pf=3) == ["OK"]
    grant = store.twin.state.groups[GROUP].grants["a"]
    assert (grant.pe, grant.pf, store.committed("a")) == (1, 4, 2)
    assert merge(store, log, pe=8, pf=9, he=8, h=B) == ["OK"]
    assert (grant.pe, grant.pf, grant.he, grant.h) == (8, 9, 8, B)
    assert merge(store, log, pe=7, he=7, h=A) == ["OK"]
    assert (grant.he, grant.h) == (8, B)


def test_nothing_committed_is_replaced_by_a_merge(store: OneStore) -> None:
    store.append("a", 1, A, entries=chain_of(1, "k1"), commit=1)
    seal(store)
    assert merge(store, chain_of(2, "k1", "k2")) == ["CONFLICT"]
    assert merge(store, chain_of(2, "k1")) == ["CONFLICT"]


def test_a_merge_joins_only_what_is_certainly_the_same_log(store: OneStore) -> None:
    mine, theirs = chain_of(1, "k1", "k2"), chain_of(1, "x1", "x2")
    store.append("a", 1, A, entries=mine)
    seal(store)
    wanted = chain_of(2, "k3", after=theirs[-1])
    assert merge(store, wanted) == ["GAP", 0, 2]
    assert merge(store, (*theirs[1:], *wanted)) == ["GAP", 0, 2]
    assert merge(store, (*theirs, *wanted)) == ["OK"]


def test_what_is_present_after_a_merge_is_not_committed(store: OneStore) -> None:
    seal(store)
    assert merge(store, chain_of(1, "k1", "k2"), commit=1) == ["OK"]
    assert store.do("finish_install", BY, 1, NEXT) == ["OK"]
    assert store.committed("a") == 1
    assert [store.value("a", key) for key in ("k1", "k2")] == [b"k1", None]


def test_an_open_store_is_sealed_before_it_is_merged_into(store: OneStore) -> None:
    store.version = 2
    assert merge(store, pe=9) == ["UNDECIDED"]
    assert store.do("finish_install", BY, 0, NEXT) == ["UNDECIDED"]
    assert store.grant("a") == (1, 1, A, "held")


def test_what_is_merged_late_leaves_a_later_version_alone(store: OneStore) -> None:
    switch(store)
    assert merge(store, pe=9, he=9, h=B) == ["OLD_VERSION"]
    assert store.do("finish_install", BY, 0, NEXT) == ["OK"]
    seal(store)
    store.version = 2
    assert store.do("finish_install", BY, 0, NEXT) == ["OLD_VERSION"]
    assert store.twin.state.groups[GROUP].state == "sealed"


COMMON = chain_of(1, "k1", "k2")
LOGS = (  # of leaders that followed one another: nothing after COMMON was ever committed
    COMMON,
    chain_of(1, "k1", "k2", "k3", "k4"),
    (*COMMON, *chain_of(2, "x3", after=COMMON[-1])),
    (*COMMON, *chain_of(3, "y3", "y4", "y5", after=COMMON[-1])),
)
told = st.tuples(
    st.sampled_from(LOGS), st.integers(0, 2), *([st.integers(0, 5)] * 2), st.integers(0, 4)
)


@given(st.lists(told, min_size=1, max_size=6))
def test_in_any_order_the_greatest_of_all_that_was_merged_is_there(records: list[Any]) -> None:
    one = OneStore()
    seal(one)
    greatest: tuple[Any, ...] = ()
    for number, (log, commit, pe, pf, he) in enumerate(records, 1):
        answer = merge(one, log, commit, pe=max(pe, he), pf=pf, he=he, h=f"p{he}/1" if he else "")
        assert answer == ["OK"]
        heard = records[:number]
        shard, grant = one.twin.state.groups[GROUP].shards["a"], one.twin.state.groups[GROUP].grants
        assert grant.get("a", Grant()).pe == max(max(r[2], r[4]) for r in heard)
        assert grant.get("a", Grant()).pf == max(r[3] for r in heard)
        assert grant.get("a", Grant()).he == max(r[4] for r in heard)
        assert shard.cm == shard.ap == max(r[1] for r in heard)
        last = max((r[0][-1].epoch, r[0][-1].sequence) for r in heard)
        assert (shard.te, shard.ts) == last >= greatest
        greatest = last


# -- switching


def test_a_store_is_switched_when_every_shard_was_merged_by_the_attempt(store: OneStore) -> None:
    seal(store)
    assert merge(store, by=LATER) == ["OK"]
    assert store.do("finish_install", BY, 1, NEXT) == ["GAP", 0]
    assert merge(store) == ["OK"]
    assert store.do("finish_install", BY, 2, NEXT) == ["GAP", 1]
    assert store.do("finish_install", BY, 1, NEXT) == ["OK"]


def test_what_is_meant_for_a_store_that_forgot_reaches_nobody(store: OneStore) -> None:
    seal(store)
    meant = ["finish_install", GROUP, 2, BY, 0, NEXT]
    for incarnation in ("", "0" * 16):
        reply = store.twin.call([FORMAT, incarnation, "p1", 1], [meant])
        assert (reply.code, reply.results) == (Code.WRONG_INCARNATION, [])
    assert store.twin.state.groups[GROUP].version == 1


def test_nobody_is_in_a_version_that_was_not_installed(store: OneStore) -> None:
    found = store.call(["prepare", GROUP, 2, "a", "2", A, ["mine"]]).results[0]
    assert found == [Code.NEW_VERSION, 1, "open", b"one group"]
    assert store.twin.state.groups[GROUP].version == 1
    assert store.do("install", b"one group") == ["OK"]
    store.version = 2
    assert store.do("install", NEXT) == ["BAD_COMMAND"]


def test_sessions_are_of_one_version(store: OneStore) -> None:
    switch(store)
    assert store.renew(A, 1) == "UNKNOWN"
    assert store.do("prepare", "a", "2", A, ["waited"])[0] == "UNKNOWN"


def test_every_shard_is_seen_again_after_a_switch(store: OneStore) -> None:
    store.do("release", "b", "7", B)
    store.do("bury", B, 0)
    before = store.twin.state.opseq
    switch(store)
    _, sessions, dead, shards, _ = store.do("observe", before, 9)
    assert (sessions, dead, [shard[0] for shard in shards]) == ([], [], ["a", "b"])


def test_nothing_that_was_staged_outlives_the_switch(store: OneStore) -> None:
    seal(store)
    assert store.do("merge_tail", "a", LATER, [[1, chain_of(1, "k1")[0].blob]]) == ["OK"]
    assert merge(store) == ["OK"]
    assert store.do("finish_install", BY, 1, NEXT) == ["OK"]
    group = store.twin.state.groups[GROUP]
    assert (group.merged, group.tails, group.paged) == ({}, {}, set())


# -- leases across versions


@pytest.fixture
def inherited(store: OneStore) -> OneStore:
    """A store in version 2, where A held the shard at 1 in version 1."""
    switch(store)
    store.register(A, A2, B)
    return store


@pytest.mark.parametrize(
    ("sid", "condition"),
    [(A, ["mine"]), (B, ["free"]), (B, ["dead", A, "1", 0]), (B, ["revoked", A, "1"])],
)
def test_an_inherited_grant_licenses_nothing(
    inherited: OneStore, sid: str, condition: list[Any]
) -> None:
    assert inherited.prepare("a", 2, sid, *condition) == "HELD"


def test_nor_does_one_that_was_free_handed_over_or_revoked(store: OneStore) -> None:
    for shard in ("free", "over", "taken"):
        assert store.prepare(shard, 1, A) == "OK"
    assert store.do("release", "free", "1", A) == ["OK", 1]
    assert store.do("handover", "over", "1", A, B) == ["OK"]
    assert store.do("revoke", "taken", A, "1", "op", "why")[0] == "OK"
    switch(store)
    store.register(A, B)
    assert store.prepare("free", 2, B, "free") == "HELD"
    assert store.prepare("over", 2, B, "handover") == "HELD"
    assert store.prepare("taken", 2, B, "revoked", A, "1") == "HELD"
    assert store.prepare("taken", 2, A, "carry", A, "1") == "HELD"


def test_under_an_inherited_grant_nothing_is_written_or_given(inherited: OneStore) -> None:
    assert inherited.append("a", 1, A)[0] == "FENCED"
    assert inherited.do("trim", "a", "1", A, 1)[0] == "FENCED"
    assert inherited.do("handover", "a", "1", A, B)[0] == "HELD"
    assert inherited.do("revoke", "a", A, "1", "op", "why")[0] == "HELD"
    assert inherited.do("release", "a", "1", A) == ["OK", 0]
    assert inherited.do("range", "a", 0, 0)[1][4] == "inherited"


def test_a_merged_grant_is_inherited_too(store: OneStore) -> None:
    seal(store)
    assert merge(store, pe=5, he=5, h=B) == ["OK"]
    assert store.do("finish_install", BY, 1, NEXT) == ["OK"]
    store.register(A, B)
    assert store.prepare("a", 6, B, "mine") == "HELD"
    assert store.prepare("a", 6, B, "carry", B, "5") == "OK"


def test_the_holder_alone_carries_its_grant_over(inherited: OneStore) -> None:
    assert inherited.prepare("a", 2, B, "carry", A, "1") == "HELD"
    assert inherited.prepare("a", 2, B, "carry", B, "1") == "HELD"
    assert inherited.prepare("a", 2, A, "carry", A, "2") == "HELD"
    assert inherited.prepare("a", 2, A2, "carry", A, "1") == "OK"
    assert inherited.prepare("a", 3, A, "carry", A, "1") == "HELD"


def test_a_carry_that_comes_late_is_refused(inherited: OneStore) -> None:
    assert inherited.prepare("a", 3, B, "waited") == "OK"
    assert inherited.prepare("a", 2, A, "carry", A, "1") == "FENCED"
    assert inherited.prepare("a", 3, A, "carry", A, "1") == "FENCED"
    assert inherited.prepare("a", 4, A, "carry", A, "1") == "HELD"
    assert inherited.prepare("a", 4, A, "waited") == "HELD"


def test_nobody_has_waited_for_what_was_given_in_this_version(store: OneStore) -> None:
    assert store.prepare("a", 2, B, "waited") == "HELD"
    assert store.prepare("a", 2, A, "carry", A, "1") == "HELD"
    assert store.prepare("b", 1, B, "waited") == "HELD"


# -- learning


def test_a_learner_promises_nothing_and_counts_for_nothing() -> None:
    copying = learner()
    assert of_learner(copying, "ballot", 1, "p") == ["NOT_MEMBER"]
    assert of_learner(copying, "register", A, "n", "eu", "u") == ["NOT_MEMBER"]
    assert of_learner(copying, "append", "a", "1", A, 0, "0", 0, [], 0, 0) == ["NOT_MEMBER"]
    assert of_learner(copying, "dump", "", 9, 0) == ["NOT_MEMBER"]
    assert of_learner(copying, "seal", NEXT, 2) == ["NOT_MEMBER"]
    assert of_learner(copying, "install", b"first") == ["EXISTS"]


def test_a_copy_that_another_attempt_took_over_goes_on_no_more() -> None:
    copying = learner()
    (entry,) = chain_of(1, "k1")
    assert of_learner(copying, "learn", LATER, b"first") == ["OK"]
    assert of_learner(copying, "learn", BY, b"first") == ["STALE", LATER]
    assert of_learner(copying, "learn_log", "a", BY, 0, 0, [entry.blob]) == ["STALE"]
    assert of_learner(copying, "learn_log", "a", LATER, 0, 0, [entry.blob]) == ["OK", 1]


def test_a_sealed_store_is_copied_to_and_stays_sealed(store: OneStore) -> None:
    mine = chain_of(1, "k1", "k2", "k3")
    assert store.append("a", 1, A, entries=mine, commit=1)[0] == "OK"
    assert store.do("seal", NEXT, 2) == ["OK"]
    assert store.do("learn", BY, b"another") == ["EXISTS"]
    assert store.do("learn_page", "a", BY, "kv", []) == ["STALE"]
    assert store.do("learn", BY, NEXT) == ["OK"]
    assert store.do("learn_page", "a", BY, "kv", [["p\0new", b"2 w"]]) == ["OK"]
    assert store.do("learn_data", "a", BY, "1", 2, mine[1].chain, 2) == ["OK"]
    dumped = store.do("dump", "", 9_999, 1)
    assert dumped[0] == "OK"
    assert dumped[1][0][10:14] == ["1", 3, mine[2].chain, 2], "of its log it keeps what joins on"
    assert store.do("renew", A, 1, 0, 0, []) == ["SEALED"]
    assert store.do("seal", NEXT, 2) == ["OK"]


def test_a_member_of_a_version_that_is_over_learns_a_later_one(store: OneStore) -> None:
    assert store.do("learn", BY, b"first") == ["EXISTS"]
    store.version = 3
    assert store.do("learn", BY, b"the third") == ["OK"]
    store.version = 1
    assert store.do("renew", A, 1, 0, 0, []) == ["NOT_MEMBER"]
    store.version = 4
    assert merge(store, pe=5) == ["OK"]
    assert store.do("finish_install", BY, 1, NEXT) == ["OK"]
    assert store.grant("a") == (5, 1, A, "held"), "what it had promised stays"


def test_what_the_attempt_before_had_staged_is_gone() -> None:
    copying = learner()
    page = [["p\0old", b"1 v"]]
    assert of_learner(copying, "learn_page", "a", BY, "kv", page) == ["OK"]
    assert of_learner(copying, "merge", "a", BY, *NOTHING, version=2) == ["OK"]
    assert of_learner(copying, "learn", LATER, b"first") == ["OK"]
    assert of_learner(copying, "learn_data", "a", LATER, "1", 3, 7, 3) == ["STALE"]
    assert of_learner(copying, "finish_install", BY, 1, NEXT, version=2) == ["GAP", 0]


NOTHING = ("0", "0", "0", "", 0, 0, 0, b"", 1, [], "0", 0, 0, 0)


def test_a_shard_is_not_emptied_by_a_copy_of_which_no_page_came() -> None:
    copying = learner()
    (entry,) = chain_of(1, "k1")
    assert of_learner(copying, "learn_log", "a", BY, 0, 0, [entry.blob]) == ["OK", 1]
    assert of_learner(copying, "learn_data", "a", BY, "1", 3, 7, 3) == ["STALE"]
    assert of_learner(copying, "learn_page", "a", BY, "kv", []) == ["OK"]
    assert of_learner(copying, "learn_data", "a", BY, "1", 3, 7, 3) == ["OK"]


def test_a_copy_that_begins_again_keeps_nothing_it_had_staged() -> None:
    copying = learner()
    assert of_learner(copying, "learn_page", "a", BY, "kv", [["p\0old", b"1 v"]]) == ["OK"]
    assert of_learner(copying, "learn_page", "a", BY, "", []) == ["OK"]
    assert of_learner(copying, "learn_page", "a", BY, "kv", [["p\0new", b"2 w"]]) == ["OK"]
    assert of_learner(copying, "learn_data", "a", BY, "1", 3, 7, 3) == ["OK"]
    assert list(copying.twin.state.groups["n"].shards["a"].data.kv) == ["new"]


def test_a_copy_goes_on_only_where_the_log_is_the_same() -> None:
    copying = learner()
    mine, other = chain_of(1, "k1", "k2", "k3"), chain_of(1, "x1", "x2")
    blobs = [entry.blob for entry in mine]
    assert of_learner(copying, "learn_log", "a", BY, 2, mine[1].chain, blobs[2:]) == ["GAP", 0]
    assert of_learner(copying, "learn_log", "a", BY, 0, 0, blobs[:1]) == ["OK", 1]
    assert of_learner(copying, "learn_log", "a", BY, 0, 0, [other[0].blob]) == ["CONFLICT"]
    assert of_learner(copying, "learn_log", "a", BY, 1, mine[0].chain, blobs[1:]) == ["OK", 3]


def test_a_learner_votes_only_after_it_was_installed() -> None:
    copying = learner()
    assert of_learner(copying, "register", A, "n", "eu", "u", version=2) == ["NOT_MEMBER"]
    assert of_learner(copying, "finish_install", BY, 0, NEXT, version=2) == ["OK"]
    assert of_learner(copying, "register", A, "n", "eu", "u", version=2) == ["OK"]
    assert of_learner(copying, "learn", LATER, NEXT, version=2) == ["EXISTS"]
