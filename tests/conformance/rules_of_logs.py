"""The rules of logs and data: append, commit, apply, sync, reads, trim."""

from __future__ import annotations

from typing import Any

from shards.admission import forgetting
from shards.entry import Entry, write_entry
from shards.reserved import FLOOR_KEY
from tests.conformance.rules import (
    ANY,
    A,
    B,
    Step,
    append,
    ask,
    entries,
    held,
    leading,
    rule,
)

FIVE = entries(5)
OTHER = entries(5, effects=[["p", "p", "other", b"x", 1]])


def tail(last: Entry, cm: int, as_: int, size: int = 0) -> list[Any]:
    """What an append answers, when everything committed is applied."""
    return ["OK", str(last.epoch), last.sequence, last.chain, cm, cm, as_, size]


def values(*found: Any, keys: tuple[str, ...], ids: Any = ()) -> Step:
    """A follower's read of keys."""
    return ask(
        "read", "s", "", 0, list(keys), [], is_=["OK", ANY, ANY, ANY, ANY, ANY, ANY, found, ids]
    )


def ranged(cm: int, told: int) -> Step:
    """A look behind the end of the log."""
    return ask("range", "s", 99, 100, is_=["OK", *[ANY] * 4, cm, *[ANY] * 3, [], told])


_REMEMBERED = entries(1, op_id="o")
_FORGOTTEN = entries(1, _REMEMBERED[-1], effects=forgetting(1))

APPEND_RULES = [
    rule(
        "entries join at the end, and are committed as far as this call brought them",
        leading(),
        append(FIVE[:2], cm=9, is_=tail(FIVE[1], 2, 2, 8)),
        append(FIVE[2:4], FIVE[1], cm=3, is_=tail(FIVE[3], 3, 4, 12)),
        append([], FIVE[2], cm=9, is_=tail(FIVE[3], 3, 4, 12)),
        append([], FIVE[3], cm=2, is_=tail(FIVE[3], 3, 4, 12)),
    ),
    rule(
        "what a leader writes to have ids forgotten is an entry like any other",
        leading(),
        append(_REMEMBERED, cm=1),
        append(_FORGOTTEN, _REMEMBERED[-1], cm=2),
        values([1, b"1"], keys=(FLOOR_KEY,)),
        ask("read", "s", "", 0, [], ["o"], is_=["OK", *[ANY] * 7, [False]]),
    ),
    rule(
        "the commit index never follows the tail",
        leading(),
        append(FIVE[:4], cm=0),
        append([], e=2, sid=B, cm=4, is_=tail(FIVE[3], 0, 0)),
        append([], FIVE[1], e=2, sid=B, cm=4, is_=tail(FIVE[3], 2, 2, 8)),
    ),
    rule(
        "a store says up to where its leader told it that entries are decided",
        leading(),
        append(FIVE[:2], cm=4),
        ranged(2, 4),
        append(FIVE[2:3], FIVE[1], cm=3),
        ranged(3, 4),
        append(FIVE[3:4], FIVE[2], cm=4),
        ranged(4, 4),
        append([], FIVE[3], cm=9),
        ranged(4, 9),
        append([], e=2, sid=B, cm=4),
        ranged(4, 4),
        append([], e=2, sid=B, cm=5),
        ranged(4, 5),
    ),
    rule(
        "a gap is answered with where the log ends",
        leading(),
        append(FIVE[:2], cm=1),
        append(FIVE[3:], FIVE[2], is_=["GAP", held(1, A), "1", 2, FIVE[1].chain, 1, 0]),
    ),
    rule(
        "entries join on an uncommitted entry of the same epoch and chain only",
        leading(),
        append(FIVE[:3], cm=1),
        append([], Entry(3, 1, 7, b""), is_=["GAP", ANY]),
        append([], Entry(3, 2, FIVE[2].chain, b""), is_=["GAP", ANY]),
        append([], Entry(2, 1, 7, b""), is_=["GAP", ANY]),
        append([], Entry(1, 9, 7, b"")),
        append([], FIVE[2]),
        append([], FIVE[1]),
    ),
    rule(
        "what is there already is not stored twice",
        leading(),
        append(FIVE[:3], cm=2, is_=tail(FIVE[2], 2, 3, 8)),
        append(FIVE[:2], cm=0, is_=tail(FIVE[2], 2, 3, 8)),
        append(FIVE[1:4], FIVE[0], cm=0, is_=tail(FIVE[3], 2, 4, 8)),
    ),
    rule(
        "a greater epoch replaces a suffix that differs",
        leading(),
        append(FIVE, cm=2),
        append(OTHER[2:3], FIVE[1], e=2, sid=B, is_=tail(OTHER[2], 2, 3, 8)),
        ask(
            "range",
            "s",
            1,
            9_999,
            is_=["OK", *[ANY] * 8, [[1, ANY], [2, ANY], [3, OTHER[2].blob]], ANY],
        ),
    ),
    rule(
        "a suffix that agrees is kept",
        leading(),
        append(FIVE, cm=2),
        append(FIVE[2:3], FIVE[1], e=2, sid=B, is_=tail(FIVE[4], 2, 3, 8)),
    ),
    rule(
        "what is committed is never replaced",
        leading(),
        append(FIVE[:2], cm=2),
        append(OTHER[1:2], FIVE[0], e=2, sid=B, is_=["CONFLICT", held(2, B)]),
        append([], e=2, sid=B, is_=tail(FIVE[1], 2, 0, 8)),
    ),
    rule(
        "what the same epoch appended is never replaced",
        leading(),
        append(FIVE[:3], cm=1),
        append(OTHER[1:2], FIVE[0], is_=["CONFLICT", held(1, A)]),
        append(OTHER[2:4], FIVE[1], is_=["CONFLICT", held(1, A)]),
        append([], is_=tail(FIVE[2], 1, 3, 4)),
    ),
    rule(
        "an epoch that has appended less may replace what is beyond",
        leading(),
        append(FIVE, cm=1),
        append(FIVE[1:2], FIVE[0], e=2, sid=B, is_=tail(FIVE[4], 1, 2, 4)),
        append(OTHER[2:3], FIVE[1], e=2, sid=B, is_=tail(OTHER[2], 1, 3, 4)),
    ),
    rule(
        "one bad entry refuses the whole append, before it adopts",
        leading(),
        ask(
            *("append", "s", "2", B, 0, "0", 0, [FIVE[0].blob, b"\xc1"], 0, 0),
            is_=["BAD_COMMAND"],
        ),
        append([], is_=tail(Entry(0, 0, 0, b""), 0, 0)),
    ),
]

