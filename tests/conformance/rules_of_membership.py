"""What the commands promise by which the stores of a group are changed."""

from __future__ import annotations

from typing import Any

from shards.entry import Entry
from tests.conformance.rules import (
    A2,
    ANY,
    A,
    B,
    G,
    Step,
    append,
    ask,
    entries,
    grant,
    leading,
    registered,
    rule,
)
from tests.conformance.rules_of_logs import FIVE, OTHER

OLD, NEXT, OTHER_NEXT = b"description", b"next", b"another"
BY = "5/p"
ZERO = Entry(0, 0, 0, b"")


def sealed(is_: Any = ("OK",), description: bytes = NEXT, to: int = 2) -> Step:
    return ask("seal", description, to, is_=list(is_))


def merge(
    log: list[Entry],
    by: str = BY,
    s: str = "s",
    first: int | None = None,
    cm: int = 0,
    staged: bool = False,
    is_: Any = ("OK",),
    version: int = 2,
    **of: Any,
) -> Step:
    """What is told of a shard; without entries, that its log is empty."""
    last = log[-1] if log else ZERO
    pe, he = of.get("pe", 0), of.get("he", 0)
    authority = [str(pe), str(of.get("pf", 0)), str(he), of.get("h", ""), of.get("rvk", 0)]
    placed = [of.get("ver", 1), of.get("prev", 0), of.get("pref", b"")]
    start = first or (log[0].sequence if log else 1)
    blobs: Any = False if staged else [e.blob for e in log if e.sequence >= start]
    tail = [str(last.epoch), last.sequence, last.chain]
    told = [*authority, *placed, start, blobs, *tail, cm]
    return ask("merge", s, by, *told, is_=list(is_), version=version)


def merge_tail(log: list[Entry], by: str = BY, is_: Any = ("OK",)) -> Step:
    numbered = [[entry.sequence, entry.blob] for entry in log]
    return ask("merge_tail", "s", by, numbered, is_=list(is_), version=2)


def finish(
    shards: int,
    by: str = BY,
    description: bytes = NEXT,
    is_: Any = ("OK",),
    version: int = 2,
    g: str = G,
) -> Step:
    return ask("finish_install", by, shards, description, is_=list(is_), version=version, g=g)


def switched(*steps: Step | list[Step]) -> list[Step]:
    """A group in its second version, with what the steps did in the first one."""
    made: list[Step] = []
    for step in steps:
        made += step if isinstance(step, list) else [step]
    return [*made, sealed(), finish(0)]


def in_2(op: str, *arguments: Any, is_: Any) -> Step:
    return ask(op, *arguments, is_=is_, version=2)


def again(*sids: str) -> list[Step]:
    """Sessions of the second version."""
    return [in_2("register", sid, "n", "eu", "u", is_="OK") for sid in sids]


def dumped(*records: Any, more: int = 0, after: str = "", room: int = 9_999) -> Step:
    return ask("dump", after, room, 1, is_=["OK", list(records), more])


def whole_log(*found: Any) -> Step:
    return ask("range", "s", 0, 9_999, is_=["OK", ANY, *found])


def tail_of(entry: Entry) -> list[Any]:
    return [str(entry.epoch), entry.sequence, entry.chain]


LATER = entries(3, e=2)
SIX = [*FIVE, *entries(1, FIVE[-1], e=3)]

