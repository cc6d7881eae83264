"""Benchmark `split` on a small shard: it runs, and its promises hold. Smoke, not figures."""

from __future__ import annotations

from controlplane.bench.resharding import Splitting, judged, measure_splits

SMALL = Splitting(
    shard_bytes=3_000_000, value_bytes=8_000, writes_per_second=100, seconds=1.0, rounds=1
)


def test_a_small_shard_is_split_and_merged_and_nothing_is_lost() -> None:
    told: list[str] = []
    found = measure_splits(SMALL, told.append)
    assert len(told) == 1
    (run,) = found.runs
    assert [change["kind"] for change in run["changes"]] == ["split", "merge"]
    assert run["failed"] == {}
    assert (run["sessions_lost"], run["retries_lost"]) == (0, 0)
    assert run["writes"] > 100
    assert all(len(change["pauses_ms"]) == 2 for change in run["changes"])


def test_a_failed_write_or_a_long_pause_is_a_promise_broken() -> None:
    changes = [
        {"kind": "split", "took_s": 2.0, "pauses_ms": [4.0, 5.0]},
        {"kind": "merge", "took_s": 2.0, "pauses_ms": [6.0, 26.0]},
    ]
    run = {
        "shard_bytes": 1, "round_trip_ms": 1.0, "round_trip_p99_ms": 5.0, "changes": changes,
        "writes": 10, "write_p99_ms": 1.0, "failed": {"no": 1}, "sessions": 9, "sessions_lost": 0,
        "retries": 2, "retries_lost": 1,
    }  # fmt: skip
    figures = {each.what: each.reached for each in judged(SMALL, run).figures}
    assert figures == {
        "a write by itself, p50: a round trip to a quorum": None,
        "... p99": None,
        "split: from the order to the new map, p50": None,
        "split: pause of writes, p50 of 2": True,
        "split: pause of writes, the longest": True,
        "merge: from the order to the new map, p50": None,
        "merge: pause of writes, p50 of 2": False,
        "merge: pause of writes, the longest": False,
        "writes not acknowledged, of 10": False,
        "reads of sessions that missed a write, of 9": True,
        "retries that were not known, of 2": False,
        "writes at a fixed rate, p99": None,
    }
