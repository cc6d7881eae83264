"""Rules on shards that end, and on drafts of those that begin where they ended."""

from __future__ import annotations

from typing import Any

from regions.codec import pack
from shards.entry import Entry, write_entry
from shards.reserved import BORN_KEY, CLOSED_KEY, closing, wiping
from shards.scripts.snapshots import kv_record
from tests.conformance import rules_of_membership as membership
from tests.conformance.rules import (
    ANY,
    A,
    Step,
    append,
    ask,
    entries,
    grant,
    held,
    leading,
    registered,
    rule,
)

N = 7
BY, LATER = "1/a", "2/b"
ALL = [0, 1 << 24]
NO_GRANT = grant(0, 0, 0, "", "free")
NEW = entries(2)
END = write_entry(2, NEW[-1].chain, 1, closing(N, 99), "end", "digest", b"out")
AFTER = entries(1, END)[0]
WIPE = write_entry(4, AFTER.chain, 1, wiping(N))
LOG = [*NEW, END]
CLOSED_PAGE = [f"\0{CLOSED_KEY}", kv_record((3, b"7"))]
_AUTHORITY = ["1", "0", "0", "", 0, 0, 0, b""]
_TIP = ["1", 3, END.chain, 3]


def closed() -> list[Step]:
    """A shard whose log has ended at 3."""
    return [*leading(), append(LOG, cm=3)]


def wiped() -> list[Step]:
    return [*closed(), append([AFTER, WIPE], END, cm=5)]


def draft(*parents: list[int], n: int = N, is_: Any = ("OK", 0, ANY)) -> Step:
    return ask("draft", "d", n, list(parents or (ALL,)), is_=is_)


def filled(p: int = 0, by: str = BY) -> list[Step]:
    """All that a parent is asked for, up to the cursor (1, 2)."""
    empty = ask("draft_page", "d", N, p, by, "kv", [], is_=("OK", 0, ANY))
    return [empty, ask("draft_data", "d", N, p, by, "0", 0, 0, is_=("OK", 0, ANY)), log(NEW, p=p)]


def log(
    new: list[Entry], before: Entry | None = None, p: int = 0, by: str = BY, is_: Any = ("OK", ANY)
) -> Step:
    at = before or Entry(0, 0, 0, b"")
    blobs = [entry.blob for entry in new]
    return ask("draft_log", "d", N, p, by, at.sequence, at.chain, blobs, is_=is_)


def local(p: int = 0, by: str = BY, room: int = 0, is_: Any = ("OK", ANY)) -> Step:
    return ask("draft_local", "d", N, p, by, "region/eu", "s", room, is_=is_)


def state(*parents: list[Any], is_: Any = None) -> Step:
    return ask("draft_state", "d", N, is_=is_ or ("OK", 0, list(parents)))


def shown(keys: list[str], *values: Any, s: str = "d") -> Step:
    return ask("read", s, "", 0, keys, [], is_=("OK", *[ANY] * 6, list(values), []))


REFUSED: list[list[Any]] = [
    ["place", "d", 1, b"x"],
    ["prepare", "d", "9", A, ["free"]],
    ["release", "d", "9", A],
    ["handover", "d", "9", A, A],
    ["revoke", "d", A, "9", "by", "why"],
    ["read", "d", "", 0, [], []],
    ["scan", "d", "", 0, "p", "", "", 9, 9],
    ["range", "d", 1, 9],
    ["history", "d"],
    ["trim", "d", "9", A, 1],
    ["page", "d", "kv", "", 9],
    ["draft_read", "d", "kv", "", 9],
    ["digest", "d", 0, "kv", "", 9],
    ["stage", "d", "9", A, 1, "kv", []],
    ["unstage", "d", "9", A, 1],
    ["adopt", "d", "9", A, 1, "1", 5, 7, 5],
]

