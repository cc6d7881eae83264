"""The rules that stores keep, each in the smallest schedule that breaks without it.

Named after docs/GUARANTEES.md. Rules without a number there stand in docs/STORE_FORMAT.md, and are
named by what they say.
"""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from regions.codec import EPOCH_BOUND, Code
from shards.entry import write_entry
from tests.rules.one_store import OneStore, chain_of

A, B, C = "p1/1", "p2/1", "p3/1"


@pytest.fixture
def store() -> OneStore:
    """A store at which three sessions are known."""
    made = OneStore()
    made.register(A, B, C)
    return made


# -- connections


def test_r1_a_call_of_an_older_connection_is_refused(store: OneStore) -> None:
    assert store.call(["renew", "g", 1, A, 1, 0, 0, []], generation=2).code == Code.OK
    late = store.call(["renew", "g", 1, A, 9, 0, 0, []], generation=1)
    assert (late.code, late.results) == (Code.OLD_GENERATION, [])
    other = store.call(["renew", "g", 1, B, 1, 0, 0, []], process="p2")
    assert other.code == Code.OK  # another process has connections of its own
    reply = store.call(["renew", "g", 1, A, 2, 0, 0, []], generation=2)
    assert reply.results[0][0] == Code.OK


# -- numbers


@given(st.integers(0, 2**54) | st.integers(EPOCH_BOUND - 2, EPOCH_BOUND + 2))
def test_an_epoch_is_a_decimal_string_below_the_bound(epoch: int) -> None:
    one = OneStore()
    one.register(A)
    expected = "OK" if 0 < epoch < EPOCH_BOUND else "BAD_COMMAND"
    assert one.do("prepare", "a", str(epoch), A, ["free"])[0] == expected
    if expected == "OK":
        assert one.grant("a")[:2] == (epoch, epoch)


@given(
    st.just("1" * 5_000)
    | st.text(max_size=6)
    | st.integers()
    | st.binary(max_size=4)
    | st.floats()
    | st.none()
)
def test_nothing_else_is_taken_for_an_epoch(word: object) -> None:
    assume(not (isinstance(word, str) and re.fullmatch("[1-9][0-9]{0,15}", word)))
    assume(not (isinstance(word, bytes) and re.fullmatch(b"[1-9][0-9]{0,15}", word)))
    one = OneStore()
    one.register(A)
    assert one.do("prepare", "a", word, A, ["free"])[0] == "BAD_COMMAND"


# -- sessions


def test_r2_the_dead_are_not_renewed(store: OneStore) -> None:
    assert store.renew(A, 1) == "OK"
    assert store.do("bury", A, 1)[0] == "OK"
    assert store.renew(A, 2) == "DEAD"


def test_r2_a_renewal_must_know_the_revocations(store: OneStore) -> None:
    store.prepare("a", 1, A)
    assert store.do("revoke", "a", A, "1", "operator", "why")[0] == "OK"
    assert store.do("renew", A, 1, 0, 0, []) == ["REVOKED", 1, [["a", "1"]]]
    assert store.do("renew", A, 2, 1, 0, []) == ["OK", 1]


def test_a_renewal_that_comes_twice_renews_once(store: OneStore) -> None:
    assert store.renew(A, 5) == "OK"
    assert [store.renew(A, 5), store.renew(A, 4), store.renew(A, 6)] == ["STALE", "STALE", "OK"]


def test_a_session_is_registered_once(store: OneStore) -> None:
    assert store.do("register", A, "n", "eu", "url") == ["EXISTS"]
    store.do("bury", A, 0)
    assert store.do("register", A, "n", "eu", "url") == ["EXISTS"]


# -- grants


@pytest.mark.parametrize(
    ("holder", "epoch", "counter", "code"),
    [(A, 1, 7, "OK"), (A, 1, 6, "HELD"), (A, 2, 7, "HELD"), (C, 1, 7, "HELD")],
)
def test_r3_only_what_was_watched_exactly_is_declared_dead(
    store: OneStore, holder: str, epoch: int, counter: int, code: str
) -> None:
    store.prepare("a", 1, A)
    store.renew(A, 7)
    store.renew(C, 7)
    assert store.prepare("a", 5, B, "dead", holder, str(epoch), counter) == code
    assert store.renew(A, 8) == ("DEAD" if code == "OK" else "OK")


