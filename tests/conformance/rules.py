"""A small language for rules of the store: what is asked, and what must be answered.

Steps are made in order, each as a call of its own, on every target; the first part of a rule brings
the store where it must be, the last steps show the rule. `...` ends an answer whose rest does not
matter, and stands for any single value elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from regions.codec import FORMAT, as_text
from shards.entry import Entry, write_entry
from tests.conformance.targets import RIGHT, Target

G = "region/eu"
A, A2, B = "a/1", "a/2", "b/1"
ANY = ...
HEADER = [FORMAT, RIGHT, "", 0]


@dataclass(frozen=True)
class Step:
    """One call of one command; `code` is of the whole call, `answer` of the command."""

    words: list[Any]
    answer: list[Any] | None
    header: list[Any] = field(default_factory=lambda: list(HEADER))
    code: str = "OK"
    only_reads: bool = False


@dataclass(frozen=True)
class Rule:
    """A sentence of docs/STORE_FORMAT.md, and steps that show it."""

    says: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return self.says


def rule(says: str, *steps: Step | list[Step]) -> Rule:
    """A rule; lists of steps may be given in between."""
    flat: list[Step] = []
    for step in steps:
        flat += step if isinstance(step, list) else [step]
    return Rule(says, tuple(flat))


def ask(op: str, *arguments: Any, is_: Any = ("OK", ANY), version: int = 1, g: str = G) -> Step:
    """A command to the group, and its code and payload."""
    return Step([op, g, version, *arguments], [is_] if isinstance(is_, str) else list(is_))


def grant(pe: int, pf: int, he: int, h: str, st: str, tgt: str = "", rvk: int = 0) -> list[Any]:
    """A grant as it is shown."""
    return [str(pe), str(pf), str(he), h, st, tgt, rvk]


def held(e: int, sid: str, **changed: Any) -> list[Any]:
    """The grant of a session that holds this epoch."""
    return grant(e, changed.pop("pf", 0), e, sid, changed.pop("st", "held"), **changed)


def registered(*sids: str) -> list[Step]:
    """Sessions that are there."""
    return [ask("register", sid, "node", "eu", "http://n", is_="OK") for sid in sids]


def prepared(e: int, sid: str, condition: list[Any] | None = None, s: str = "s") -> Step:
    """A grant that is given."""
    return ask("prepare", s, str(e), sid, condition or ["free"])


def leading(e: int = 1, sid: str = A) -> list[Step]:
    """Two sessions, of which the first holds the shard."""
    return [*registered(A, B), prepared(e, sid)]


def entries(
    count: int, after: Entry | None = None, e: int = 1, op_id: str = "", effects: Any = None
) -> list[Entry]:
    """Entries that follow one another; each puts a key unless told otherwise."""
    last = after or Entry(0, 0, 0, b"")
    found = []
    for _ in range(count):
        seq = last.sequence + 1
        does = [["p", "p", f"k{seq}", b"v", seq]] if effects is None else effects
        last = write_entry(last.sequence, last.chain, e, does, op_id, "digest", b"out")
        found.append(last)
    return found


def append(
    new: list[Entry],
    after: Entry | None = None,
    e: int = 1,
    sid: str = A,
    cm: int = 0,
    sync: int = 0,
    is_: Any = ("OK", ANY),
) -> Step:
    """An append of entries after another one."""
    before = after or Entry(0, 0, 0, b"")
    blobs = [entry.blob for entry in new]
    at = [before.sequence, str(before.epoch), before.chain]
    return ask("append", "s", str(e), sid, *at, blobs, cm, sync, is_=is_)


def show(target: Target, made: Rule) -> None:
    """Make the steps of a rule, and compare each answer."""
    target.wipe()
    mint = target.call([FORMAT, "", "", 0], [["mint", "", 0, "store", "nonce"]])
    assert mint[0] == "OK"
    assert target.call(HEADER, [["install", G, 1, b"description"]])[5][0][0] == "OK"
    for number, step in enumerate(made.steps, 1):
        reply = target.call(step.header, [step.words], step.only_reads)
        where = f"{target.name}, step {number}: {step.words} of {made.says!r}\n{reply}"
        assert reply[0] == step.code, where
        if step.answer is not None and reply[0] == "OK":
            found = [reply[5][0][0], *reply[5][0][4:]]
            assert _agrees(found, step.answer), f"{where}\nexpected {step.answer}"


def _agrees(found: Any, expected: Any) -> bool:
    if expected is ANY:
        return True
    if isinstance(expected, bytes):
        return bool(found == as_text(expected))
    if not isinstance(expected, list | tuple):
        return bool(found == expected and isinstance(found, bool) == isinstance(expected, bool))
    if not isinstance(found, list):
        return False
    wanted = list(expected)
    if wanted and wanted[-1] is ANY:
        wanted.pop()
        found = found[: len(wanted)]
    pairs = list(zip(found, wanted, strict=False))
    return len(found) == len(wanted) and all(_agrees(f, w) for f, w in pairs)
