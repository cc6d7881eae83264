"""A group of many shards is read out page by page, and switched at once, on all targets alike."""

from __future__ import annotations

from typing import Any

from tests.conformance.rules import HEADER, G, Rule, entries, show
from tests.conformance.targets import Target

MANY = 1_100
AT_ONCE = 500
NAMES = sorted(f"s{number}" for number in range(MANY))
BY = "1/p"


def one(target: Target, *words: Any) -> list[Any]:
    """The code and the payload of one command."""
    (found,) = target.call(HEADER, [list(words)])[5]
    return [found[0], *found[4:]]


def pages(target: Target, op: str, group: str, *before: Any, after: tuple[Any, ...]) -> list[Any]:
    """All that is listed, page by page; the last page alone is not full."""
    found: list[Any] = []
    more = 1
    while more:
        start = found[-1][0] if found else ""
        code, listed, more = one(target, op, group, 1, *before, start, *after)
        assert code == "OK"
        assert len(listed) == AT_ONCE or not more
        found += listed
    return found


def test_many_shards_are_dumped_and_switched(targets: list[Target]) -> None:
    for target in targets:
        show(target, Rule("", ()))
        for first in range(0, MANY, 100):
            place = [["place", G, 1, name, 1, b"eu"] for name in NAMES[first : first + 100]]
            assert all(result[0] == "OK" for result in target.call(HEADER, place)[5])
        assert one(target, "seal", G, 1, b"next", 2) == ["OK"]
        found = pages(target, "dump", G, after=(10_000_000, 1))
        assert [record[0] for record in found] == NAMES
        assert one(target, "finish_install", G, 2, BY, 0, b"next") == ["OK"]
        opseq = target.call(HEADER, [["observe", G, 2, 0, 9]])[4]
        code, _, _, shards, upto = one(target, "observe", G, 2, opseq - 1, 9)
        assert (code, upto, [shard[0] for shard in shards]) == ("OK", opseq, NAMES)


def test_many_shards_are_learned_and_listed(targets: list[Target]) -> None:
    (first,) = entries(1)
    for target in targets:
        show(target, Rule("", ()))
        assert one(target, "learn", "new", 1, BY, b"old") == ["OK"]
        for start in range(0, MANY, 100):
            calls = [
                ["learn_log", "new", 1, name, BY, 0, 0, [first.blob]]
                for name in NAMES[start : start + 100]
            ]
            assert all(result[0] == "OK" for result in target.call(HEADER, calls)[5])
        found = pages(target, "learned", "new", BY, after=(MANY,))
        assert found == [[name, 1, first.chain] for name in NAMES]