def test_r4_taking_over_buries_the_old_session_in_the_same_step(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.renew(A, 7)
    assert store.prepare("a", 2, B, "dead", A, "1", 7) == "OK"
    assert store.renew(A, 8) == "DEAD"
    assert store.prepare("other", 1, A) == "DEAD"


@pytest.mark.parametrize("sid", ["", "p9/1"])
def test_only_a_living_session_is_granted_anything(store: OneStore, sid: str) -> None:
    sid = sid or A
    store.do("bury", A, 0)
    assert store.prepare("a", 1, sid) == ("DEAD" if sid == A else "UNKNOWN")
    assert store.append("a", 1, sid)[0] == ("DEAD" if sid == A else "UNKNOWN")


def test_a_promise_is_never_taken_back_nor_given_twice(store: OneStore) -> None:
    assert store.prepare("a", 5, A) == "OK"
    store.do("release", "a", "5", A)
    assert [store.prepare("a", epoch, B) for epoch in (4, 5)] == ["FENCED", "FENCED"]
    assert store.prepare("a", 6, B) == "OK"


def test_a_released_epoch_is_not_granted_when_its_question_comes_late(store: OneStore) -> None:
    assert store.do("release", "a", "3", A) == ["OK", 0]
    assert store.prepare("a", 3, A) == "FENCED"
    assert store.prepare("a", 4, A) == "OK"


def test_a_release_does_not_fence_a_holder_of_a_lower_epoch(store: OneStore) -> None:
    store.prepare("a", 3, A)
    store.do("release", "a", "7", B)
    assert store.grant("a") == (3, 3, A, "held")
    assert store.append("a", 3, A)[0] == "OK"


@pytest.mark.parametrize(("sid", "epoch"), [(A, 4), (B, 3), (B, 4)])
def test_r9_nobody_frees_what_is_not_his(store: OneStore, sid: str, epoch: int) -> None:
    store.prepare("a", 3, A)
    store.do("release", "a", str(epoch), sid)
    assert store.grant("a")[1:] == (3, A, "held")
    assert store.do("release", "a", "4", A)[0] == "OK"
    assert store.do("release", "a", "3", A) == ["OK", 1]


def test_r9_a_release_that_comes_late_leaves_the_next_epoch_alone(store: OneStore) -> None:
    store.prepare("a", 3, A)
    store.prepare("a", 4, A, "mine")
    assert store.do("release", "a", "3", A)[0] == "FENCED"
    assert store.grant("a") == (4, 4, A, "held")


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (["free"], "HELD"),
        (["mine"], "HELD"),
        (["handover"], "HELD"),
        (["revoked", A, "1"], "HELD"),
        (["dead", A, "1", 0], "OK"),
        (["borrowed", A, "1"], "BAD_COMMAND"),
        (["idle"], "BAD_COMMAND"),
        ([], "BAD_COMMAND"),
    ],
)
def test_a_held_shard_is_granted_on_its_condition_alone(
    store: OneStore, condition: list[object], code: str
) -> None:
    store.prepare("a", 1, A)
    assert store.do("prepare", "a", "2", B, condition)[0] == code


def test_mine_is_what_a_session_of_the_same_process_holds_and_was_not_revoked(
    store: OneStore,
) -> None:
    store.register("p1/2")
    store.prepare("a", 1, A)
    assert store.prepare("a", 2, "p1/2", "mine") == "OK"
    store.do("revoke", "a", "p1/2", "2", "operator", "")
    assert store.prepare("a", 3, A, "mine") == "HELD"
    assert store.prepare("a", 3, B, "revoked", "p1/2", "2") == "OK"