BALLOT_RULES = [
    rule(
        "only a greater ballot is promised, and it finds what was accepted",
        ask("ballot", 2, "p", is_=["OK", 0, "", False]),
        ask("ballot", 2, "p", is_=["STALE", 2, "p"]),
        ask("ballot", 1, "z", is_=["STALE", 2, "p"]),
        ask("ballot", 2, "a", is_=["STALE", 2, "p"]),
        ask("ballot", 2, "q", is_=["OK", 0, "", False]),
        ask("accept", 2, "q", NEXT, is_=["OK"]),
        ask("ballot", 10, "a", is_=["OK", 2, "q", NEXT]),
    ),
    rule(
        "nothing is accepted below the promise; what is accepted is promised",
        ask("ballot", 3, "p", is_=["OK", ANY]),
        ask("accept", 2, "q", NEXT, is_=["STALE", 3, "p"]),
        ask("accept", 3, "p", NEXT, is_=["OK"]),
        ask("accept", 3, "p", NEXT, is_=["OK"]),
        ask("accept", 3, "p", OTHER_NEXT, is_=["CONFLICT"]),
        ask("accept", 4, "a", OTHER_NEXT, is_=["OK"]),
        ask("ballot", 4, "a", is_=["STALE", 4, "a"]),
        ask("ballot", 5, "a", is_=["OK", 4, "a", OTHER_NEXT]),
    ),
    rule(
        "ballots have a number and a name, and descriptions are not empty",
        ask("ballot", 0, "p", is_=["BAD_COMMAND"]),
        ask("ballot", 1, "", is_=["BAD_COMMAND"]),
        ask("accept", 1, "p", b"", is_=["BAD_COMMAND"]),
        ask("seal", b"", 2, is_=["BAD_COMMAND"]),
    ),
    rule(
        "ballots of one version say nothing of the next",
        ask("accept", 7, "p", NEXT, is_=["OK"]),
        switched(),
        in_2("ballot", 1, "a", is_=["OK", 0, "", False]),
    ),
]

REFUSED_WHEN_SEALED = [
    ("prepare", "s", "2", A, ["mine"]),
    ("append", "s", "1", A, 0, "0", 0, [], 0, 0),
    ("renew", A, 1, 0, 0, []),
    ("release", "s", "1", A),
    ("handover", "s", "1", A, B),
    ("revoke", "s", A, "1", "op", "why"),
    ("register", A2, "n", "eu", "u"),
    ("ballot", 9, "p"),
    ("accept", 9, "p", NEXT),
    ("bury", A, 0),
    ("observe", 0, 9),
    ("read", "s", "", 0, [], []),
    ("scan", "s", "", 0, "p", "", "", 9, 9),
    ("place", "s", 9, b""),
    ("admit", "run"),
    ("trim", "s", "1", A, 1),
]
SEAL_RULES = [
    *(
        rule(f"a sealed store refuses {words[0]}", leading(), sealed(), ask(*words, is_=["SEALED"]))
        for words in REFUSED_WHEN_SEALED
    ),
    rule(
        "a seal is never taken back, and is of one description",
        sealed(),
        sealed(),
        sealed(["CONFLICT"], OTHER_NEXT),
        ask("install", OLD, is_=["EXISTS"]),
        ask("learn", BY, OLD, is_=["EXISTS"]),
        ask("observe", 0, 9, is_=["SEALED"]),
    ),
    rule(
        "a seal is of the present version",
        ask("seal", NEXT, 3, version=2, is_=["NEW_VERSION"]),
        switched(),
        sealed(["OLD_VERSION"]),
    ),
    rule(
        "a seal leads to a later version, and gives way to one that leads further",
        sealed(["BAD_COMMAND"], to=1),
        sealed(),
        sealed(description=OTHER_NEXT, to=7),
        sealed(["STALE", 7]),
        sealed(["STALE", 7], OTHER_NEXT, 6),
        sealed(["CONFLICT"], to=7),
        sealed(["BAD_COMMAND"], to=1),
        sealed(description=OTHER_NEXT, to=7),
        ask("dump", "", 9_999, 1, is_=["OK", [], 0]),
    ),
]

