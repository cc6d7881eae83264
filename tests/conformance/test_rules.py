"""Each rule of docs/STORE_FORMAT.md by itself, on the twin, on Valkey and on Redis."""

from __future__ import annotations

import pytest

from regions.codec import pack
from tests.conformance.rules import HEADER, G, Rule, show
from tests.conformance.rules_of_drafts import DRAFT_RULES, END_OF_LOG_RULES
from tests.conformance.rules_of_grants import ADOPT_RULES, END_RULES, GRANT_RULES
from tests.conformance.rules_of_learners import LEARNER_RULES
from tests.conformance.rules_of_logs import (
    APPEND_RULES,
    APPLY_RULES,
    READ_RULES,
    SYNC_RULES,
    TRIM_RULES,
)
from tests.conformance.rules_of_membership import MEMBERSHIP_RULES
from tests.conformance.rules_of_regions import CALL_RULES, OBSERVE_RULES, SESSION_RULES
from tests.conformance.rules_of_snapshots import SNAPSHOT_RULES
from tests.conformance.rules_of_versions import LEASE_RULES, SWITCH_RULES
from tests.conformance.targets import Remote, Target

RULES = [
    *(CALL_RULES + SESSION_RULES + OBSERVE_RULES),
    *(GRANT_RULES + END_RULES + ADOPT_RULES),
    *(APPEND_RULES + SYNC_RULES + APPLY_RULES),
    *(READ_RULES + TRIM_RULES + SNAPSHOT_RULES),
    *(END_OF_LOG_RULES + DRAFT_RULES),
    *(MEMBERSHIP_RULES + SWITCH_RULES + LEASE_RULES + LEARNER_RULES),
]


@pytest.mark.parametrize("made", RULES, ids=str)
def test_the_store_keeps_the_rule(made: Rule, targets: list[Target]) -> None:
    for target in targets:
        show(target, made)


def test_a_sealed_group_shows_what_comes_next_and_its_log_and_refuses_all_else(
    targets: list[Target],
) -> None:
    for target in targets:
        show(target, Rule("", ()))
        (done,) = target.call(HEADER, [["seal", G, 1, b"what comes next", 2]])[5]
        assert done == ["OK", 1, "sealed", False]
        refusal = ["SEALED", 1, "sealed", "what comes next"]
        for words in (["register", G, 1, "a/1", "n", "r", "u"], ["observe", G, 1, 0, 9]):
            assert target.call(HEADER, [words])[5] == [refusal]
        (found,) = target.call(HEADER, [["range", G, 1, "s", 0, 9]])[5]
        assert found[:4] == ["OK", 1, "sealed", False]


def test_refusals_of_a_version_show_the_description(targets: list[Target]) -> None:
    for target in targets:
        show(target, Rule("", ()))
        for version, code in ((0, "OLD_VERSION"), (2, "NEW_VERSION")):
            (found,) = target.call(HEADER, [["observe", G, version, 0, 9]])[5]
            assert found == [code, 1, "open", "description"]
        (found,) = target.call(HEADER, [["observe", "other", 1, 0, 9]])[5]
        assert found == ["NOT_MEMBER", 0, "absent", False]


def test_all_writes_of_a_call_have_one_opseq_and_none_is_skipped(targets: list[Target]) -> None:
    for target in targets:
        show(target, Rule("", ()))
        two = [["place", G, 1, "a", 1, b""], ["place", G, 1, "b", 1, b""]]
        observe = ["observe", G, 1, 0, 1]
        reply = target.call(HEADER, [*two, observe])
        assert reply[4] == 3
        # The call might still write under the opseq it has begun, so nobody goes on from there.
        assert reply[5][2][-1] == 2
        again = target.call(HEADER, [observe])
        assert [shard[0] for shard in again[5][0][6]] == ["a", "b"]
        assert (again[4], again[5][0][-1]) == (3, 3)


def test_an_answer_shows_what_was_so_when_its_command_ended(targets: list[Target]) -> None:
    """Even if a later command of the same call changes it."""
    for target in targets:
        show(target, Rule("", ()))
        begin = [["register", G, 1, "a/1", "n", "r", "u"]]
        begin += [["prepare", G, 1, shard, "1", "a/1", ["free"]] for shard in ("s", "t")]
        revoke = [["revoke", G, 1, shard, "a/1", "1", "by", "why"] for shard in ("s", "t")]
        target.call(HEADER, [*begin, revoke[0]])
        renewed, revoked = target.call(HEADER, [["renew", G, 1, "a/1", 1, 0, 0, []], revoke[1]])[5]
        assert (renewed[0], renewed[4:]) == ("REVOKED", [1, [["s", "1"]]])
        assert revoked[4:] == [2]