def test_a_handover_is_for_its_target(store: OneStore) -> None:
    store.prepare("a", 1, A)
    assert store.do("handover", "a", "1", B, C)[0] == "HELD"
    assert store.do("handover", "a", "1", A, B)[0] == "OK"
    assert store.prepare("a", 2, C, "handover") == "HELD"
    assert store.append("a", 1, A)[0] == "FENCED"
    assert store.prepare("a", 2, B, "handover") == "OK"


# -- the log


def test_r5_an_append_below_the_promise_is_refused(store: OneStore) -> None:
    store.prepare("a", 1, A)
    (first,) = chain_of(1, "k")
    assert store.append("a", 1, A, None, (first,))[0] == "OK"
    store.prepare("a", 2, B, "dead", A, "1", 0)
    (stale,) = chain_of(1, "stale", after=first)
    assert store.append("a", 1, A, first, (stale,), commit=2)[0] == "FENCED"
    assert store.committed("a") == 0


def test_an_append_at_the_promise_is_the_holders_alone(store: OneStore) -> None:
    store.prepare("a", 1, A)
    assert store.append("a", 1, B, None, chain_of(1, "k"))[0] == "FENCED"


def test_r6_an_append_whose_predecessor_is_missing_or_another_is_refused(store: OneStore) -> None:
    store.prepare("a", 1, A)
    one, two, three = chain_of(1, "x", "y", "z")
    assert store.append("a", 1, A, two, (three,), commit=3)[0] == "GAP"
    assert store.append("a", 1, A, None, (one, two))[0] == "OK"
    (other,) = chain_of(1, "other", after=one)
    assert store.append("a", 1, A, other, (three,), commit=3)[0] == "GAP"
    assert store.append("a", 1, A, two, (three,), commit=3)[0] == "OK"
    assert store.committed("a") == 3


def test_r6_what_is_committed_needs_no_predecessor(store: OneStore) -> None:
    store.prepare("a", 1, A)
    one, two = chain_of(1, "x", "y")
    store.append("a", 1, A, None, (one,), commit=1)
    unknown = write_entry(0, 0, 9, [])
    assert store.append("a", 1, A, unknown, (two,), commit=2)[0] == "OK"


def test_r7_an_append_of_a_higher_epoch_takes_the_grant_along(store: OneStore) -> None:
    store.prepare("a", 1, A)
    (first,) = chain_of(1, "x")
    store.append("a", 1, A, None, (first,), commit=1, sync=1)
    store.do("revoke", "a", A, "1", "operator", "")
    assert store.append("a", 4, B)[0] == "OK"
    assert store.grant("a") == (4, 4, B, "held")
    assert store.prepare("a", 5, C, "revoked", B, "4") == "HELD"
    assert store.append("a", 1, A)[0] == "FENCED"
    assert store.prepare("a", 4, C) == "FENCED"


