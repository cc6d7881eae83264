"""What a leader decides about a write: at once, after a look at committed state, or never."""

import pytest

from shards import admission
from shards.admission import (
    ID_MEMORY_MS,
    PRESENT,
    Admission,
    Admit,
    Change,
    Decision,
    Found,
    Lookup,
    Proposal,
    Refuse,
    Replay,
    compare_failed,
)
from shards.reserved import FLOOR_KEY

NOTHING = Found({}, {}, 0)


def put(key: str, **more: object) -> Proposal:
    return Proposal((Change("p", key, b"v"),), **more)  # type: ignore[arg-type]


def found(versions: dict[str, int] | None = None, floor: int = 0, **ids: tuple[int, str]) -> Found:
    known = {op: (seq, digest, ["written", seq]) for op, (seq, digest) in ids.items()}
    return Found(versions or {}, known, floor)


@pytest.mark.parametrize(
    ("proposal", "decision"),
    [
        (put("k"), Admit([["p", "p", "k", b"v", 7]], ["written", 7])),
        (Proposal((Change("p", "k", None),)), Admit([["d", "p", "k"]], ["written", 7])),
        (Proposal(()), Admit([], ["written", 7])),
        (put("k", op_id="o"), Lookup((), ("o",))),
        (put("k", compares=(("k", 0), ("l", 3))), Lookup(("k", "l"), ())),
        (put("k", since=0), Lookup((FLOOR_KEY,), ())),
        (put("k", compares=(("k", 0),), since=0, op_id="o"), Lookup(("k", FLOOR_KEY), ("o",))),
    ],
)
def test_what_is_decided_at_first_sight(proposal: Proposal, decision: Decision) -> None:
    assert Admission().decide(proposal, 7) == decision


@pytest.mark.parametrize(
    ("wanted", "version", "holds"),
    [
        (0, 0, True),
        (0, 4, False),
        (4, 4, True),
        (4, 5, False),
        (4, 0, False),
        (PRESENT, 4, True),
        (PRESENT, 0, False),
    ],
)
def test_a_compare_holds_for_the_version_or_for_any_there_is(
    wanted: int, version: int, holds: bool
) -> None:
    proposal = put("k", compares=(("k", wanted),))
    decision = Admission().decide(proposal, 7, found({"k": version} if version else {}))
    assert isinstance(decision, Admit) == holds
    if isinstance(decision, Refuse):
        assert (decision.reason, decision.version) == ("compare", version)


def test_own_writes_under_way_count_before_anything_committed() -> None:
    desk = Admission()
    desk.decide(put("k"), 7)
    assert isinstance(desk.decide(put("k", compares=(("k", 7),)), 8), Admit)
    stale = found({"k": 3})
    refused = desk.decide(put("k", compares=(("k", 3),), op_id="o"), 9, stale)
    assert refused == Admit([], ["compare-failed", "k", 8])
    desk.decide(Proposal((Change("p", "k", None),)), 10)
    assert isinstance(desk.decide(put("k", compares=(("k", 0),)), 11), Admit)


def test_a_compare_that_fails_by_a_write_under_way_is_answered_when_that_is_committed() -> None:
    desk = Admission()
    desk.decide(put("k"), 7)
    refused = desk.decide(put("k", compares=(("k", 3),)), 8)
    assert refused == Replay(7, ["compare-failed", "k", 7])


def test_a_refused_compare_under_an_id_is_logged_so_that_a_retry_hears_the_same() -> None:
    desk = Admission()
    cas = put("k", compares=(("k", 3),), op_id="o", digest="d")
    assert desk.decide(cas, 7, found({"k": 4})) == Admit([], ["compare-failed", "k", 4])
    assert desk.decide(cas, 8) == Replay(7, ["compare-failed", "k", 4])


def test_a_retry_joins_what_is_pending_and_gets_what_is_stored() -> None:
    desk, write = Admission(), put("k", op_id="o", digest="d")
    assert isinstance(desk.decide(write, 7, NOTHING), Admit)
    assert desk.decide(write, 8) == Replay(7, ["written", 7])
    assert desk.decide(write, 8, NOTHING) == Replay(7, ["written", 7])
    assert Admission().decide(write, 8, found(o=(3, "d"))) == Replay(3, ["written", 3])


@pytest.mark.parametrize("committed", [False, True])
def test_an_id_used_for_something_else_is_refused(committed: bool) -> None:
    desk, other = Admission(), put("k", op_id="o", digest="other")
    if not committed:
        desk.decide(put("k", op_id="o", digest="d"), 7, NOTHING)
    decision = desk.decide(other, 8, found(o=(3, "d")) if committed else None)
    assert isinstance(decision, Refuse)
    assert decision.reason == "mismatch"


@pytest.mark.parametrize(("since", "reason"), [(4, "too-old"), (5, None), (6, None)])
def test_a_retry_from_before_the_floor_is_not_executed(since: int, reason: str | None) -> None:
    decision = Admission().decide(put("k", since=since), 9, found(floor=5))
    assert (decision.reason if isinstance(decision, Refuse) else None) == reason