END_OF_LOG_RULES = [
    rule(
        "a closed shard refuses reads, and says which resharding closed it",
        closed(),
        ask("read", "s", "", 0, ["k1"], [], is_=("CLOSED", held(1, A), N)),
        ask("read", "s", "1", 3, ["k1"], [], is_=("CLOSED", held(1, A), N)),
        ask("scan", "s", "", 0, "p", "", "", 9, 99, is_=("CLOSED", held(1, A), N)),
        ask("page", "s", "kv", "", 9999, is_=("OK", 3, [CLOSED_PAGE, ANY, ANY], 0)),
        ask("range", "s", 3, 0, is_=("OK", *[ANY] * 8, [[3, END.blob]], 3)),
    ),
    rule(
        "an entry that closes is no end before it is committed",
        *[*leading(), append(LOG, cm=2)],
        shown([CLOSED_KEY], False, s="s"),
        ask("read", "s", "1", 3, [], [], is_=("CLOSED", ANY)),
    ),
    rule(
        "a grant of a shard that is closed tells it; of others it says nothing more",
        closed(),
        ask("prepare", "s", "2", A, ["mine"], is_=("OK", *[ANY] * 9, [], N, 0)),
        ask("prepare", "t", "1", A, ["free"], is_=("OK", *[ANY] * 9, [])),
    ),
    rule(
        "behind the end nothing is applied but the wipe of that resharding",
        closed(),
        append([AFTER], END, cm=4),
        ask("page", "s", "kv", "", 9999, is_=("OK", 4, [CLOSED_PAGE, ANY, ANY], 0)),
        append([write_entry(4, AFTER.chain, 1, wiping(N + 1))], AFTER, cm=5),
        ask("page", "s", "kv", "", 9999, is_=("OK", 5, [CLOSED_PAGE, ANY, ANY], 0)),
    ),
    rule(
        "a wipe leaves the end alone; who fills a draft is refused from then on",
        wiped(),
        ask("page", "s", "kv", "", 9999, is_=("OK", 5, [CLOSED_PAGE, ANY], 0)),
        ask("page", "s", "id", "", 9999, is_=("OK", 5, [], 0)),
        ask("draft_read", "s", "kv", "", 9999, is_=("CLOSED", held(1, A), N)),
        draft(),
        local(is_=("CLOSED", N)),
    ),
    rule(
        "a wipe does nothing in a log that is not closed",
        *[*leading(), append([*NEW, write_entry(2, NEW[-1].chain, 1, wiping(N))], cm=3)],
        shown(["k1"], [1, b"v"], s="s"),
    ),
    rule(
        "a closed log is not trimmed past its end",
        closed(),
        append([AFTER], END, cm=4),
        ask("trim", "s", "1", A, 4, is_=("OK", 3)),
    ),
    rule(
        "the end goes along with pages, to a store that its leader fills",
        leading(),
        ask("stage", "s", "1", A, 1, "kv", [CLOSED_PAGE], is_=("OK",)),
        ask("adopt", "s", "1", A, 1, "1", 3, END.chain, 3, is_=("OK",)),
        ask("read", "s", "", 0, [], [], is_=("CLOSED", ANY)),
        ask("prepare", "s", "2", A, ["mine"], is_=("OK", *[ANY] * 9, [], N, 0)),
    ),
    rule(
        "the end goes along with what a learner copies, and with a merge",
        ask("learn", BY, b"new", g="new", is_=("OK",)),
        ask("learn_page", "s", BY, "kv", [CLOSED_PAGE], g="new", is_=("OK",)),
        ask("learn_data", "s", BY, "1", 3, END.chain, 3, g="new", is_=("OK",)),
        ask("learn_log", "t", BY, 0, 0, [e.blob for e in LOG], g="new", is_=("OK", 3)),
        ask("merge", "u", BY, *_AUTHORITY, 1, [e.blob for e in LOG], *_TIP, g="new", version=2),
        ask("finish_install", BY, 1, b"open", g="new", version=2, is_=("OK",)),
        *[
            ask("read", s, "", 0, [], [], g="new", version=2, is_=("CLOSED", ANY))
            for s in ("s", "t", "u")
        ],
    ),
]

