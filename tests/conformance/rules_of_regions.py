"""The rules of calls, identity, groups and sessions, each shown by steps."""

from __future__ import annotations

from regions.codec import FORMAT
from tests.conformance.rules import (
    A2,
    ANY,
    HEADER,
    A,
    B,
    G,
    Step,
    append,
    ask,
    entries,
    grant,
    held,
    leading,
    prepared,
    registered,
    rule,
)
from tests.conformance.targets import RIGHT

HELLO = ["hello", "", 0]
OBSERVE = ["observe", G, 1, 0, 9]
REGISTER_A = ["register", G, 1, A, "n", "eu", "u"]


def said(words: list, header: list, code: str, answer: list | None = None) -> Step:
    return Step(words, answer, header, code)


def reading(words: list, *answer: object) -> Step:
    return Step(words, list(answer), only_reads=True)


CALL_RULES = [
    rule("a format that is not known is refused", said(OBSERVE, [2, RIGHT, "", 0], "BAD_FORMAT")),
    rule(
        "the header's incarnation is the store's",
        said(OBSERVE, [FORMAT, "0" * 16, "", 0], "WRONG_INCARNATION"),
        said(OBSERVE, [FORMAT, "", "", 0], "WRONG_INCARNATION"),
        said(OBSERVE, HEADER, "OK"),
    ),
    rule(
        "a call of an older generation of a process is refused, whatever it asks",
        said(OBSERVE, [FORMAT, RIGHT, "a", 5], "OK"),
        said(OBSERVE, [FORMAT, RIGHT, "a", 4], "OLD_GENERATION"),
        said(OBSERVE, [FORMAT, RIGHT, "a", 5], "OK"),
        said(OBSERVE, [FORMAT, RIGHT, "b", 1], "OK"),
        said(OBSERVE, [FORMAT, RIGHT, "a", 6], "OK"),
        said(OBSERVE, [FORMAT, RIGHT, "a", 5], "OLD_GENERATION"),
    ),
    rule(
        "anybody may ask who the store is",
        said(HELLO, [FORMAT, "", "", 0], "OK", ["OK", 1, "store", [[G, 1, "open"]]]),
        said(HELLO, [FORMAT, "", "a", 9], "OK"),
        said(OBSERVE, [FORMAT, RIGHT, "a", 1], "OK"),
    ),
    rule(
        "a store has one identity; the same mint again is answered with it",
        said(["mint", "", 0, "store", "nonce"], [FORMAT, "", "", 0], "OK", ["OK", "store", RIGHT]),
        said(["mint", "", 0, "store", "other"], [FORMAT, "", "", 0], "OK", ["EXISTS"]),
    ),
    rule(
        "a group is installed once; the same again is OK",
        ask("install", b"description", is_=["OK"]),
        ask("install", b"another", is_=["EXISTS"]),
        ask("install", b"description", version=2, is_=["BAD_COMMAND"]),
        ask("install", b"d", g="global", is_=["OK"]),
        said(HELLO, HEADER, "OK", ["OK", 1, "store", [["global", 1, "open"], [G, 1, "open"]]]),
    ),
    rule("a store speaks for its groups only", ask("observe", 0, 9, g="g", is_=["NOT_MEMBER"])),
    rule(
        "a command of another version is refused",
        ask("observe", 0, 9, version=0, is_=["OLD_VERSION"]),
        ask("observe", 0, 9, version=2, is_=["NEW_VERSION"]),
        ask("register", A, "n", "eu", "u", version=2, is_=["NEW_VERSION"]),
        ask("renew", A, 1, 0, 0, [], is_=["UNKNOWN"]),
    ),
    rule(
        "what only reads cannot write, and remembers no generation",
        reading(REGISTER_A, "BAD_COMMAND"),
        reading(["read", G, 1, "s", "1", 0, [], []], "BAD_COMMAND"),
        reading(["read", G, 1, "s", "", 0, [], []], "OK", ANY),
        Step(OBSERVE, ["OK", ANY], [FORMAT, RIGHT, "a", 5], only_reads=True),
        said(OBSERVE, [FORMAT, RIGHT, "a", 4], "OK"),
        Step(OBSERVE, None, [FORMAT, RIGHT, "a", 3], "OLD_GENERATION", only_reads=True),
    ),
    rule(
        "arguments have a form",
        ask("register", "", "n", "eu", "u", is_=["BAD_COMMAND"]),
        ask("register", A, "n", "eu", is_=["BAD_COMMAND"]),
        ask("register", A, "n", "eu", "u", 1, is_=["BAD_COMMAND"]),
        ask("renew", A, -1, 0, 0, [], is_=["BAD_COMMAND"]),
        ask("renew", A, 2**53, 0, 0, [], is_=["BAD_COMMAND"]),
        ask("renew", A, 1.5, 0, 0, [], is_=["BAD_COMMAND"]),
        ask("prepare", "s", "0", A, ["free"], is_=["BAD_COMMAND"]),
        ask("prepare", "s", "01", A, ["free"], is_=["BAD_COMMAND"]),
        ask("prepare", "s", 1, A, ["free"], is_=["BAD_COMMAND"]),
        ask("prepare", "s", str(2**53), A, ["free"], is_=["BAD_COMMAND"]),
        ask("prepare", "s", str(2**53 - 1), A, ["free"], is_=["UNKNOWN", ANY]),
        ask("nothing", is_=["BAD_COMMAND"]),
        ask("observe", 0, 9, g="a:b", is_=["BAD_COMMAND"]),
    ),
]

