"""A run is judged: it holds when all is as promised, and each thing that is not is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.chaos.log_reader import ShardLog
from controlplane.chaos.scenario import Expected, Forget
from controlplane.chaos.struck import Evidence, Struck
from controlplane.requests import Found, Provenance, Role, Value, Written
from tests.chaos import made_up_run
from tests.chaos.made_up_run import history, last, log, run, scenario, seen, wrong


def test_a_run_as_promised_holds() -> None:
    done = run()
    assert wrong(done) == []
    assert done.holds


def test_a_lost_write_is_found_in_the_log() -> None:
    shorter = ShardLog(log().blobs[:-1])
    assert "acknowledged writes are in the final log, once" in wrong(run(logs={"s00": shorter}))


def test_a_log_that_was_not_read_whole_is_no_proof() -> None:
    holed = ShardLog(log().blobs, gap="entries 7 to 9 were gone")
    names = wrong(run(logs={"s00": holed}))
    assert names == [
        "acknowledged writes are in the final log, once",
        "what was read is what the log says",
    ]


def test_a_stale_strong_read_is_found_twice_over() -> None:
    (read,) = last()
    old = Found((Value(3, b"v3"),), Provenance("s00", 2, 3, 0, Role.LEADER, "n2"))
    stale = [replace(read, outcome=old)]
    names = wrong(run(history=[*history(), *stale], last=stale))
    assert names[:2] == [
        "one order explains what all clients were told",
        "strong reads are current, and ages are truthful",
    ]


def test_a_write_done_twice_is_found() -> None:
    twice = history()
    again = replace(twice[10], outcome=Written("s00", 1, 12))
    done = run(history=[*twice, again, *last()])
    assert "acknowledged writes are in the final log, once" in wrong(done)


def test_stores_that_differ_in_what_is_committed_are_found() -> None:
    saw = seen()
    saw.log_findings.add("what is committed is the same everywhere", 0, "s1 holds another entry")
    assert "acknowledged writes are in the final log, once" in wrong(
        run(log_findings=saw.log_findings)
    )


@pytest.mark.parametrize("series", ["stale_accepted", "diverged"])
def test_counters_that_must_stay_0_are_looked_at(series: str) -> None:
    assert wrong(run(**{series: 1.0})) == ["no stale write was accepted, and stores agree"]


def test_a_fleet_at_rest_proves_nothing() -> None:
    asks_more = scenario(expect=Expected(ops_per_s_before=200))
    assert wrong(run(scenario=asks_more)) == ["there was load before the first fault"]


@pytest.mark.parametrize(
    "struck",
    [
        Struck("kill", "kill", ("n1",), 1, 2, evidence=[Evidence("c", 0, 0, seen=False)]),
        Struck("kill", "kill", ("n1",), 1, 2),
        Struck("kill", "kill", (), 1, 2, failed="nobody leads"),
    ],
    ids=["not shown", "no counter", "not done"],
)
def test_a_fault_that_nobody_felt_is_none(struck: Struck) -> None:
    assert wrong(run(struck=[struck])) == ["every fault was seen in a counter"]


def test_a_run_without_a_fault_proves_nothing() -> None:
    assert wrong(run(struck=[])) == ["every fault was seen in a counter"]


def test_the_last_operations_must_succeed() -> None:
    (read,) = last()
    failed = [replace(read, outcome=None, ended_ms=None)]
    assert "the last operations succeeded" in wrong(run(last=failed))


def test_a_fleet_that_is_not_whole_again_is_named() -> None:
    done = run(whole_after_ms=None, not_whole="n1 does not answer")
    assert wrong(done) == ["the fleet was whole again"]
    assert any(v.told == "n1 does not answer" for v in done.verdicts)


@pytest.mark.parametrize(
    ("expect", "name"),
    [
        (Expected(leaders_change=False), "leaders did not change"),
        (Expected(without_leader_ms_max=500), "no failover took longer than 500 ms"),
        (Expected(pause_ms_max=500), "writes never paused longer than 500 ms"),
    ],
)
def test_what_a_scenario_expects_is_held_against_the_run(expect: Expected, name: str) -> None:
    assert wrong(run(scenario=scenario(expect=expect))) == [name]


@pytest.mark.parametrize("state", ["refused", "down", "not known"])
def test_a_store_that_forgot_must_end_as_expected(state: str) -> None:
    forgets = scenario().model_copy(
        update={"faults": (Forget(at_s=1.0, do="forget", to="store s1"),)}
    )
    name = "a store that forgot is up in the end"
    assert wrong(run(scenario=forgets, stores_after={"s1": state})) == [name]
    assert wrong(run(scenario=forgets, stores_after={})) == [name]
    assert wrong(run(scenario=forgets, stores_after={"s1": "up"})) == []


def test_the_time_without_a_leader_is_what_clients_saw() -> None:
    (failover,) = run().seen.failovers
    assert (failover.shard, failover.epoch) == ("s00", 2)
    assert failover.without_leader_ms == 509
    assert failover.at_ms == made_up_run.WRITES // 2 * 9 + 9 + 504