def test_the_floor_is_read_once() -> None:
    desk = Admission()
    desk.decide(put("k", since=9), 9, found(floor=5))
    assert isinstance(desk.decide(put("k", since=9), 10), Admit)
    assert isinstance(desk.decide(put("k", since=4), 10), Refuse)


def test_a_stored_outcome_is_answered_even_from_before_the_floor() -> None:
    retry = put("k", op_id="o", digest="d", since=1)
    assert Admission().decide(retry, 9, found(floor=5, o=(6, "d"))) == Replay(6, ["written", 6])


# -- memory


def test_what_a_lookup_was_promised_to_show_may_be_forgotten_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "_TABLE_MAX", 2)
    desk = Admission()
    for seq, key in enumerate(("a", "b", "c", "d"), 1):
        desk.decide(put(key), seq)
    desk.read_began(1, 2)
    desk.prune(4)
    cas = put("x", compares=(("c", 3), ("d", 4)))
    assert isinstance(desk.decide(cas, 5), Admit)
    assert desk.decide(put("x", compares=(("b", 2),)), 6) == Lookup(("b",), ())


def test_a_key_known_when_a_lookup_began_and_forgotten_when_it_ends_is_not_taken_for_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "_TABLE_MAX", 2)
    desk = Admission()
    for seq, key in enumerate(("a", "b", "c"), 1):
        desk.decide(put(key), seq)
    cas = put("a", compares=(("a", 0),), op_id="o")
    lookup = desk.decide(cas, 4)
    assert isinstance(lookup, Lookup)
    desk.read_began(1, 3)
    desk.decide(put("d"), 4)
    desk.prune(4)  # the answer shows what was committed up to 3, so `a` need not be kept
    desk.read_ended(1)
    committed = {"a": 1, "b": 2, "c": 3}
    answer = found({key: committed[key] for key in lookup.keys})
    assert desk.decide(cas, 5, answer) == Admit([], ["compare-failed", "a", 1])


def test_a_lookup_that_ended_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_TABLE_MAX", 0)
    desk = Admission()
    desk.decide(put("a"), 1)
    desk.read_began(1, 0)
    desk.prune(1)
    assert isinstance(desk.decide(put("x", compares=(("a", 1),)), 2), Admit)
    desk.read_ended(1)
    desk.read_ended(1)
    desk.prune(2)
    assert desk.decide(put("x", compares=(("a", 1),)), 3) == Lookup(("a",), ())


def written(desk: Admission, *sequences: int, op_bytes: int = 20) -> None:
    for seq in sequences:
        op_id = f"{seq:0{op_bytes}}"
        assert isinstance(desk.decide(put("k", op_id=op_id), seq, NOTHING), Admit)


def test_ids_are_forgotten_after_their_time_and_the_floor_tells() -> None:
    desk = Admission()
    written(desk, 1, 2)
    assert desk.expiry(0, 2) is None
    written(desk, 3)
    assert desk.expiry(ID_MEMORY_MS - 1, 3) is None
    effects = desk.expiry(ID_MEMORY_MS, 3)
    assert effects is not None
    assert effects[0] == ["x", 2]
    assert isinstance(desk.decide(put("k", since=1), 9), Refuse)
    assert isinstance(desk.decide(put("k", since=2), 9), Admit)


def test_where_no_id_was_used_nothing_is_ever_logged() -> None:
    desk = Admission()
    desk.decide(put("k"), 1)
    times = range(0, 5 * ID_MEMORY_MS, ID_MEMORY_MS // 20)
    assert [desk.expiry(at_ms, 1) for at_ms in times] == [None] * len(times)


def test_the_oldest_ids_go_when_there_are_too_many_and_no_more_than_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "ID_BYTES_MAX", 16_000)
    desk = Admission()
    for seq in range(1, 161):  # of 100 bytes each: up to the limit, and not above it
        written(desk, seq, op_bytes=36)
        assert desk.expiry(seq, seq) is None
    written(desk, 161, op_bytes=36)
    effects = desk.expiry(161, 161)
    assert effects is not None
    assert 1 <= effects[0][1] <= 20


def test_ids_of_a_moderate_rate_are_remembered_for_their_whole_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "ID_BYTES_MAX", 16_000)
    desk = Admission()
    steps = 20  # in the time that an id is remembered
    op_bytes = 8_000 // steps - 64
    for step in range(200):
        now_ms = step * ID_MEMORY_MS // steps
        effects = desk.expiry(now_ms, step)
        if effects is not None:
            assert effects[0][1] <= step - steps
        written(desk, step + 1, op_bytes=op_bytes)


def test_a_key_that_is_not_there_is_not_said_to_have_a_version() -> None:
    assert compare_failed("k", 0) == "key 'k' has no value"
    assert compare_failed("k", 7) == "key 'k' has version 7"