SESSION_RULES = [
    rule(
        "a session is registered once, and never after its death",
        registered(A),
        ask("register", A, "n", "eu", "u", is_=["EXISTS"]),
        ask("bury", A, 0, is_=["OK"]),
        ask("register", A, "n", "eu", "u", is_=["EXISTS"]),
    ),
    rule(
        "a renewal needs a living session and a greater counter",
        ask("renew", A, 1, 0, 0, [], is_=["UNKNOWN"]),
        registered(A),
        ask("renew", A, 0, 0, 0, [], is_=["STALE"]),
        ask("renew", A, 3, 0, 0, [], is_=["OK", 0]),
        ask("renew", A, 3, 0, 0, [], is_=["STALE"]),
        ask("renew", A, 2, 0, 0, [], is_=["STALE"]),
        ask("bury", A, 3, is_=["OK"]),
        ask("renew", A, 4, 0, 0, [], is_=["DEAD"]),
    ),
    rule(
        "seen never goes back",
        registered(A),
        ask("renew", A, 1, 0, 7, [], is_=["OK", 0]),
        ask("renew", A, 2, 0, 5, [], is_=["OK", 0]),
        ask("observe", 0, 9, is_=["OK", [[A, 2, 0, "node", "eu", "http://n", 7]], ANY]),
    ),
    rule(
        "a session is buried only at the counter that was watched",
        ask("bury", A, 0, is_=["UNKNOWN"]),
        registered(A),
        ask("renew", A, 1, 0, 0, [], is_=["OK", 0]),
        ask("bury", A, 0, is_=["STALE"]),
        ask("bury", A, 1, is_=["OK"]),
        ask("bury", A, 1, is_=["DEAD"]),
    ),
    rule(
        "a renewal that does not know a revocation is refused with the list",
        leading(),
        ask("revoke", "s", A, "1", "op", "why", is_=["OK", 1]),
        ask("renew", A, 1, 0, 0, [], is_=["REVOKED", 1, [["s", "1"]]]),
        ask("renew", A, 1, 1, 0, [], is_=["OK", 1]),
        ask("renew", A, 2, 0, 0, [], is_=["REVOKED", 1, []]),
    ),
    rule(
        "every revocation is listed, of whatever shard",
        leading(),
        prepared(1, A, s="t"),
        ask("revoke", "s", A, "1", "op", "why", is_=["OK", 1]),
        ask("revoke", "t", A, "1", "op", "why", is_=["OK", 2]),
        ask("renew", A, 1, 1, 0, [], is_=["REVOKED", 2, [["s", "1"], ["t", "1"]]]),
    ),
    rule(
        "a refused renewal keeps the counter",
        leading(),
        ask("revoke", "s", A, "1", "op", "why", is_=["OK", 1]),
        ask("renew", A, 5, 0, 0, [], is_=["REVOKED", ANY]),
        ask("bury", A, 0, is_=["OK"]),
    ),
    rule(
        "a renewal clears the sync of the shards it lists, if they are its own",
        leading(),
        append(entries(1), cm=1, sync=1),
        ask("renew", B, 1, 0, 0, ["s"], is_=["OK", 0]),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 1, 1, 1, ANY]),
        ask("renew", A, 1, 0, 0, ["other", "s"], is_=["OK", 0]),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 1, 1, 0, ANY]),
    ),
    rule(
        "a renewal that is refused for a revocation clears the sync all the same",
        leading(),
        prepared(1, A, s="t"),
        append(entries(1), cm=1, sync=1),
        ask("revoke", "t", A, "1", "op", "why", is_=["OK", 1]),
        ask("renew", A, 1, 0, 0, ["s"], is_=["REVOKED", ANY]),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 1, 1, 0, ANY]),
    ),
    rule(
        "a renewal that is too old clears nothing",
        leading(),
        append(entries(1), cm=1, sync=1),
        ask("renew", A, 0, 0, 0, ["s"], is_=["STALE"]),
        ask("read", "s", "", 0, [], [], is_=["OK", held(1, A), 1, 1, 1, ANY]),
    ),
]

