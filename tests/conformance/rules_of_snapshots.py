"""What the commands on snapshots promise: pages, digests, stages and their adoption."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from regions.codec import pack
from shards.entry import Entry
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
from tests.conformance.rules_of_logs import FIRST, FIVE, OTHER, tail, values


def stage(part: str, records: Any, attempt: int = 1, e: int = 1, is_: Any = ("OK",)) -> Step:
    return ask("stage", "s", str(e), A, attempt, part, records, is_=list(is_))


def unstage(attempt: int = 1, e: int = 1, is_: Any = ("OK",)) -> Step:
    return ask("unstage", "s", str(e), A, attempt, is_=list(is_))


_KEYS = [["p\0k1", b"1 v"], ["p\0new", b"2 w"]]
_STAGED = [
    stage("kv", _KEYS),
    stage("id", [["2 op", pack([2, "d", b"out"])]]),
    stage("hi", [["1", pack("line")]]),
]


def adopt(
    base: Entry, upto: int, e: int = 1, sid: str = A, attempt: int = 1, is_: Any = ("OK",)
) -> Step:
    at = [str(base.epoch), base.sequence, base.chain]
    return ask("adopt", "s", str(e), sid, attempt, *at, upto, is_=list(is_))


def digest(part: str, after: str, room: int, is_: Any, at: int = 2) -> Step:
    return ask("digest", "s", at, part, after, room, is_=is_)


def summed(*pieces: Any) -> str:
    """The sum over parts (by name) and records (name, record)."""
    found = b""
    for piece in pieces:
        if isinstance(piece, str):
            found += piece.encode()
        else:
            name, record = piece[0].encode(), piece[1]
            found += b"%d %b%d %b" % (len(name), name, len(record), record)
    return sha1(found).hexdigest()


_K, _K2, _OP = ("p\0k", b"1 v1"), ("p\0k2", b"2 v"), ("1 op", pack([1, "d1", b"out"]))

SNAPSHOT_RULES = [
    rule(
        "pages hold what is applied, and go on after a name",
        leading(),
        append([FIRST, *entries(1, FIRST)], cm=2),
        ask("page", "s", "kv", "", 0, is_=["OK", 2, [["p\0k", b"1 v1"]], 1]),
        ask("page", "s", "kv", "p\0k", 99, is_=["OK", 2, [["p\0k2", b"2 v"]], 0]),
        ask("page", "s", "id", "", 99, is_=["OK", 2, [["1 op", pack([1, "d1", b"out"])]], 0]),
        ask("page", "s", "id", "1 op", 99, is_=["OK", 2, [], 0]),
        ask("page", "s", "hi", "", 99, is_=["OK", 2, [], 0]),
        ask("page", "s", "xx", "", 99, is_=["BAD_COMMAND"]),
    ),
    rule(
        "a digest is of what is applied at one position, page by page",
        leading(),
        append([FIRST, *entries(1, FIRST)], cm=2),
        digest("kv", "", 1, is_=["OK", 2, summed("kv", _K), "kv", "p\0k"]),
        digest("kv", "p\0k", 999, is_=["OK", 2, summed("kv", _K2, "id", _OP, "hi"), "", ""]),
        digest("kv", "p\0k", 60, is_=["OK", 2, summed("kv", _K2, "id"), "id", ""]),
        digest("hi", "", 9, is_=["OK", 2, summed("hi"), "", ""]),
        digest("kv", "", 9, at=1, is_=["LAGGING", held(1, A)]),
        digest("kv", "", 9, at=3, is_=["LAGGING", held(1, A)]),
        digest("xx", "", 9, is_=["BAD_COMMAND"]),
        digest("id", "x", 9, is_=["BAD_COMMAND"]),
        digest("kv", "", 0, is_=["BAD_COMMAND"]),
    ),
    rule(
        "a page of small records holds few, since each of them takes time",
        leading(),
        append(FIVE, cm=5),
        ask("page", "s", "kv", "", 2_100, is_=["OK", 5, [["p\0k1", ANY], ["p\0k2", ANY]], 1]),
        ask("page", "s", "kv", "p\0k2", 9_999, is_=["OK", 5, [ANY, ANY, ["p\0k5", ANY]], 0]),
    ),
    rule(
        "what is staged is seen only when it is adopted, and no read before it is complete",
        leading(),
        append(FIVE[:1], cm=1),
        _STAGED,
        values([1, b"v"], False, keys=("k1", "new")),
        adopt(FIVE[2], 4),
        ask("page", "s", "kv", "", 99, is_=["BUSY", held(1, A)]),
        digest("kv", "", 9, at=3, is_=["BUSY", held(1, A)]),
        ask("read", "s", "", 0, [], [], is_=["BUSY", held(1, A)]),
        ask("scan", "s", "", 0, "p", "", "", 9, 9, is_=["BUSY", held(1, A)]),
        append(FIVE[3:4], FIVE[2], cm=4, is_=tail(FIVE[3], 4, 4, 13)),
        values([1, b"v"], [2, b"w"], [4, b"v"], keys=("k1", "new", "k4")),
        ask("history", "s", is_=["OK", [["1", "line"]]]),
        ask("read", "s", "", 0, [], ["op"], is_=["OK", *[ANY] * 6, [], [[2, "d", b"out"]]]),
    ),
    rule(
        "a snapshot that brings nothing new is refused, and dropped",
        leading(),
        append(FIVE[:2], cm=2),
        _STAGED,
        adopt(FIVE[1], 2, is_=["LAGGING", held(1, A)]),
        adopt(FIVE[2], 3, is_=["STALE", held(1, A)]),
        stage("kv", [], 2),
        adopt(FIVE[2], 3, attempt=2),
        values(False, keys=("k1",)),
    ),
    rule(
        "only the holder has a snapshot adopted",
        leading(),
        adopt(FIVE[2], 3, sid=B, is_=["FENCED", held(1, A)]),
        adopt(FIVE[2], 3, e=2, is_=["FENCED", held(1, A)]),
    ),
    rule(
        "entries beyond the base are kept when they follow on it",
        leading(),
        append(FIVE, cm=1),
        stage("kv", []),
        adopt(FIVE[2], 3),
        ask(
            "range",
            "s",
            0,
            9_999,
            is_=["OK", ANY, "1", 5, ANY, 3, "1", 3, FIVE[2].chain, [[4, ANY], [5, ANY]], 3],
        ),
    ),
    rule(
        "the log is emptied when it differs at the base",
        leading(),
        append(FIVE, cm=1),
        stage("kv", []),
        adopt(OTHER[2], 3),
        ask(
            "range",
            "s",
            0,
            9_999,
            is_=["OK", ANY, "1", 3, OTHER[2].chain, 3, "1", 3, OTHER[2].chain, [], 3],
        ),
        append(OTHER[3:4], OTHER[2], is_=tail(OTHER[3], 3, 4)),
    ),
    rule(
        "adopting ends sync, and what this epoch had appended",
        leading(),
        append(FIVE[:1], cm=1, sync=1),
        stage("kv", []),
        adopt(FIVE[2], 3),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 3, 3, 0, ANY]),
        append([], is_=tail(FIVE[2], 3, 0)),
    ),
    rule(
        "an attempt that is given up leaves nothing, and is over",
        leading(),
        _STAGED,
        unstage(),
        unstage(is_=["STALE", held(1, A)]),
        stage("kv", _KEYS, is_=["STALE", held(1, A)]),
        adopt(FIVE[0], 1, is_=["STALE", held(1, A)]),
        stage("kv", [], 2),
        adopt(FIVE[0], 1, attempt=2),
        values(False, keys=("k1",)),
    ),
    rule(
        "a later attempt begins with nothing, and its page is not followed by one of an earlier",
        leading(),
        _STAGED,
        stage("kv", _KEYS[1:], 3),
        stage("kv", _KEYS[:1], 2, is_=["STALE", held(1, A)]),
        adopt(FIVE[2], 3, is_=["STALE", held(1, A)]),
        adopt(FIVE[2], 3, attempt=4, is_=["STALE", held(1, A)]),
        adopt(FIVE[1], 2, attempt=3),
        values(False, [2, b"w"], keys=("k1", "new")),
        stage("kv", _KEYS, 3, is_=["STALE", held(1, A)]),
    ),
    *(
        rule(
            f"what was staged goes with its epoch, at {name}",
            leading(),
            _STAGED,
            step,
            stage("kv", _KEYS, 9, is_=["FENCED", held(2, A)]),
            adopt(FIVE[2], 3, is_=["FENCED", held(2, A)]),
            adopt(FIVE[2], 3, e=2, is_=["STALE", held(2, A)]),
            stage("hi", [], e=2),
            adopt(FIVE[2], 3, e=2),
            values(False, False, keys=("k1", "new")),
        )
        for name, step in {
            "a prepare": ask("prepare", "s", "2", A, ["mine"], is_=["OK", *[ANY] * 10]),
            "an append": append([], e=2, is_=tail(Entry(0, 0, 0, b""), 0, 0)),
        }.items()
    ),
    rule(
        "only the holder stages, and drops what is staged",
        leading(),
        stage("kv", _KEYS, e=2, is_=["FENCED", held(1, A)]),
        ask("stage", "s", "1", B, 1, "kv", _KEYS, is_=["FENCED", held(1, A)]),
        _STAGED,
        unstage(e=2, is_=["FENCED", held(1, A)]),
        ask("unstage", "s", "1", B, 1, is_=["FENCED", held(1, A)]),
        adopt(FIVE[1], 2),
        values([1, b"v"], keys=("k1",)),
    ),
]