def test_a_grant_names_the_version_it_was_given_in_however_it_was_given(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.append("b", 1, A)
    grants = store.twin.state.groups["g"].grants
    assert {shard: grant.ver for shard, grant in grants.items()} == {"a": 1, "b": 1}


def test_r7_nothing_of_the_old_freshness_is_left_after_a_change_of_epoch(store: OneStore) -> None:
    store.prepare("a", 1, A)
    (first,) = chain_of(1, "x")
    store.append("a", 1, A, None, (first,), commit=1, sync=1)
    assert store.is_fresh("a")
    assert store.append("a", 4, B)[0] == "OK"
    assert not store.is_fresh("a")
    assert store.append("a", 4, B, first, (), commit=1, sync=1)[0] == "OK"
    assert store.is_fresh("a")
    store.prepare("a", 5, B, "mine")
    assert not store.is_fresh("a")


def test_r8_the_commit_index_follows_what_was_sent_and_never_the_tail(store: OneStore) -> None:
    store.prepare("a", 1, A)
    one, two, three = chain_of(1, "x", "y", "z")
    store.append("a", 1, A, None, (one, two, three))
    store.prepare("a", 2, B, "dead", A, "1", 0)
    # B recovered another log: of A's entries it knows the first alone, of its own it sends one
    other = chain_of(2, "u", "v", after=one)
    assert store.append("a", 2, B, None, (one,), commit=3)[0] == "OK"
    assert store.committed("a") == 1
    assert store.value("a", "y") is None
    assert store.append("a", 2, B, one, other, commit=3)[0] == "OK"
    assert store.value("a", "u") == b"u"


def test_a_probe_commits_nothing(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, chain_of(1, "x", "y"))
    assert store.append("a", 1, A, None, (), commit=2)[0] == "OK"
    assert store.committed("a") == 0


def test_what_is_committed_is_never_replaced(store: OneStore) -> None:
    store.prepare("a", 1, A)
    one, two = chain_of(1, "x", "y")
    store.append("a", 1, A, None, (one, two), commit=2)
    other = chain_of(2, "u", after=one)
    assert store.append("a", 2, B, one, other, commit=2)[0] == "CONFLICT"
    assert (store.value("a", "y"), store.value("a", "u")) == (b"y", None)


def test_within_one_epoch_nothing_is_replaced(store: OneStore) -> None:
    one, two = chain_of(1, "x", "y")
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, (one, two))
    assert store.append("a", 1, A, one, chain_of(1, "u", after=one))[0] == "CONFLICT"


def test_a_greater_epoch_replaces_what_was_not_committed(store: OneStore) -> None:
    one, two, three = chain_of(1, "x", "y", "z")
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, (one, two, three), commit=1)
    (other,) = chain_of(2, "u", after=one)
    code, *tail = store.append("a", 2, B, one, (other,), commit=2)
    assert (code, tail[:4]) == ("OK", ["2", 2, other.chain, 2])
    assert store.value("a", "u") == b"u"


def test_an_old_suffix_that_goes_on_behind_equal_entries_stays(store: OneStore) -> None:
    one, two = chain_of(1, "x", "y")
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, (one, two))
    code, *tail = store.append("a", 2, B, None, (one,), commit=1, sync=1)
    assert (code, tail[1], tail[5]) == ("OK", 2, 1)  # tail 2, covered 1
    assert not store.is_fresh("a")  # it holds more than its leader vouches for


# -- applying


def test_r18_what_was_done_before_is_decided_in_log_order(store: OneStore) -> None:
    store.prepare("a", 1, A)
    first = write_entry(0, 0, 1, [["p", "", "n", b"once", 1]], "op", "d", ["written", 1])
    again = write_entry(1, first.chain, 1, [["p", "", "n", b"twice", 2]], "op", "d", ["written", 2])
    store.append("a", 1, A, None, (first, again), commit=2)
    assert store.value("a", "n") == b"once"
    (known,) = store.do("read", "a", "", 0, [], ["op"])[8]
    assert list(known) == [1, "d", ["written", 1]]


def test_an_id_that_was_forgotten_may_be_used_again(store: OneStore) -> None:
    store.prepare("a", 1, A)
    first = write_entry(0, 0, 1, [["p", "", "n", b"once", 1]], "op", "d", ["written", 1])
    forget = write_entry(1, first.chain, 1, [["x", 1]])
    again = write_entry(
        2, forget.chain, 1, [["p", "", "n", b"again", 3]], "op", "d", ["written", 3]
    )
    store.append("a", 1, A, None, (first, forget, again), commit=3)
    assert store.value("a", "n") == b"again"


# -- reading


def test_a_leaders_read_counts_in_its_own_epoch_alone(store: OneStore) -> None:
    store.prepare("a", 1, A)
    entries = chain_of(1, "x", "y")
    store.append("a", 1, A, None, entries, commit=1)
    assert store.do("read", "a", "2", 1, [], [])[0] == "FENCED"
    assert store.do("read", "a", "1", 3, [], [])[0] == "LAGGING"
    assert store.value("a", "y", epoch="1", commit=2) == b"y"
    store.prepare("a", 2, A, "mine")
    assert store.do("read", "a", "2", 2, [], [])[0] == "FENCED"  # its tail is of epoch 1