_PLACED = [ask("place", s, 1, b"", is_=["OK"]) for s in "abc"]
OBSERVE_RULES = [
    rule(
        "observe lists the living by id, and goes on where it ended",
        registered(B, A2, A),
        ask("observe", 0, 9, is_=["OK", [[A, ANY], [A2, ANY], [B, ANY]], [], [], 5]),
        ask("bury", A2, 0, is_=["OK"]),
        ask("observe", 5, 9, is_=["OK", [[A, ANY], [B, ANY]], [A2], [], 6]),
        ask("observe", 6, 9, is_=["OK", [[A, ANY], [B, ANY]], [], [], 6]),
    ),
    rule(
        "observe lists a shard when its grant or its placement has changed",
        leading(),
        ask("observe", 4, 9, is_=["OK", ANY, [], [["s", *held(1, A), 0, ""]], 5]),
        ask("observe", 5, 9, is_=["OK", ANY, [], [], 5]),
        append(entries(1), cm=1),
        ask("observe", 5, 9, is_=["OK", ANY, [], [], 6]),
        ask("place", "s", 3, b"there", is_=["OK"]),
        ask("observe", 5, 9, is_=["OK", ANY, [], [["s", *held(1, A), 3, b"there"]], 7]),
        ask("handover", "s", "1", A, B, is_=["OK"]),
        ask("observe", 7, 9, is_=["OK", ANY, [], [["s", ANY]], 8]),
        ask("revoke", "s", A, "1", "op", "why"),
        ask("observe", 8, 9, is_=["OK", ANY, [], [["s", ANY]], 9]),
        ask("release", "s", "1", A, is_=["OK", 1]),
        ask("observe", 9, 9, is_=["OK", ANY, [], [["s", ANY]], 10]),
        ask("release", "s", "2", A, is_=["OK", 0]),
        ask("observe", 10, 9, is_=["OK", ANY, [], [], 11]),
        append([], e=3, sid=B),
        ask("observe", 11, 9, is_=["OK", ANY, [], [["s", *held(3, B, pf=2), 3, ANY]], 12]),
    ),
    rule(
        "a long list is cut between opseqs",
        _PLACED,
        ask("observe", 0, 2, is_=["OK", [], [], [["a", ANY], ["b", ANY]], 4]),
        ask("observe", 4, 2, is_=["OK", [], [], [["c", ANY]], 5]),
    ),
    rule(
        "a placement is replaced by a later revision only",
        ask("place", "s", 0, b"x", is_=["STALE", grant(0, 0, 0, "", "free")]),
        ask("place", "s", 2, b"x", is_=["OK"]),
        ask("place", "s", 2, b"y", is_=["STALE", ANY]),
        ask("place", "s", 1, b"y", is_=["STALE", ANY]),
    ),
]