DUMP_RULES = [
    rule(
        "a dump that counts is one of a sealed store",
        leading(),
        ask("dump", "", 9_999, 1, is_=["UNDECIDED"]),
        ask("dump", "", 9_999, 0, is_=["OK", [["s", ANY]], 0]),
        sealed(),
        ask("dump", "", 9_999, 1, is_=["OK", [["s", ANY]], 0]),
        ask("dump", "", 9_999, 1, version=2, is_=["NEW_VERSION"]),
    ),
    rule(
        "a dump tells of each shard all that a merge needs",
        leading(3),
        append(FIVE[:2], e=3, cm=1),
        ask("release", "s", "4", B, is_=["OK", 0]),
        ask("place", "s", 7, b"there", is_=["OK"]),
        sealed(),
        dumped(["s", "3", "4", "3", A, "held", 0, 1, 7, b"there", *tail_of(FIVE[1]), 1, "0", 0, 0]),
    ),
    rule(
        "shards are dumped by name, at least one, while they fit, also one with no grant",
        registered(A),
        [ask("release", s, "1", A, is_=["OK", 0]) for s in ("b", "a", "\u00e9", "c")],
        sealed(),
        dumped(["a", ANY], ["b", ANY], more=1, room=2 * 129),
        dumped(["a", ANY], more=1, room=0),
        dumped(["c", ANY], ["\u00e9", ANY], after="b"),
        dumped(after="\u00e9"),
    ),
    rule(
        "the log of a sealed store is read",
        leading(),
        append(FIVE[:1]),
        sealed(),
        whole_log(*tail_of(FIVE[0]), 0, "0", 0, 0, [[1, FIVE[0].blob]], 0),
    ),
]