def test_r19_a_renewal_withdraws_freshness_from_what_it_names(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, chain_of(1, "x"), commit=1, sync=1)
    store.do("renew", B, 1, 0, 0, ["a"])
    assert store.is_fresh("a")  # it is not B's to withdraw
    store.do("renew", A, 1, 0, 0, ["a"])
    assert not store.is_fresh("a")


def test_r19_also_a_refused_renewal_withdraws_freshness(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.prepare("b", 1, A)
    store.append("a", 1, A, None, chain_of(1, "x"), commit=1, sync=1)
    store.do("revoke", "b", A, "1", "operator", "")
    assert store.do("renew", A, 1, 0, 0, ["a"])[0] == "REVOKED"
    assert not store.is_fresh("a")


@pytest.mark.parametrize(
    "command",
    [
        ["handover", "a", "1", A, B],
        ["revoke", "a", A, "1", "operator", ""],
        ["release", "a", "1", A],
        ["bury", A, 0],
    ],
    ids=lambda command: command[0],
)
def test_nothing_is_fresh_that_is_not_held(store: OneStore, command: list[str]) -> None:
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, chain_of(1, "x"), commit=1, sync=1)
    assert store.is_fresh("a")
    assert store.do(*command)[0] == "OK"
    assert not store.is_fresh("a")


def test_a_copy_that_is_not_whole_is_neither_read_nor_copied(store: OneStore) -> None:
    """It was taken while the source went on from 2 to 3, so it holds some of what 3 wrote."""
    store.prepare("a", 1, A)
    entries = chain_of(1, "x", "y", "z")
    store.do("stage", "a", "1", A, 1, "kv", [["part\0z", b"3 z"]])
    assert store.do("adopt", "a", "1", A, 1, "1", 2, entries[1].chain, 3) == ["OK"]
    assert store.do("read", "a", "", 0, ["z"], [])[0] == "BUSY"
    assert store.do("page", "a", "kv", "", 1_000)[0] == "BUSY"
    store.append("a", 1, A, entries[1], entries[2:], commit=3)
    assert store.do("page", "a", "kv", "", 1_000)[0] == "OK"
    assert store.value("a", "z") == b"z"


def adopt(store: OneStore, epoch: str, attempt: int) -> Any:
    base = chain_of(1, "x", "y")[1]
    return store.do("adopt", "a", epoch, A, attempt, "1", 2, base.chain, 2)[0]


def test_what_was_staged_in_one_epoch_is_not_there_in_the_next(store: OneStore) -> None:
    store.prepare("a", 1, A)
    assert store.do("stage", "a", "1", A, 1, "kv", [["part\0old", b"3 v"]]) == ["OK"]
    assert store.prepare("a", 2, A, "mine") == "OK"
    assert store.do("stage", "a", "2", A, 1, "kv", [["part\0new", b"3 v"]]) == ["OK"]
    assert adopt(store, "2", 1) == "OK"
    assert (store.value("a", "old"), store.value("a", "new")) == (None, b"v")


def test_a_late_page_of_an_earlier_attempt_is_refused(store: OneStore) -> None:
    store.prepare("a", 1, A)
    late, page = ([[f"part\0{name}", b"3 v"]] for name in ("late", "new"))
    assert store.do("stage", "a", "1", A, 1, "kv", late) == ["OK"]
    assert store.do("stage", "a", "1", A, 2, "kv", page) == ["OK"]
    assert store.do("stage", "a", "1", A, 1, "kv", late)[0] == "STALE"
    assert adopt(store, "1", 1) == "STALE"
    assert adopt(store, "1", 2) == "OK"
    assert (store.value("a", "late"), store.value("a", "new")) == (None, b"v")


def test_nothing_is_adopted_of_which_nothing_was_staged(store: OneStore) -> None:
    store.prepare("a", 1, A)
    store.append("a", 1, A, None, chain_of(1, "x"), commit=1)
    assert adopt(store, "1", 1) == "STALE"
    assert store.value("a", "x") == b"x"
