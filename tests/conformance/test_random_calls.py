"""The same random calls to the twin, to Valkey and to Redis: every reply and the whole state agree.

When they do not, the test names the seed and the first call after which they differ. It replays the
seed with a look at the state after every call, so that the shortest prefix is found. `make twin`
tries many more seeds, each of them another one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.generator import Generator, RandomCall
from tests.conformance.targets import Target, Twin

SEEDS = int(os.environ.get("LEADPLANE_TWIN_SEEDS", "48"))
CALLS_PER_SEED = 600
COMMANDS_MIN = 30_000
STATE_EVERY = 50
DONE_MIN = 30
"""So often each command of a change must have worked, or the random calls do not reach it."""


def one_call(call: RandomCall, targets: list[Target]) -> list[Any]:
    """Make a call everywhere; the replies, in the order of the targets."""
    if call.wipe:
        for target in targets:
            target.wipe()
    return [target.call(call.header, call.commands, call.only_reads) for target in targets]


def difference(replies: list[Any], names: list[str]) -> str | None:
    """How the first differs from the others, None when they agree."""
    for name, reply in zip(names[1:], replies[1:], strict=True):
        if reply != replies[0]:
            return f"{names[0]}: {replies[0]}\n{name}: {reply}"
    return None


def differing_state(targets: list[Target]) -> str | None:
    """Where the whole states differ, None when they are equal."""
    first, *others = [target.dump() for target in targets]
    for target, dump in zip(targets[1:], others, strict=True):
        keys = sorted(k for k in first.keys() | dump.keys() if first.get(k) != dump.get(k))
        if keys:
            ours = {key: first.get(key) for key in keys}
            theirs = {key: dump.get(key) for key in keys}
            return f"{targets[0].name}: {ours}\n{target.name}: {theirs}"
    return None


def first_difference(seed: int, targets: list[Target], state_every: int) -> tuple[int, str] | None:
    """Run a seed; the number of the call at which a difference shows, and what differs."""
    twin = targets[0]
    assert isinstance(twin, Twin)
    generator = Generator(seed)
    names = [target.name for target in targets]
    for number in range(1, CALLS_PER_SEED + 1):
        call = generator.next(twin.store.state)
        replies = one_call(call, targets)
        found = difference(replies, names)
        if found is None and (number % state_every == 0 or number == CALLS_PER_SEED):
            found = differing_state(targets)
        if found is not None:
            return number, f"{call}\n{found}"
        COUNTED.update(outcomes(call, replies[0]))
    return None


def outcomes(call: RandomCall, reply: Any) -> list[tuple[str, str]]:
    """Which command ended how."""
    code, results = reply[0], reply[5]
    if code != "OK":
        return [("header", code)]
    found = [("versions", str(min(result[1], 4))) for result in results]
    for words, result in zip(call.commands, results, strict=True):
        found.append((words[0] if isinstance(words, list) and words else "?", result[0]))
        if found[-1] == ("prepare", "OK"):
            found.append((f"prepare {words[6][0]}", "OK"))
        elif result[:1] == ["OK"] and result[4:6] == [1, []]:
            found.append(("ripe", "OK"))
    return found


COUNTED: Counter[Any] = Counter()


@pytest.mark.timeout(600 if SEEDS <= 100 else 0)
def test_every_reply_and_the_whole_state_agree(
    targets: list[Target], record_property: Callable[[str, object], None]
) -> None:
    COUNTED.clear()
    for seed in range(SEEDS):
        for target in targets:
            target.wipe()
        if first_difference(seed, targets, STATE_EVERY) is None:
            continue
        for target in targets:
            target.wipe()
        shortest = first_difference(seed, targets, state_every=1)
        assert shortest is not None, f"seed {seed} differs in one run only: who draws lots?"
        pytest.fail(f"seed {seed} differs after {shortest[0]} calls\n{shortest[1]}")
    commands = sum(number for (op, _), number in COUNTED.items() if op == "versions")
    record_property("commands", commands)
    assert commands >= COMMANDS_MIN
    missing = EXPECTED - COUNTED.keys()
    assert not missing, f"never seen: {sorted(missing)}"
    rare = {op: COUNTED[op, "OK"] for op in MEMBERSHIP if COUNTED[op, "OK"] < DONE_MIN}
    assert not rare, f"done less than {DONE_MIN} times: {rare}"


def _expected() -> set[tuple[str, str]]:
    """What the random calls must have met, or they are not worth their time."""
    table = {
        "header": "EMPTY WRONG_INCARNATION OLD_GENERATION BAD_FORMAT",
        "hello": "OK",
        "mint": "OK EXISTS",
        "install": "OK EXISTS BAD_COMMAND",
        "admit": "OK NOT_MEMBER OLD_VERSION NEW_VERSION",
        "register": "OK EXISTS BAD_COMMAND",
        "renew": "OK UNKNOWN DEAD REVOKED STALE",
        "bury": "OK UNKNOWN DEAD STALE",
        "observe": "OK",
        "place": "OK STALE",
        "prepare": "OK UNKNOWN DEAD FENCED HELD BAD_COMMAND",
        "prepare carry": "OK",
        "prepare waited": "OK",
        "append": "OK UNKNOWN DEAD FENCED GAP CONFLICT BAD_COMMAND",
        "draft": "OK EXISTS STALE CONFLICT BAD_COMMAND",
        "draft_page": "OK EXISTS UNKNOWN STALE CONFLICT BAD_COMMAND",
        "draft_data": "OK EXISTS UNKNOWN STALE CONFLICT BAD_COMMAND",
        "draft_log": "OK EXISTS UNKNOWN STALE GAP CONFLICT BAD_COMMAND",
        "draft_local": "OK EXISTS UNKNOWN STALE GAP CONFLICT BUSY CLOSED BAD_COMMAND",
        "ripe": "OK",
        "draft_state": "OK EXISTS UNKNOWN STALE",
        "undraft": "OK EXISTS STALE",
        "draft_read": "OK CLOSED UNRIPE BUSY",
        "release": "OK FENCED",
        "handover": "OK HELD",
        "revoke": "OK HELD",
        "read": "OK FENCED LAGGING BUSY CLOSED UNRIPE BAD_COMMAND",
        "scan": "OK FENCED LAGGING BUSY CLOSED BAD_COMMAND",
        "range": "OK",
        "history": "OK",
        "trim": "OK FENCED",
        "page": "OK BAD_COMMAND",
        "stage": "OK FENCED STALE BAD_COMMAND",
        "unstage": "OK FENCED STALE",
        "adopt": "OK FENCED STALE LAGGING",
        "nonsense": "BAD_COMMAND",
        "versions": "0 1 2 3 4",
        "ballot": "OK STALE SEALED",
        "accept": "OK STALE CONFLICT SEALED",
        "seal": "OK CONFLICT STALE BAD_COMMAND",
        "dump": "OK UNDECIDED",
        "merge_tail": "OK UNDECIDED BAD_COMMAND",
        "merge": "OK UNDECIDED GAP CONFLICT OLD_VERSION NEW_VERSION BAD_COMMAND",
        "finish_install": "OK UNDECIDED GAP CONFLICT OLD_VERSION NEW_VERSION",
        "learn": "OK EXISTS STALE BAD_COMMAND",
        "learned": "OK EXISTS STALE",
        "learn_page": "OK EXISTS STALE BAD_COMMAND",
        "learn_data": "OK EXISTS STALE LAGGING",
        "learn_log": "OK EXISTS STALE GAP CONFLICT BAD_COMMAND",
    }
    return {(op, code) for op, codes in table.items() for code in codes.split()}


EXPECTED = _expected()
MEMBERSHIP = [
    *("ballot", "accept", "seal", "dump", "merge_tail", "merge", "finish_install"),
    *("learn", "learned", "learn_page", "learn_data", "learn_log"),
    *("prepare carry", "prepare waited"),
]
