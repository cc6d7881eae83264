"""What a store promises that copies a group to which it does not belong yet."""

from __future__ import annotations

from typing import Any

from regions.codec import pack
from shards.entry import Entry
from tests.conformance.rules import ANY, A, Step, append, ask, grant, leading, rule
from tests.conformance.rules_of_logs import FIVE, OTHER
from tests.conformance.rules_of_membership import (
    BY,
    NEXT,
    OLD,
    OTHER_NEXT,
    REFUSED_WHEN_SEALED,
    ZERO,
    finish,
    merge,
    sealed,
    tail_of,
)

N = "new"


def learner(op: str, *arguments: Any, is_: Any = ("OK",), version: int = 3) -> Step:
    return ask(op, *arguments, is_=list(is_), version=version, g=N)


_LEARNS = learner("learn", BY, OLD)
_PAGE = [["p\0k1", b"1 v"], ["p\0new", b"2 w"]]


def learned(*shards: Any, by: str = BY) -> Step:
    return learner("learned", by, "", 9, is_=["OK", list(shards), 0])


def learn_log(new: list[Entry], after: Entry = ZERO, by: str = BY, is_: Any = ("OK", ANY)) -> Step:
    blobs = [entry.blob for entry in new]
    return learner("learn_log", "s", by, after.sequence, after.chain, blobs, is_=is_)


def learn_page(records: Any, part: str = "kv", by: str = BY, is_: Any = ("OK",)) -> Step:
    return learner("learn_page", "s", by, part, records, is_=is_)


def learn_data(base: Entry, upto: int, by: str = BY, is_: Any = ("OK",)) -> Step:
    at = [str(base.epoch), base.sequence, base.chain]
    return learner("learn_data", "s", by, *at, upto, is_=is_)


