"""What a group promises on its way from one version to the next: the switch, leases across it."""

from __future__ import annotations

from typing import Any

from tests.conformance.rules import (
    A2,
    ANY,
    A,
    B,
    Step,
    append,
    ask,
    held,
    leading,
    prepared,
    registered,
    rule,
)
from tests.conformance.rules_of_logs import FIVE
from tests.conformance.rules_of_membership import (
    NEXT,
    OLD,
    OTHER_NEXT,
    again,
    finish,
    in_2,
    merge,
    sealed,
    switched,
)

SWITCH_RULES = [
    rule(
        "a store is switched on when it was merged into, shard by shard, by that attempt",
        leading(),
        prepared(1, A, s="t"),
        sealed(),
        merge([]),
        finish(2, is_=["GAP", 1]),
        merge([], s="t", by="6/p"),
        finish(2, is_=["GAP", 1]),
        finish(2, by="6/p", is_=["GAP", 1]),
        merge([], s="t"),
        merge([], s="t"),
        finish(2),
        finish(2),
        in_2("observe", 0, 9, is_=["OK", [], [], [["s", ANY], ["t", ANY]], ANY]),
    ),
    rule(
        "a switch is to what was decided",
        sealed(),
        finish(0, description=OTHER_NEXT, is_=["CONFLICT"]),
        finish(0),
        finish(0, description=OTHER_NEXT, is_=["CONFLICT"]),
        finish(0),
        finish(0, version=1, is_=["OLD_VERSION"]),
        finish(0, version=3, is_=["UNDECIDED"]),
        finish(0, version=4, is_=["NEW_VERSION"]),
    ),
    rule(
        "what is installed late leaves a later version alone",
        switched(),
        in_2("seal", b"third", 3, is_=["OK"]),
        finish(0, is_=["OLD_VERSION"]),
        finish(0, description=b"third", version=3),
        finish(0, is_=["OLD_VERSION"]),
        finish(0, description=b"third", version=3),
    ),
    rule(
        "the next version is the one that the seal named",
        leading(),
        sealed(to=9),
        merge([], is_=["OLD_VERSION"]),
        merge([], version=10, is_=["NEW_VERSION"]),
        merge([], version=9, ver=9),
        merge([], version=9, ver=10, is_=["BAD_COMMAND"]),
        finish(1, is_=["OLD_VERSION"]),
        finish(1, version=9),
        ask("observe", 0, 9, version=9, is_=["OK", [], [], [["s", ANY]], ANY]),
        ask("register", A, "n", "eu", "u", version=9, is_="OK"),
        ask("seal", b"the one after", 10, version=9, is_=["OK"]),
        finish(0, description=b"the one after", version=10),
    ),
    rule(
        "a version is installed at once by bootstrap alone, and that is the first",
        ask("install", NEXT, version=2, g="new", is_=["BAD_COMMAND"]),
        ask("install", NEXT, version=2, is_=["BAD_COMMAND"]),
        switched(),
        ask("install", OLD, is_=["EXISTS"]),
    ),
    rule(
        "nobody votes in a version that was not installed",
        leading(),
        ask("prepare", "s", "2", A, ["mine"], version=2, is_=["NEW_VERSION"]),
        sealed(),
        ask("prepare", "s", "2", A, ["mine"], version=2, is_=["SEALED"]),
        ask("observe", 0, 9, version=2, is_=["SEALED"]),
    ),
    rule(
        "sessions are of one version",
        switched(leading(), ask("bury", B, 0, is_=["OK"])),
        in_2("renew", A, 1, 0, 0, [], is_=["UNKNOWN"]),
        in_2("observe", 0, 9, is_=["OK", [], [], [["s", ANY]], ANY]),
        again(A, B),
        in_2("renew", B, 1, 0, 0, [], is_=["OK", 0]),
        ask("renew", A, 1, 0, 0, [], is_=["OLD_VERSION"]),
    ),
]

INHERITED = held(1, A, st="inherited")
_CARRIED = switched(leading()) + again(A, A2, B)


def stands(e: int, sid: str, condition: list[Any], *is_: Any) -> Step:
    answer = list(is_) or ["OK", *[ANY] * 10]
    return in_2("prepare", "s", str(e), sid, condition, is_=answer)


