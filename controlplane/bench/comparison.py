"""Ours and the peer's, alternating in one run: whatever disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from controlplane.bench.load import LoadResult

Measure = Callable[[], LoadResult]
Tell = Callable[[str], None]


def alternate(
    contenders: Sequence[tuple[str, Measure]], rounds: int, tell: Tell
) -> dict[str, list[LoadResult]]:
    """Measure each contender once a round, in turn; a round begins with another one each time."""
    results: dict[str, list[LoadResult]] = {name: [] for name, _ in contenders}
    for number in range(rounds):
        first = number % len(contenders)
        for name, measure in (*contenders[first:], *contenders[:first]):
            result = measure()
            results[name].append(result)
            tell(
                f"{name}, {result.clients} clients: {result.per_second:,.0f}/s, "
                f"p50 {result.latency.p50_ms} ms, p99 {result.latency.p99_ms} ms"
            )
    return results


def typical(results: Sequence[LoadResult]) -> LoadResult:
    """The round of middle throughput: one that really was, with its own latencies."""
    return sorted(results, key=lambda result: result.per_second)[len(results) // 2]


def runs_of(results: dict[str, list[LoadResult]]) -> tuple[dict[str, Any], ...]:
    """Every round as plain data."""
    return tuple(
        {"of": name, **asdict(each)} for name, rounds in results.items() for each in rounds
    )
