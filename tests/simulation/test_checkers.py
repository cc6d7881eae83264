"""Every checker finds what it is for, in a history made by hand, and nothing in a good one."""

from dataclasses import replace

import pytest

from controlplane.requests import (
    Compare,
    Consistency,
    Found,
    Problem,
    Provenance,
    Put,
    Read,
    Refused,
    Role,
    Scan,
    Scanned,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.leases import Claim, LeaseChecker
from controlplane.simulator.checkers.logs import Accepted, LogChecker
from controlplane.simulator.checkers.maps import MapChecker, MapRow
from controlplane.simulator.checkers.promises import PromiseChecker, Promised
from controlplane.simulator.checkers.reads import check_reads
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.writes import check_writes
from regions.codec import pack

STORES = ("a", "b", "c")


def voters(shard: str, version: int) -> tuple[str, ...]:
    """Version 2 has another store in the place of the last one."""
    return STORES if version == 1 else ("a", "b", "d")


def found(findings: Findings) -> list[str]:
    return [violation.invariant for violation in findings.violations]


# -- promises

GOOD = Promised("a", "s", promised=5, floor=3, granted=5, holder="p/1")


@pytest.mark.parametrize(
    ("later", "invariants"),
    [
        (replace(GOOD, promised=6, granted=6, holder="q/1"), []),
        (replace(GOOD, holder=""), []),
        (replace(GOOD, promised=4, granted=4), ["1 promises never decrease"]),
        (replace(GOOD, floor=2), ["1 promises never decrease"]),
        (replace(GOOD, granted=6), ["1 no grant above the promise"]),
    ],
)
def test_promises(later: Promised, invariants: list[str]) -> None:
    findings = Findings()
    checker = PromiseChecker(findings, voters)
    checker.saw(GOOD, 1)
    checker.saw(later, 2)
    assert found(findings) == invariants


def test_an_epoch_won_twice() -> None:
    findings = Findings()
    checker = PromiseChecker(findings, voters)
    for store, holder in (("a", "p/1"), ("b", "p/1"), ("c", "q/1")):
        checker.saw(replace(GOOD, store=store, holder=holder), 1)
    assert (found(findings), checker.epochs_won) == ([], 1)
    checker.saw(replace(GOOD, store="b", holder="q/1"), 2)
    assert found(findings) == ["2 one session an epoch"]


def test_grants_of_two_versions_do_not_add_up() -> None:
    findings = Findings()
    checker = PromiseChecker(findings, voters)
    checker.saw(replace(GOOD, store="a", holder="p/1"), 1)
    checker.saw(replace(GOOD, store="b", holder="q/1", version=2), 1)
    checker.saw(replace(GOOD, store="c", holder="q/1", version=2), 1)  # votes no more
    assert checker.epochs_won == 0
    checker.saw(replace(GOOD, store="d", holder="q/1", version=2), 1)
    assert checker.epochs_won == 1


# -- leases


def lease_findings(*samples: dict[str, list[Claim]]) -> list[str]:
    """Each sample is who claims what at one moment; the first named has just done something."""
    findings = Findings()
    now: dict[str, list[Claim]] = {}
    checker = LeaseChecker(findings, now.items)
    for at_ms, sample in enumerate(samples):
        now.clear()
        now.update(sample)
        process, claims = next(iter(sample.items()))
        checker.claimed(process, claims, at_ms)
    return found(findings)


def test_leases_that_follow_each_other_are_fine() -> None:
    assert lease_findings({"p": [("s", 1, "p/1")]}, {"q": [("s", 2, "q/1")], "p": []}) == []


def test_leases_that_overlap_are_found() -> None:
    overlap = {"q": [("s", 2, "q/1")], "p": [("s", 1, "p/1")]}
    assert lease_findings({"p": [("s", 1, "p/1")]}, overlap) == ["3 leases are disjoint"]


def test_a_leader_that_comes_back_with_its_old_epoch_is_found() -> None:
    found_here = lease_findings(
        {"p": [("s", 1, "p/1")]}, {"q": [("s", 2, "q/1")]}, {"p": [("s", 1, "p/1")]}
    )
    assert found_here == ["3 epochs of leaders grow"]


# -- logs


def entry(epoch: int, name: str, *effects: list[object]) -> bytes:
    return pack([str(epoch), name, f"d-{name}", 0, False, list(effects)])


class Stores:
    """Three logs, and the checker that watches them."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.checker = LogChecker(self.findings, voters)
        self.logs: dict[str, dict[int, bytes]] = {store: {} for store in STORES}

    def append(self, store: str, epoch: int, before: int, *blobs: bytes) -> None:
        log = self.logs[store]
        for sequence, blob in enumerate(blobs, before + 1):
            log[sequence] = blob
        covered = before + len(blobs)
        append = Accepted(store, "s", epoch, before, list(blobs), covered)
        self.checker.accepted(append, log.get, 1)

    def holds(self, store: str, index: int) -> None:
        self.checker.holds(store, "s", index, self.logs[store].get, 1)

    @property
    def found(self) -> list[str]:
        return found(self.findings)


def test_a_log_is_committed_by_a_majority_of_one_epoch() -> None:
    stores = Stores()
    one, two = entry(1, "one"), entry(1, "two")
    stores.append("a", 1, 0, one, two)
    assert len(stores.checker.logs["s"]) == 0
    stores.append("b", 1, 0, one)
    assert stores.checker.logs["s"].blobs == [one]
    stores.append("b", 1, 1, two)
    assert stores.checker.logs["s"].blobs == [one, two]
    stores.holds("a", 2)
    stores.holds("c", 0)
    assert stores.found == []


def test_old_entries_on_a_majority_are_not_committed() -> None:
    stores = Stores()
    old, opening = entry(1, "old"), entry(2, "")
    stores.append("a", 1, 0, old)
    stores.append("a", 2, 0, old)
    stores.append("b", 2, 0, old)
    assert len(stores.checker.logs["s"]) == 0
    stores.append("a", 2, 1, opening)
    stores.append("b", 2, 1, opening)
    assert stores.checker.logs["s"].blobs == [old, opening]


def test_an_append_below_a_promise_is_found() -> None:
    stores = Stores()
    stores.checker.promised("a", "s", 2)
    stores.append("a", 1, 0, entry(1, "late"))
    assert stores.found == ["4 no append below the promise"]


def test_appends_after_a_fence_at_a_majority_are_found() -> None:
    stores = Stores()
    for store in ("a", "b"):
        stores.checker.promised(store, "s", 2)
    stores.append("c", 1, 0, entry(1, "late"))
    assert stores.found == []  # a minority may still take it
    stores.append("a", 1, 0, entry(1, "late"))
    assert "4 fenced epochs reach no majority" in stores.found


def test_a_later_leader_that_rewrites_what_is_committed_is_found() -> None:
    stores = Stores()
    for store in ("a", "b"):
        stores.append(store, 1, 0, entry(1, "kept"))
    stores.append("c", 2, 0, entry(2, "other"))
    assert stores.found == ["5 later leaders keep what is committed"]


def test_a_fork_is_found_even_when_only_its_end_is_seen() -> None:
    stores = Stores()
    for store in ("a", "b"):
        stores.append(store, 1, 0, entry(1, "kept"))
    stores.logs["c"][1] = stores.logs["a"][1] = entry(1, "other")
    for store in ("c", "a"):
        stores.append(store, 2, 1, entry(2, ""))
    assert stores.found == ["5 later leaders keep what is committed"]


def test_a_commit_index_beyond_what_is_committed_is_found() -> None:
    stores = Stores()
    stores.append("a", 1, 0, entry(1, "one"))
    stores.holds("a", 1)
    assert stores.found == ["6 nothing is applied that is not committed"]


def test_a_commit_index_over_another_entry_is_found() -> None:
    stores = Stores()
    for store in ("a", "b"):
        stores.append(store, 1, 0, entry(1, "one"))
    stores.logs["c"][1] = entry(1, "other")
    stores.holds("c", 1)
    assert stores.found == ["6 what is committed is the same everywhere"]


def test_a_commit_index_that_goes_back_is_found() -> None:
    stores = Stores()
    for store in ("a", "b"):
        stores.append(store, 1, 0, entry(1, "one"))
    stores.holds("a", 1)
    stores.holds("a", 0)
    assert stores.found == ["6 commit indexes never decrease"]


# -- what clients see

LOG = Replay(
    [
        entry(1, "", ["h", "1", b""]),
        entry(1, "w1", ["p", "p", "k", b"one", 2]),
        entry(1, "w2", ["p", "p", "k", b"two", 3]),
        entry(1, "w1", ["p", "p", "k", b"again", 4]),
        entry(1, "w3", ["d", "p", "k"]),
    ]
)


def write(op_id: str, position: int | None, *, data: bytes = b"", version: int = -2) -> Operation:
    compares = () if version == -2 else (Compare("k", version),)
    request = Write("s", (Put("p", "k", data),), compares, op_id, "d")
    outcome = None if position is None else Written("s", 1, position)
    return Operation("c", "n", request, 10, 15, 20, outcome)


def read(position: int, value: Value | None, **changes: object) -> Operation:
    fields = {"consistency": Consistency.STRONG, "staleness_ms": 0, "started_ms": 30} | changes
    request = Read("s", ("k",), fields["consistency"], fields.get("max_ms"), fields.get("asked", 0))  # type: ignore[arg-type]
    origin = Provenance("s", 1, position, fields["staleness_ms"], Role.LEADER, "a")  # type: ignore[arg-type]
    started_ms = int(fields["started_ms"])  # type: ignore[call-overload]
    outcome = Found((value,), origin)
    return Operation("c", "n", request, started_ms, started_ms + 1, started_ms + 2, outcome)


@pytest.mark.parametrize(
    ("operations", "invariants"),
    [
        ([write("w1", 2, data=b"one"), write("w2", 3, data=b"two", version=2)], []),
        ([write("w9", None)], []),
        ([write("w9", 4)], ["8 acknowledged writes stay"]),
        ([write("w2", 4, data=b"two")], ["8 acknowledged writes are done once"] * 1),
        ([write("w2", 3, data=b"two", version=1)], ["8 preconditions held"]),
        ([write("w2", 3, data=b"other")], ["8 effects are as asked"]),
    ],
)
def test_writes(operations: list[Operation], invariants: list[str]) -> None:
    findings = Findings()
    check_writes(operations, {"s": LOG}, findings)
    assert found(findings)[: len(invariants)] == invariants
    assert bool(findings.violations) == bool(invariants)


def test_a_write_that_was_applied_again_is_found() -> None:
    blobs = [
        entry(1, "w", ["p", "p", "k", b"one", 1]),
        entry(1, "", ["x", 1]),  # its id is forgotten ...
        entry(1, "w", ["p", "p", "k", b"one", 3]),  # ... so it is done again
    ]
    findings = Findings()
    check_writes([write("w", 1, data=b"one")], {"s": Replay(blobs)}, findings)
    assert found(findings) == ["8 acknowledged writes are done once"]


def test_a_refused_write_that_was_done_is_found() -> None:
    refused = replace(write("w2", None), outcome=Refused(Problem.NO_QUORUM, ""))
    unknown = replace(refused, outcome=Refused(Problem.UNKNOWN_OUTCOME, ""))
    findings = Findings()
    check_writes([refused, unknown], {"s": LOG}, findings)
    assert found(findings) == []
    check_writes([refused], {"s": LOG}, findings)
    assert found(findings) == ["8 what is refused is not done"]


@pytest.mark.parametrize(
    ("operation", "invariants"),
    [
        (read(3, Value(3, b"two")), []),
        (read(5, None), []),
        (read(4, Value(4, b"again")), ["reads show what the log says"]),
        (read(3, Value(2, b"one")), ["reads show what the log says"]),
        (read(6, None), ["only what is committed is shown"]),
        (read(2, Value(2, b"one"), started_ms=21), ["strong reads are linearizable"]),
        (read(2, Value(2, b"one"), started_ms=20), []),
        (
            read(2, Value(2, b"one"), consistency=Consistency.BOUNDED, staleness_ms=16, max_ms=20),
            [],
        ),
        (
            read(2, Value(2, b"one"), consistency=Consistency.BOUNDED, staleness_ms=15, max_ms=20),
            ["staleness is truthful"],
        ),
        (
            read(2, Value(2, b"one"), consistency=Consistency.BOUNDED, staleness_ms=16, max_ms=9),
            ["bounded reads keep their bound"],
        ),
        (
            read(2, Value(2, b"one"), consistency=Consistency.SESSION, staleness_ms=None, asked=3),
            ["7 sessions never go back"],
        ),
        (read(1, None, consistency=Consistency.ANY, staleness_ms=None), []),
    ],
)
def test_reads(operation: Operation, invariants: list[str]) -> None:
    findings = Findings()
    check_reads([write("w2", 3, data=b"two"), operation], {"s": LOG}, findings)
    assert found(findings) == invariants


def test_strong_reads_never_go_back() -> None:
    findings = Findings()
    older = read(2, Value(2, b"one"), started_ms=40)
    check_reads([read(3, Value(3, b"two")), older], {"s": LOG}, findings)
    assert found(findings) == ["strong reads are linearizable"]


def test_scans() -> None:
    origin = Provenance("s", 1, 3, 0, Role.LEADER, "a")
    scan = Operation("c", "n", Scan("s", "p"), 30, 31, 32)
    good = replace(scan, outcome=Scanned((("k", Value(3, b"two")),), False, origin))
    bad = replace(scan, outcome=Scanned((), False, origin))
    findings = Findings()
    check_reads([good], {"s": LOG}, findings)
    assert found(findings) == []
    check_reads([bad], {"s": LOG}, findings)
    assert found(findings) == ["reads show what the log says"]


def test_findings_keep_the_first_ones_once() -> None:
    findings = Findings()
    for number in range(100):
        findings.add("x", number, "same")
        findings.add("x", number, str(number))
    assert len(findings.violations) == 20
    assert findings.violations[0].at_ms == 0


def test_without_clocks_only_what_needs_none_is_judged() -> None:
    late = read(2, Value(2, b"one"), started_ms=21)
    by_quorum = replace(late, request=replace(late.request, quorum=True))  # type: ignore[type-var]
    young = read(2, Value(2, b"one"), consistency=Consistency.BOUNDED, staleness_ms=1, max_ms=9)
    wrong = read(3, Value(2, b"one"))
    acknowledged = write("w2", 3, data=b"two")
    for operation, invariants in (
        (late, []),
        (young, []),
        (by_quorum, ["strong reads are linearizable"]),
        (wrong, ["reads show what the log says"]),
    ):
        findings = Findings()
        check_reads([acknowledged, operation], {"s": LOG}, findings, trusts_clocks=False)
        assert found(findings) == invariants


# -- the map

ROWS = (MapRow("a", "g", 0, 100, ("eu",)), MapRow("b", "g", 100, 16_384, ("eu",)))


def map_findings(*shown: tuple[str, int, tuple[MapRow, ...]]) -> list[str]:
    findings = Findings()
    checker = MapChecker(findings)
    for at_ms, (process, version, rows) in enumerate(shown):
        checker.shown(process, version, rows, at_ms)
    return found(findings)


def test_a_map_that_grows_and_is_known_late_is_fine() -> None:
    later = (ROWS[0], replace(ROWS[1], regions=("us",)))
    assert map_findings(("p", 2, ROWS), ("p", 3, later), ("q", 2, ROWS[::-1])) == []


def test_a_map_that_forks_is_found() -> None:
    fork = (ROWS[0], replace(ROWS[1], regions=("us",)))
    assert map_findings(("p", 2, ROWS), ("q", 2, fork)) == ["the map has no forks"]
    assert map_findings(("p", 2, ROWS), ("q", 2, ROWS[:1])) == ["the map has no forks"]


def test_a_map_that_goes_back_is_found() -> None:
    assert map_findings(("p", 3, ROWS), ("p", 2, ROWS)) == ["map versions never decrease"]


@pytest.mark.parametrize(
    "rows",
    [
        (ROWS[0], replace(ROWS[1], first_slot=99)),
        (ROWS[0], replace(ROWS[1], end_slot=16_385)),
    ],
)
def test_slots_that_two_shards_have_or_nobody_can_are_found(rows: tuple[MapRow, ...]) -> None:
    assert map_findings(("p", 2, rows)) == ["a slot belongs to one shard"]


def test_a_store_that_went_back_is_judged_anew() -> None:
    findings = Findings()
    checker = PromiseChecker(findings, voters)
    checker.saw(GOOD, 1)
    checker.forgot("a")
    checker.saw(replace(GOOD, promised=4, granted=4), 2)
    assert found(findings) == []