LEASE_RULES = [
    rule(
        "an inherited grant licenses nothing: it is not free, mine, handed over, dead or revoked",
        _CARRIED,
        stands(2, B, ["free"], "HELD", INHERITED),
        stands(2, A, ["mine"], "HELD", INHERITED),
        stands(2, B, ["dead", A, "1", 0], "HELD", INHERITED),
        stands(2, B, ["revoked", A, "1"], "HELD", INHERITED),
        in_2("append", "s", "1", A, 0, "0", 0, [], 0, 0, is_=["FENCED", INHERITED]),
        in_2("release", "s", "1", A, is_=["OK", 0]),
        in_2("handover", "s", "1", A, B, is_=["HELD", ANY]),
        in_2("revoke", "s", A, "1", "op", "why", is_=["HELD", ANY]),
        in_2("trim", "s", "1", A, 1, is_=["FENCED", ANY]),
        in_2("stage", "s", "1", A, 1, "kv", [], is_=["FENCED", ANY]),
        in_2(
            "observe", 0, 9, is_=["OK", ANY, [], [["s", "1", "1", "1", A, "inherited", ANY]], ANY]
        ),
    ),
    rule(
        "what was handed over, or given up, in an earlier version is inherited as well",
        leading(),
        registered(A2),
        prepared(1, A, s="t"),
        ask("release", "t", "1", A, is_=["OK", 1]),
        ask("handover", "s", "1", A, B, is_=["OK"]),
        sealed(),
        finish(0),
        again(A, B),
        stands(2, B, ["handover"], "HELD", held(1, A, st="inherited", tgt=B)),
        in_2("prepare", "t", "2", B, ["free"], is_=["HELD", ANY]),
        in_2("prepare", "t", "2", B, ["waited"], is_=["OK", *[ANY] * 10]),
    ),
    rule(
        "who held it carries it over, from another session of the process",
        _CARRIED,
        stands(2, B, ["carry", A, "1"], "HELD", INHERITED),
        stands(2, A, ["carry", B, "1"], "HELD", INHERITED),
        stands(2, A, ["carry", A, "2"], "HELD", INHERITED),
        stands(1, A, ["carry", A, "1"], "FENCED", INHERITED),
        stands(2, A2, ["carry", A, "1"]),
        in_2("range", "s", 0, 0, is_=["OK", held(2, A2), ANY]),
        stands(3, A2, ["carry", A2, "2"], "HELD", held(2, A2)),
        stands(3, B, ["waited"], "HELD", held(2, A2)),
    ),
    rule(
        "what was revoked is not carried",
        switched(leading(), ask("revoke", "s", A, "1", "op", "why")),
        again(A, B),
        stands(2, A, ["carry", A, "1"], "HELD", ANY),
        stands(2, B, ["waited"]),
    ),
    rule(
        "a carry that comes late finds another holder, or a greater promise",
        _CARRIED,
        stands(2, B, ["waited"]),
        stands(2, A, ["carry", A, "1"], "FENCED", held(2, B)),
        stands(3, A, ["carry", A, "1"], "HELD", held(2, B)),
    ),
    rule(
        "nothing is carried, and nobody has waited, within one version",
        leading(),
        ask("prepare", "s", "2", A, ["carry", A, "1"], is_=["HELD", held(1, A)]),
        ask("prepare", "s", "2", B, ["waited"], is_=["HELD", held(1, A)]),
        ask("prepare", "t", "2", B, ["waited"], is_=["HELD", ANY]),
        ask("prepare", "s", "2", A, ["carry", A], is_=["BAD_COMMAND"]),
        ask("prepare", "s", "2", A, ["waited", 1], is_=["BAD_COMMAND"]),
    ),
    rule(
        "a shard that nobody ever held is free in every version",
        switched(ask("release", "s", "4", A, is_=["OK", 0])),
        again(A),
        stands(5, A, ["free"]),
    ),
    rule(
        "an append of a higher epoch takes an inherited grant over",
        _CARRIED,
        in_2("append", "s", "2", B, 0, "0", 0, [], 0, 0, is_=["OK", ANY]),
        in_2("range", "s", 0, 0, is_=["OK", held(2, B), ANY]),
    ),
    rule(
        "nothing that was fresh in an earlier version is fresh in the next",
        switched(leading(), append(FIVE, cm=5, sync=1)),
        again(A),
        in_2("read", "s", "", 0, [], [], is_=["OK", INHERITED, 5, 5, 0, 0, ANY]),
    ),
]