DRAFT_RULES = [
    rule(
        "what a learner copies takes the place of a draft of that name, from its first page on",
        draft(),
        ask("draft_page", "d", N, 0, BY, "id", [["2 op", pack([2, "d", b"out"])]]),
        membership.sealed(),
        ask("learn", membership.BY, membership.NEXT, is_=("OK",)),
        ask("learn_page", "d", membership.BY, "hi", [["1", pack("line")]], is_=("OK",)),
        ask("page", "d", "id", "", 9999, is_=("OK", 0, [], 0)),
        ask("learn_page", "d", membership.BY, "", [], is_=("OK",)),
        ask("page", "d", "id", "", 9999, is_=("OK", 0, [], 0)),
    ),
    *(
        rule(
            f"a draft is unripe to {words[0]}",
            registered(A),
            draft(),
            ask(*words, is_=("UNRIPE", NO_GRANT)),
        )
        for words in REFUSED
    ),
    rule(
        "a draft is in no list",
        draft(),
        ask("dump", "", 999, 0, is_=("OK", [], 0)),
        ask("observe", 0, 9, is_=("OK", [], [], [], ANY)),
    ),
    rule(
        "a draft is made where there is no record of the shard, for the greatest number",
        draft(),
        draft(is_=("OK", 0, [["", "", "0", 0, 0]])),
        draft([0, 5], is_=("CONFLICT",)),
        draft(n=N - 1, is_=("STALE", N, "")),
        draft(n=N + 1),
        state(is_=("STALE", N + 1, "")),
        ask("place", "e", 1, b"x"),
        ask("draft", "e", N, [ALL], is_=("EXISTS",)),
    ),
    rule(
        "what was dropped is not made again, however late it is asked for",
        draft(),
        filled(),
        ask("undraft", "d", N, is_=("OK",)),
        draft(is_=("STALE", N, "")),
        log([END], NEW[-1], is_=("STALE", N, "")),
        draft(n=N + 1),
        ask("undraft", "d", N, is_=("STALE", N + 1, "")),
        ask("draft_state", "d", N + 1, is_=("OK", 0, [["", "", "0", 0, 0]])),
    ),
    rule(
        "the closing entry makes a draft ripe, and a shard whose log begins there",
        [*registered(A), draft(), *filled()],
        log([END, AFTER], NEW[-1], is_=("OK", 1, [])),
        state(is_=("OK", 1, [])),
        log([END], NEW[-1], is_=("OK", 1, [])),
        ask("undraft", "d", N, is_=("EXISTS",)),
        shown(["k1", "k3", BORN_KEY, CLOSED_KEY], [1, b"v"], False, [3, b"7"], False),
        ask(
            "observe", 0, 9, is_=("OK", ANY, ANY, [["d", *grant(1, 0, 0, "", "free"), 0, ""]], ANY)
        ),
        ask("prepare", "d", "1", A, ["free"], is_=("FENCED", ANY)),
        ask(
            "prepare",
            "d",
            "2",
            A,
            ["free"],
            is_=("OK", "1", 3, END.chain, 3, 3, "1", 3, END.chain, ANY, [], 0, N),
        ),
    ),
    rule(
        "entries follow the cursor",
        [draft(), *filled()],
        log([AFTER], END, is_=("GAP", 2)),
        log([END], Entry(2, 1, NEW[-1].chain + 1, b""), is_=("CONFLICT",)),
        log([write_entry(2, NEW[-1].chain, 1, closing(N + 1, 3))], NEW[-1], is_=("CONFLICT",)),
        log(LOG, is_=("OK", 1, [])),
    ),
    rule(
        "pages of an attempt are refused once it is said that they are complete; a later one anew",
        [draft(), *filled()],
        ask("draft_page", "d", N, 0, BY, "kv", [], is_=("STALE", N, BY)),
        state([BY, "log", "1", 2, NEW[-1].chain]),
        ask("draft_page", "d", N, 0, LATER, "kv", []),
        state([LATER, "pages", "0", 0, 0]),
        log([END], NEW[-1], is_=("STALE", N, LATER)),
    ),
    rule(
        "a later attempt goes on where the cursor is",
        [draft(), *filled()],
        log([], NEW[-1], by=LATER),
        log([END], NEW[-1], is_=("STALE", N, LATER)),
        log([END], NEW[-1], by=LATER, is_=("OK", 1, [])),
    ),
    rule(
        "pages that begin behind the end are refused, as are those of another end, or of none left",
        draft(),
        ask("draft_page", "d", N, 0, BY, "kv", [CLOSED_PAGE]),
        ask("draft_data", "d", N, 0, BY, "1", 4, 7, is_=("CONFLICT",)),
        ask("draft_page", "d", N, 0, LATER, "kv", [[CLOSED_PAGE[0], b"3 8"]], is_=("CONFLICT",)),
        ask(
            "draft_page",
            "d",
            N,
            0,
            LATER,
            "kv",
            [["\0\0leadplane/wiped", b"3 7"]],
            is_=("CONFLICT",),
        ),
        ask("draft_data", "d", N, 0, BY, "1", 3, 7, is_=("OK", 1, [])),
    ),
    rule(
        "one parent of two that begins anew ends what the other brought",
        [draft(ALL, ALL), *filled(0), *filled(1)],
        ask("draft_page", "d", N, 0, LATER, "kv", []),
        state([LATER, "pages", "0", 0, 0], [BY, "", "0", 0, 0]),
        log([END], NEW[-1], p=1, is_=("STALE", N, BY)),
        ask("draft_page", "d", N, 1, LATER, "kv", []),
        state([LATER, "pages", "0", 0, 0], [LATER, "pages", "0", 0, 0]),
    ),
    rule(
        "a store fills a draft from a shard of its own, pages first, then entries",
        [*leading(), append(NEW, cm=2), draft()],
        [local(), local(), local()],
        state([BY, "walk", "0", 0, 0]),
        local(is_=("OK", 0, [[BY, "log", "1", 2, NEW[-1].chain]], 1)),
        local(is_=("OK", 0, ANY, 0)),
        append([END], NEW[-1], cm=2),
        local(is_=("OK", 0, ANY, 0)),
        append([], END, cm=3),
        local(is_=("OK", 1, [], 0)),
        shown(["k2"], [2, b"v"]),
    ),
    rule(
        "what was trimmed is a gap for the attempt that lacks it; a greater one begins anew",
        [*leading(), append(NEW[:1], cm=1), draft()],
        [local(), local(), local()],
        local(is_=("OK", 0, [[BY, "log", "1", 1, NEW[0].chain]], 0)),
        append([NEW[1], END], NEW[0], cm=2),
        ask("trim", "s", "1", A, 2, is_=("OK", 2)),
        local(is_=("GAP", 1)),
        local(is_=("GAP", 1)),
        local(by=LATER, is_=("OK", 0, [[LATER, "walk", "0", 0, 0]], 1)),
        [local(by=LATER), local(by=LATER)],
        local(by=LATER, is_=("OK", 0, [[LATER, "log", "1", 2, NEW[1].chain]], 1)),
    ),
    rule(
        "what is decided takes the place of a draft",
        [*registered(A), draft(), *filled()],
        ask("append", "d", "9", A, 3, "1", END.chain, [], 3, 0, is_=("GAP", ANY)),
        shown(["k1"], False),
        draft(is_=("EXISTS",)),
    ),
    rule(
        "what a draft is asked for has a form",
        draft(),
        *[draft(*wrong, is_=("BAD_COMMAND",)) for wrong in ([[5, 5]], [[0, (1 << 24) + 1]])],
        ask("draft_page", "d", N, 1, BY, "kv", [], is_=("BAD_COMMAND",)),
        ask("draft_page", "d", N, 0, "x", "kv", [], is_=("BAD_COMMAND",)),
        ask(
            "draft_page",
            "d",
            N,
            0,
            BY,
            "kv",
            [["\0\0leadplane/born", b"3 x"]],
            is_=("BAD_COMMAND",),
        ),
        ask("draft_local", "d", N, 0, BY, "a:b", "s", 9, is_=("BAD_COMMAND",)),
        ask("draft", "d", 0, [ALL], is_=("BAD_COMMAND",)),
    ),
]