MERGE_RULES = [
    rule(
        "only what is sealed or learns is merged into",
        leading(),
        merge([], is_=["UNDECIDED"]),
        finish(0, is_=["UNDECIDED"]),
        merge_tail(FIVE, is_=["UNDECIDED"]),
        ask("merge_tail", "s", BY, [], g="other", is_=["NOT_MEMBER"]),
        finish(0, g="other", is_=["NOT_MEMBER"]),
        sealed(),
        merge([]),
        merge([], version=3, is_=["NEW_VERSION"]),
        merge([], version=1, is_=["OLD_VERSION"]),
    ),
    rule(
        "what is merged late changes nothing of a later version",
        switched(),
        merge(FIVE, pe=9, he=9, is_=["OLD_VERSION"]),
        merge_tail(FIVE, is_=["OLD_VERSION"]),
        in_2("range", "s", 0, 9, is_=["OK", grant(0, 0, 0, "", "free"), ANY]),
    ),
    rule(
        "of two promises, floors, commit indexes and placements the greater is kept",
        leading(3),
        append(FIVE, e=3, cm=2),
        ask("place", "s", 4, b"old", is_=["OK"]),
        sealed(),
        merge(FIVE, pe=2, pf=5, he=2, h=B, cm=1, prev=3, pref=b"x"),
        dumped(["s", "3", "5", "3", A, "held", 0, 1, 4, b"old", *tail_of(FIVE[4]), 2, ANY]),
        merge(FIVE, pe=9, pf=4, he=9, h=B, rvk=1, cm=3, prev=5, pref=b"new"),
        dumped(["s", "9", "5", "9", B, "held", 1, 1, 5, b"new", *tail_of(FIVE[4]), 3, ANY]),
        merge(FIVE, pe=9, he=9, h=A, cm=0),
        dumped(["s", "9", "5", "9", B, "held", 1, 1, 5, b"new", *tail_of(FIVE[4]), 3, ANY]),
    ),
    rule(
        "of one grant, a revocation is not forgotten",
        leading(),
        sealed(),
        merge([], pe=1, he=1, h=B, rvk=1),
        dumped(["s", "1", "0", "1", A, "held", 0, ANY]),
        merge([], pe=1, he=1, h=A, rvk=1),
        merge([], pe=1, he=1, h=A),
        dumped(["s", "1", "0", "1", A, "held", 1, ANY]),
    ),
    rule(
        "the log with the greater (te, ts) is taken, never the longer one",
        leading(),
        append(FIVE),
        sealed(),
        merge(LATER, first=1),
        whole_log(*tail_of(LATER[2]), 0, "0", 0, 0, [[1, ANY], [2, ANY], [3, LATER[2].blob]], 0),
        merge(FIVE, first=1),
        whole_log(*tail_of(LATER[2]), ANY),
    ),
    rule(
        "of one epoch the longer log is the greater",
        leading(),
        append(FIVE[:2]),
        sealed(),
        merge(FIVE, first=1, cm=5),
        whole_log(*tail_of(FIVE[4]), 5, ANY),
        merge(FIVE[:3], first=1),
        whole_log(*tail_of(FIVE[4]), 5, ANY),
    ),
    rule(
        "what is committed by the merge is applied; what is merely there is not",
        leading(),
        sealed(),
        merge(FIVE, cm=2),
        finish(1),
        in_2(
            "read",
            "s",
            "",
            0,
            ["k2", "k3"],
            [],
            is_=["OK", ANY, 2, 2, 0, 0, ANY, [[2, b"v"], False], []],
        ),
    ),
    rule(
        "a log must join what is here",
        leading(),
        append(FIVE[:3], cm=1),
        sealed(),
        merge(SIX, first=5, is_=["GAP", 1, 3]),
        merge(SIX, first=4, is_=["GAP", 1, 3]),
        merge(SIX, first=3, cm=4),
        whole_log(*tail_of(SIX[5]), 4, ANY, ANY, ANY, [ANY] * 6, ANY),
    ),
    rule(
        "entries that are here, and differ, join nothing",
        leading(),
        append(OTHER[:3], cm=1),
        sealed(),
        merge([*OTHER[:1], *entries(3, OTHER[0], e=2)], first=3, is_=["GAP", 1, 3]),
        merge([*OTHER[:1], *entries(3, OTHER[0], e=2)], first=2),
        whole_log("2", 4, ANY),
    ),
    rule(
        "nothing committed is replaced",
        leading(),
        append(FIVE, cm=2),
        sealed(),
        merge(LATER, first=1, is_=["CONFLICT"]),
        merge(LATER[:1], first=1, is_=["CONFLICT"]),
        merge(FIVE, cm=5),
        whole_log(*tail_of(FIVE[4]), 5, ANY),
    ),
    rule(
        "the commit index is never beyond the log",
        leading(),
        append(LATER[:1], e=2),
        sealed(),
        merge(FIVE, cm=3, is_=["CONFLICT"]),
        merge([], cm=1, is_=["BAD_COMMAND"]),
    ),
    rule(
        "equal places of two logs are the same place",
        leading(),
        append(FIVE[:1]),
        sealed(),
        merge(OTHER[:1], is_=["CONFLICT"]),
        merge(FIVE[:1]),
    ),
    rule(
        "a merge has a form",
        sealed(),
        merge([], pe=1, he=2, is_=["BAD_COMMAND"]),
        merge([], pe=1, he=1, h=A, ver=3, is_=["BAD_COMMAND"]),
        merge([], by="p", is_=["BAD_COMMAND"]),
        merge([], by="0/p", is_=["BAD_COMMAND"]),
        merge([], by="01/p", is_=["BAD_COMMAND"]),
        merge([], by="1/", is_=["BAD_COMMAND"]),
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
            [FIVE[0].blob],
            "1",
            2,
            0,
            0,
            version=2,
            is_=["BAD_COMMAND"],
        ),
        merge_tail([ZERO], is_=["BAD_COMMAND"]),
    ),
    rule(
        "a tail that is too long for one command comes in parts",
        leading(),
        append(FIVE[:1], cm=1),
        sealed(),
        merge(SIX, first=2, staged=True, is_=["GAP", 1, 1]),
        merge_tail(SIX[1:4]),
        merge(SIX, first=2, staged=True, is_=["GAP", 1, 1]),
        merge_tail(SIX[3:]),
        merge(SIX, by="6/p", first=2, staged=True, is_=["GAP", 1, 1]),
        merge(SIX, first=2, staged=True, cm=2),
        merge(SIX, first=2, staged=True, cm=2),
        whole_log(*tail_of(SIX[5]), 2, ANY, ANY, ANY, [ANY] * 6, ANY),
    ),
]

MEMBERSHIP_RULES = [*(BALLOT_RULES + SEAL_RULES + DUMP_RULES + MERGE_RULES)]