LEARNER_RULES = [
    rule(
        "a learner answers that it is no member, whatever else is asked",
        _LEARNS,
        [
            learner(*words, is_=["NOT_MEMBER"])
            for words in (
                *REFUSED_WHEN_SEALED,
                ("range", "s", 0, 9),
                ("dump", "", 9, 0),
                ("seal", NEXT, 2),
                ("page", "s", "kv", "", 9),
                ("history", "s"),
            )
        ],
        learner("install", OLD, is_=["EXISTS"], version=1),
        learned(),
    ),
    rule(
        "a greater attempt takes over; the one before is refused from then on",
        _LEARNS,
        _LEARNS,
        learn_log(FIVE[:2], is_=["OK", 2]),
        learn_page(_PAGE),
        learner("learn", "4/z", OLD, is_=["STALE", BY]),
        learner("learn", "5/o", OLD, is_=["STALE", BY]),
        learner("learn", "5/q", OTHER_NEXT, is_=["EXISTS"]),
        learner("learn", "5/q", OLD),
        learner("learned", BY, "", 9, is_=["STALE"]),
        learn_page([], is_=["STALE"]),
        learn_log(FIVE[2:], FIVE[1], is_=["STALE"]),
        learn_data(FIVE[3], 4, is_=["STALE"]),
        learn_data(FIVE[3], 4, by="5/q", is_=["STALE"]),
        learned(["s", 2, FIVE[1].chain], by="5/q"),
    ),
    rule(
        "a learner of a lower version goes on as one of the next, with its data",
        _LEARNS,
        learn_log(FIVE[:2], is_=["OK", 2]),
        learner("learn", "1/p", NEXT, version=4),
        learner("learn", BY, OLD, is_=["EXISTS"]),
        learner("learned", BY, "", 9, is_=["OLD_VERSION"]),
        learner("learned", "1/p", "", 9, is_=["OK", [["s", 2, FIVE[1].chain]], 0], version=4),
    ),
    rule(
        "a store that is sealed is copied to by the attempt that knows for what, and stays sealed",
        leading(),
        append(FIVE[:3], cm=1),
        ask("learned", BY, "", 9, is_=["EXISTS"]),
        sealed(),
        ask("learned", BY, "", 9, is_=["STALE"]),
        ask("learn", BY, OTHER_NEXT, is_=["EXISTS"]),
        ask("learn", BY, NEXT, is_=["OK"]),
        ask("learn", "4/z", NEXT, is_=["STALE", BY]),
        ask("learned", BY, "", 9, is_=["OK", [["s", 1, FIVE[0].chain]], 0]),
        ask("page", "s", "kv", "", 9, is_=["OK", 1, ANY, ANY]),
        ask("learn_page", "s", BY, "kv", _PAGE, is_=["OK"]),
        ask("learn_data", "s", BY, "1", 2, FIVE[1].chain, 2, is_=["OK"]),
        ask(
            "range",
            "s",
            1,
            9_999,
            is_=["OK", ANY, *tail_of(FIVE[2]), 2, ANY, 2, ANY, [[3, ANY]], ANY],
        ),
        ask("prepare", "s", "2", A, ["mine"], is_=["SEALED"]),
        sealed(),
        ask("dump", "", 9_999, 1, is_=["OK", [["s", ANY]], 0]),
    ),
    rule(
        "a store of a version that is long over learns a later one, and keeps its promises",
        leading(),
        ask("learn", BY, OLD, version=3, is_=["OK"]),
        ask("prepare", "s", "2", A, ["mine"], is_=["NOT_MEMBER"]),
        ask("learned", BY, "", 9, version=3, is_=["OK", [["s", 0, 0]], 0]),
        merge(FIVE[:2], cm=2, version=4, pe=1),
        ask("finish_install", BY, 1, NEXT, version=4, is_=["OK"]),
        ask("range", "s", 9, 0, version=4, is_=["OK", grant(1, 0, 1, A, "inherited"), ANY]),
    ),
    rule(
        "a member is no learner",
        ask("learn", BY, OLD, is_=["EXISTS"]),
        ask("learned", BY, "", 9, is_=["EXISTS"]),
        ask("learn_log", "s", BY, 0, 0, [], is_=["EXISTS"]),
        ask("learn_page", "s", BY, "kv", [], is_=["EXISTS"]),
        ask("learn_data", "s", BY, "1", 1, 0, 1, is_=["EXISTS"]),
        ask("learned", BY, "", 9, g="other", is_=["NOT_MEMBER"]),
        ask("learn", "p", OLD, g=N, is_=["BAD_COMMAND"]),
        ask("learn", BY, OLD, g=N, version=0, is_=["BAD_COMMAND"]),
    ),
    rule(
        "entries that are learned are committed, in order, and nothing is replaced",
        _LEARNS,
        learn_log(FIVE[2:3], FIVE[1], is_=["GAP", 0]),
        learn_log(FIVE[:2], is_=["OK", 2]),
        learn_log(FIVE[1:3], FIVE[0], is_=["OK", 3]),
        learn_log(OTHER[2:4], OTHER[1], is_=["CONFLICT"]),
        learn_log([], is_=["OK", 3]),
        learn_log(FIVE[4:], FIVE[3], is_=["GAP", 3]),
        learned(["s", 3, FIVE[2].chain]),
    ),
    rule(
        "pages are staged, and become the data at once",
        _LEARNS,
        learn_log(FIVE[:1], is_=["OK", 1]),
        learn_data(FIVE[2], 4, is_=["STALE"]),
        learn_page(_PAGE),
        learn_page([["2 op", pack([2, "d", b"out"])]], "id"),
        learn_page([["1", pack("line")]], "hi"),
        learn_page([["x", b"1 v"]], is_=["BAD_COMMAND"]),
        learn_page([], "xx", is_=["BAD_COMMAND"]),
        learned(["s", 1, FIVE[0].chain]),
        learn_data(FIVE[2], 4),
        learned(["s", 3, FIVE[2].chain]),
        learn_data(FIVE[2], 4, is_=["LAGGING"]),
        learn_log(FIVE[3:4], FIVE[2], is_=["OK", 4]),
        finish(0, version=4, g=N),
        ask(
            "read",
            "s",
            "",
            0,
            ["k1", "new", "k4"],
            ["op"],
            version=4,
            g=N,
            is_=["OK", ANY, 4, 4, 0, 0, ANY, [[1, b"v"], [2, b"w"], [4, b"v"]], [[2, "d", b"out"]]],
        ),
    ),
    rule(
        "a copy that begins again drops what it has staged",
        _LEARNS,
        learn_page(_PAGE),
        learn_page([], ""),
        learn_page([], ""),
        learn_data(FIVE[2], 3, is_=["STALE"]),
        learn_page(_PAGE[1:]),
        learn_data(FIVE[2], 3),
        finish(0, version=4, g=N),
        ask(
            "read",
            "s",
            "",
            0,
            ["k1", "new"],
            [],
            version=4,
            g=N,
            is_=["OK", ANY, 3, 3, 0, 0, ANY, [False, [2, b"w"]], []],
        ),
    ),
    rule(
        "a learner is listed shard by shard",
        _LEARNS,
        [learner("learn_log", s, BY, 0, 0, [FIVE[0].blob], is_=["OK", 1]) for s in "cab"],
        learner("learned", BY, "", 2, is_=["OK", [["a", 1, ANY], ["b", ANY]], 1]),
        learner("learned", BY, "b", 2, is_=["OK", [["c", 1, ANY]], 0]),
        learner("learned", BY, "", 0, is_=["BAD_COMMAND"]),
    ),
    rule(
        "a learner that was merged into becomes a member, with promises and grants",
        _LEARNS,
        learn_log(FIVE[:2], is_=["OK", 2]),
        ask(
            "merge",
            "s",
            BY,
            "4",
            "5",
            "4",
            A,
            0,
            3,
            1,
            b"x",
            3,
            [e.blob for e in FIVE[2:]],
            *tail_of(FIVE[4]),
            3,
            version=4,
            g=N,
            is_=["OK"],
        ),
        finish(2, version=4, g=N, is_=["GAP", 1]),
        finish(1, version=4, g=N),
        ask(
            "range",
            "s",
            9,
            0,
            version=4,
            g=N,
            is_=["OK", grant(4, 5, 4, A, "inherited"), *tail_of(FIVE[4]), 3, ANY],
        ),
        ask("learn", BY, OLD, version=4, g=N, is_=["EXISTS"]),
        ask("learned", BY, "", 9, version=3, g=N, is_=["OLD_VERSION"]),
    ),
    rule(
        "what was merged by one attempt is not counted after another took over the copy",
        _LEARNS,
        ask("merge_tail", "s", BY, [[1, FIVE[0].blob]], version=4, g=N, is_=["OK"]),
        ask(
            "merge",
            "s",
            BY,
            "0",
            "0",
            "0",
            "",
            0,
            0,
            0,
            b"",
            1,
            False,
            *tail_of(FIVE[0]),
            1,
            version=4,
            g=N,
            is_=["OK"],
        ),
        learner("learn", "6/p", OLD),
        finish(1, version=4, g=N, is_=["GAP", 0]),
    ),
]