SYNC_RULES = [
    rule(
        "sync is set by an append that brings everything",
        leading(),
        append(FIVE[:2], cm=2, sync=1),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 2, 2, 1, ANY]),
        append(FIVE[2:3], FIVE[1], cm=2),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 2, 2, 1, ANY]),
    ),
    *(
        rule(
            f"sync is not set {why}",
            leading(),
            *steps,
            ask("read", "s", "", 0, [], [], is_=["OK", ANY, ANY, ANY, 0, ANY]),
        )
        for why, *steps in (
            ("unless asked", append(FIVE[:2], cm=2)),
            ("when the commit index is not reached", append(FIVE[:2], cm=3, sync=1)),
            (
                "when more is committed already",
                append(FIVE[:2], cm=2),
                append([], FIVE[1], cm=1, sync=1),
            ),
            ("when the log is longer", append(FIVE[:2], cm=1), append([], FIVE[0], cm=1, sync=1)),
            (
                "when this epoch has appended less than the log holds",
                append(FIVE[:2], cm=1),
                append([], FIVE[0], e=2, sid=B, cm=1, sync=1),
            ),
            (
                "by a revoked holder, as far as freshness goes",
                ask("revoke", "s", A, "1", "op", "why"),
                append(FIVE[:1], cm=1, sync=1),
            ),
            (
                "to the end of a session, as far as freshness goes",
                append(FIVE[:1], cm=1, sync=1),
                ask("bury", A, 0, is_=["OK"]),
            ),
        )
    ),
]

FIRST = write_entry(0, 0, 1, [["p", "p", "k", b"v1", 1]], "op", "d1", b"out")
_AGAIN = write_entry(1, FIRST.chain, 1, [["p", "p", "k", b"v2", 2]], "op", "d2", b"later")
_FORGET = write_entry(2, _AGAIN.chain, 1, [["x", 1]])
_ANEW = write_entry(3, _FORGET.chain, 1, [["d", "p", "k"]], "op", "d3", b"third")

APPLY_RULES = [
    rule(
        "effects are done when they are committed, not before",
        leading(),
        append(FIVE[:2], cm=1),
        values([1, b"v"], False, keys=("k1", "k2")),
        append([], FIVE[1], cm=2),
        values([1, b"v"], [2, b"v"], keys=("k1", "k2")),
    ),
    rule(
        "an op id that is remembered is not done again, whatever follows it",
        leading(),
        append([FIRST, _AGAIN], cm=2),
        ask(
            "read",
            "s",
            "",
            0,
            ["k"],
            ["op", "x"],
            is_=["OK", ANY, 2, 2, ANY, ANY, 4, [[1, b"v1"]], [[1, "d1", b"out"], False]],
        ),
        append([_FORGET, _ANEW], _AGAIN, cm=4),
        ask(
            "read",
            "s",
            "",
            0,
            ["k"],
            ["op"],
            is_=["OK", ANY, 4, 4, ANY, ANY, 0, [False], [[4, "d3", b"third"]]],
        ),
    ),
    rule(
        "bytes follow partition, key and value",
        leading(),
        append(
            entries(1, effects=[["p", "pp", "key", b"\xff\x00v", 1]]),
            cm=1,
            is_=["OK", *[ANY] * 6, 8],
        ),
    ),
    rule(
        "history keeps its last 64 epochs",
        leading(),
        append(entries(1, effects=[["h", str(e), f"r{e}"] for e in range(1, 71)]), cm=1),
        ask("history", "s", is_=["OK", [[str(e), f"r{e}"] for e in range(7, 71)]]),
    ),
]