def test_a_store_with_keys_of_others_is_never_minted(targets: list[Target]) -> None:
    for target in targets:
        if isinstance(target, Remote):
            target.wipe()
            target.client.set("mine", "x")
            reply = target.call([1, "", "", 0], [["mint", "", 0, "store", "nonce"]])
            assert reply[5] == [["EXISTS", 0, "absent", False]]
            assert target.client.keys() == [b"mine"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [b""],
        [b"\xc1"],
        [pack([1, "", "", 0]), b""],
        [pack([1, "", "", 0]), b"\xc1"],
        [pack([1, "", "", 0]), pack(["hello", "", 0])[:-1]],
        [pack([1, "", "", 0]), pack(["hello", "", 0]) + b"\x01"],
        [pack([1, "", "", 0]) + b"\x01", pack(["hello", "", 0])],
    ],
)
def test_what_is_not_messagepack_is_refused_whole(
    arguments: list[bytes], targets: list[Target]
) -> None:
    for target in targets:
        show(target, Rule("", ()))
        before = target.dump()
        reply = target.call_raw(arguments)
        assert (reply[0], reply[5]) == ("BAD_FORMAT", [])
        assert target.dump() == before


def test_an_empty_store_says_only_that_it_is_empty(targets: list[Target]) -> None:
    for target in targets:
        target.wipe()
        for header in ([1, "", "", 0], [1, "0" * 16, "a", 1]):
            assert target.call(header, [["hello", "", 0]])[0] == "EMPTY"
            assert target.call(header, [["observe", G, 1, 0, 9]])[0] == "EMPTY"
        assert target.call([1, "0" * 16, "a", 1], [["mint", "", 0, "s", "n"]])[0] == "EMPTY"
        assert target.dump() == {}


def test_a_change_goes_on_where_it_was_after_a_restart(targets: list[Target]) -> None:
    """Nothing of it is known from earlier calls alone."""
    steps = [
        (["accept", G, 1, 3, "p", b"next"], ["OK"]),
        (["ballot", G, 1, 3, "p"], ["STALE", 3, "p"]),
        (["ballot", G, 1, 4, "p"], ["OK", 3, "p", "next"]),
        (["register", G, 1, "a/1", "n", "r", "u"], ["OK"]),
        (["prepare", G, 1, "s", "1", "a/1", ["free"]], ["OK"]),
        (["seal", G, 1, b"next", 2], ["OK"]),
        (["register", G, 1, "b/1", "n", "r", "u"], ["SEALED"]),
        (["merge", G, 2, "s", "4/p", *NOTHING], ["OK"]),
        (["finish_install", G, 2, "4/p", 2, b"next"], ["GAP", 1]),
        (["finish_install", G, 2, "4/p", 1, b"next"], ["OK"]),
        (["register", G, 2, "a/1", "n", "r", "u"], ["OK"]),
        (["prepare", G, 2, "s", "2", "a/1", ["free"]], ["HELD"]),
        (["prepare", G, 2, "s", "2", "a/1", ["carry", "a/1", "1"]], ["OK"]),
        (["learn", "new", 5, "1/p", b"old"], ["OK"]),
        (["learn_page", "new", 5, "s", "1/p", "kv", []], ["OK"]),
        (["learn_data", "new", 5, "s", "2/p", "1", 1, 7, 1], ["STALE"]),
        (["learn_data", "new", 5, "s", "1/p", "1", 1, 7, 1], ["OK"]),
        (["learned", "new", 5, "1/p", "", 9], ["OK", [["s", 1, 7]], 0]),
    ]
    for target in targets:
        show(target, Rule("", ()))
        for words, answer in steps:
            if isinstance(target, Remote):
                target.start_anew()
            (found,) = target.call(HEADER, [words])[5]
            assert [found[0], *found[4:]][: len(answer)] == answer, (target.name, words)


NOTHING = ["0", "0", "0", "", 0, 0, 0, b"", 1, [], "0", 0, 0, 0]
