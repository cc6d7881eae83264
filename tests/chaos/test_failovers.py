"""Leaderships and pauses, from what clients were told."""

from __future__ import annotations

from controlplane.chaos.failovers import Failover, Reign, failovers_of, longest_pause_ms, reigns_of
from controlplane.requests import Problem, Put, Refused, Write, Written
from controlplane.simulator.checkers.history import Operation


def acked(shard: str, epoch: int, at_ms: int, *, replayed: bool = False) -> Operation:
    write = Write(shard, (Put("", "k", b"v"),), op_id=f"{at_ms}")
    outcome = Written(shard, epoch, at_ms, replayed)
    return Operation("c", "n", write, at_ms - 1, at_ms, at_ms, outcome)


HISTORY = [
    acked("s0", 1, 100),
    acked("s0", 1, 200),
    acked("s0", 3, 900),
    acked("s0", 3, 1_000),
    acked("s1", 1, 150),
    acked("s1", 2, 400),
    acked("s0", 1, 950, replayed=True),
    Operation("c", "n", Write("s0", ()), 300, 310, 310, Refused(Problem.NO_LEADER, "")),
]


def test_reigns_go_from_the_first_acknowledgement_to_the_last() -> None:
    assert reigns_of(HISTORY) == {
        "s0": [Reign("s0", 1, 100, 200), Reign("s0", 3, 900, 1_000)],
        "s1": [Reign("s1", 1, 150, 150), Reign("s1", 2, 400, 400)],
    }


def test_failovers_are_the_gaps_between_by_time() -> None:
    assert failovers_of(reigns_of(HISTORY).values()) == [
        Failover("s1", 2, 400, 250),
        Failover("s0", 3, 900, 700),
    ]


def test_the_longest_pause_is_that_of_all_clients_together() -> None:
    assert longest_pause_ms(HISTORY, 100, 1_000) == 500
    assert longest_pause_ms(HISTORY, 0, 3_000) == 2_000
    assert longest_pause_ms([], 10, 60) == 50