READ_RULES = [
    rule(
        "a leader reads in its own epoch, when its entries are here",
        leading(),
        append(FIVE[:2], cm=1),
        ask(
            "read", "s", "1", 2, ["k2"], [], is_=["OK", held(1, A), 2, 2, 0, 0, 8, [[2, b"v"]], []]
        ),
        ask("read", "s", "1", 3, [], [], is_=["LAGGING", held(1, A)]),
        ask("read", "s", "2", 0, [], [], is_=["FENCED", held(1, A)]),
        append([], e=2, sid=B),
        ask("read", "s", "1", 0, [], [], is_=["FENCED", held(2, B)]),
        ask("read", "s", "2", 0, [], [], is_=["FENCED", held(2, B)]),
        ask("scan", "s", "2", 0, "p", "", "", 9, 9_999, is_=["FENCED", held(2, B)]),
        append(entries(1, FIVE[1], 2), FIVE[1], 2, B),
        ask("read", "s", "2", 3, ["k3"], [], is_=["OK", ANY, 3, 3, 0, 0, ANY, [[3, b"v"]], []]),
    ),
    rule(
        "a scan is in byte order, within prefix, limit and room",
        leading(),
        append(
            entries(1, effects=[["p", "p", k, b"v", 1] for k in ("b", "a", "ab", "\xe9", "ac")]),
            cm=1,
        ),
        ask(
            "scan",
            "s",
            "",
            0,
            "p",
            "",
            "",
            9,
            9_999,
            is_=[
                "OK",
                *[ANY] * 5,
                [["a", 1, b"v"], ["ab", ANY], ["ac", ANY], ["b", ANY], ["\xe9", ANY]],
                0,
            ],
        ),
        ask(
            "scan",
            "s",
            "",
            0,
            "p",
            "a",
            "",
            2,
            9_999,
            is_=["OK", *[ANY] * 5, [["a", ANY], ["ab", ANY]], 1],
        ),
        ask("scan", "s", "", 0, "p", "a", "ab", 2, 9_999, is_=["OK", *[ANY] * 5, [["ac", ANY]], 0]),
        ask("scan", "s", "", 0, "p", "", "", 9, 0, is_=["OK", *[ANY] * 5, [["a", ANY]], 1]),
        ask(
            "scan",
            "s",
            "",
            0,
            "p",
            "",
            "",
            9,
            5,
            is_=["OK", *[ANY] * 5, [["a", ANY], ["ab", ANY]], 1],
        ),
        ask("scan", "s", "", 0, "q", "", "", 9, 5, is_=["OK", *[ANY] * 5, [], 0]),
    ),
]

TRIM_RULES = [
    rule(
        "only what is committed is trimmed, and only by the holder",
        leading(),
        append(FIVE, cm=3),
        ask("trim", "s", "1", B, 2, is_=["FENCED", held(1, A)]),
        ask("trim", "s", "2", A, 2, is_=["FENCED", ANY]),
        ask("trim", "s", "1", A, 9, is_=["OK", 3]),
        ask("trim", "s", "1", A, 2, is_=["OK", 3]),
        ask(
            "range",
            "s",
            1,
            0,
            is_=[
                "OK",
                ANY,
                "1",
                5,
                FIVE[4].chain,
                3,
                "1",
                3,
                FIVE[2].chain,
                [[4, FIVE[3].blob]],
                3,
            ],
        ),
        append(FIVE[:4], is_=tail(FIVE[4], 3, 5, 12)),
        append([], Entry(2, 9, 9, b"")),
    ),
    rule(
        "a range begins where the log does, with one entry at least",
        leading(),
        append(FIVE),
        ask("range", "s", 2, 1, is_=["OK", *[ANY] * 8, [[2, FIVE[1].blob]], ANY]),
        ask("range", "s", 4, 9_999, is_=["OK", *[ANY] * 8, [[4, ANY], [5, ANY]], ANY]),
        ask("range", "s", 6, 9_999, is_=["OK", *[ANY] * 8, [], ANY]),
    ),
]
