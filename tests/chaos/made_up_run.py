"""A run as if it had happened: small, and wrong where a test wants it to be."""

from __future__ import annotations

from dataclasses import replace

from controlplane.bench.machine_facts import MachineFacts
from controlplane.chaos.log_reader import ShardLog
from controlplane.chaos.runner import Run
from controlplane.chaos.scenario import Kill, Scenario
from controlplane.chaos.struck import Evidence, Struck
from controlplane.chaos.verdicts import Seen, judge
from controlplane.requests import (
    Consistency,
    Found,
    Provenance,
    Put,
    Read,
    Role,
    Value,
    Write,
    Written,
)
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from shards.entry import write_entry

KEY = "{a}/k"
MACHINE = MachineFacts("a processor", 2, 1.0, "6", "3.11", "ext4", 1.0, "abc", "today")
WRITES = 200
FAULT_S, LOAD_S = 1.0, 3.0


def scenario(**changed: object) -> Scenario:
    """One kill, one second after the start."""
    fault = Kill(at_s=FAULT_S, do="kill", to="leader of s00")
    return Scenario(name="made-up", shows="Nothing.", lasts_s=LOAD_S, faults=(fault,), **changed)


def history() -> list[Operation]:
    """A client that writes all the time; the epoch changes at the fault, after half a second."""
    found = []
    for n in range(1, WRITES + 1):
        epoch = 1 if n <= WRITES // 2 else 2
        at_ms = n * 9 if epoch == 1 else n * 9 + 500
        put = Put("", KEY, b"v%d" % n)
        write = Write("s00", (put,), op_id=f"c0-{n}")
        outcome = Written("s00", epoch, n)
        found.append(Operation("c0", "n1", write, at_ms, at_ms + 4, at_ms + 4, outcome))
    return found


def log() -> ShardLog:
    """The log that those writes left."""
    blobs, chain = [], 0
    for n in range(1, WRITES + 1):
        epoch = 1 if n <= WRITES // 2 else 2
        effect = ["p", "a", KEY, b"v%d" % n, n]
        entry = write_entry(n - 1, chain, epoch, [effect], f"c0-{n}", "digest", [1, n])
        chain = entry.chain
        blobs.append(entry.blob)
    return ShardLog(blobs)


def last() -> list[Operation]:
    """The last write, which is known already, and a strong read of it."""
    end_ms = 4_000
    put = Put("", KEY, b"v%d" % WRITES)
    origin = Provenance("s00", 2, WRITES, 0, Role.LEADER, "n2")
    found = Found((Value(WRITES, put.value),), origin)
    read = Read("s00", (KEY,), Consistency.STRONG)
    return [Operation("last", "n2", read, end_ms, end_ms, end_ms + 2, found)]


def seen(**changed: object) -> Seen:
    """What was seen of it; `changed` fields are wrong on purpose."""
    final = last()
    struck = Struck("kill", "kill to leader of s00", ("n1",), 1_000, 1_100)
    struck.evidence = [Evidence("a counter", 0, 1, seen=True)]
    whole = Seen(
        scenario=scenario(),
        history=[*history(), *final],
        struck=[struck],
        logs={"s00": log()},
        log_findings=Findings(),
        last=final,
        load_ended_ms=round(LOAD_S * 1_000),
        whole_after_ms=20,
    )
    return replace(whole, **changed)


def run(**changed: object) -> Run:
    """The run, judged."""
    saw = seen(**changed)
    leaders = {"s00": {1: "n1", 2: "n2"}}
    return Run(saw.scenario, "7", "a fleet of paper", MACHINE, saw, judge(saw), leaders)


def wrong(of: Run) -> list[str]:
    """The verdicts that do not hold."""
    return [verdict.name for verdict in of.verdicts if not verdict.holds]
