"""Nodes and stores killed and stopped at random while clients write and read through any node.

What the clients were told is then held against itself: nothing acknowledged is lost, nothing stale
was accepted or shown, and one order of each key explains all of it. The seed is printed;
`LEADPLANE_SEED` repeats the faults of a run.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from random import Random

import pytest

from controlplane.process_identity import ProcessIdentity
from controlplane.requests import Consistency, Found, Read, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.linearizability import check_linearizability
from controlplane.simulator.checkers.registers import check_registers
from tests.integration.fleet_on_test import FleetOnTest, wait_for
from tests.integration.http_clients import HttpClient

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

FAULTS_S = 30.0
ROUNDS_MAX = 4
"""A slow machine needs more of them until clients were told enough."""
PAUSE_S = (0.3, 2.0)
ASLEEP_S = (0.2, 4.0)
ASLEEP_MAX = 3
FAULTS_MIN = 8
CLIENTS = 4
KEYS = 40


class Faults:
    """Kills and stops processes of a fleet; whatever sleeps is woken at the end."""

    def __init__(self, fleet: FleetOnTest, chance: Random) -> None:
        self.done: Counter[str] = Counter()
        self._fleet = fleet
        self._chance = chance
        self._asleep: list[tuple[float, ProcessIdentity]] = []

    def run(self, seconds: float) -> None:
        """One fault after the other, some of them at the same time."""
        ends_s = time.monotonic() + seconds
        try:
            while time.monotonic() < ends_s:
                self._wake(time.monotonic())
                self._strike()
                time.sleep(self._chance.uniform(*PAUSE_S))
        finally:
            self._wake(float("inf"))

    def _strike(self) -> None:
        kind = self._chance.choice(("nodes", "nodes", "stores"))
        record = self._chance.choice(self._fleet.state()[kind])
        kills = self._chance.random() < 0.5
        process = self._fleet.process(kind, record["id"])
        if kills and process.signal(signal.SIGKILL):
            self.done[f"{kind} killed"] += 1
        elif len(self._asleep) < ASLEEP_MAX and process.signal(signal.SIGSTOP):
            self.done[f"{kind} stopped"] += 1
            until_s = time.monotonic() + self._chance.uniform(*ASLEEP_S)
            self._asleep.append((until_s, process))

    def _wake(self, now_s: float) -> None:
        for until_s, process in self._asleep:
            if until_s <= now_s:
                process.signal(signal.SIGCONT)
        self._asleep = [(until_s, p) for until_s, p in self._asleep if until_s > now_s]


def keys_of(fleet: FleetOnTest) -> dict[str, str]:
    """Some keys of several shards, each with its shard."""
    keys = [f"{{random-{number}}}/k" for number in range(KEYS)]
    return {key: fleet.access.get("/v1/route", key=key)["shard"] for key in keys}


def test_nothing_is_lost_and_nothing_is_stale_whatever_dies(fleet: FleetOnTest) -> None:
    seed = os.environ.get("LEADPLANE_SEED") or str(time.time_ns())
    print(f"LEADPLANE_SEED={seed}")  # noqa: T201 - whoever sees a failure needs it
    urls = {node["id"]: node["url"] for node in fleet.state()["nodes"]}
    keys = keys_of(fleet)
    assert len(set(keys.values())) > 3, "keys of one shard tell little"
    clients = [HttpClient(f"c{number}", urls, keys, seed) for number in range(CLIENTS)]
    faults = Faults(fleet, Random(seed))
    for client in clients:
        client.start()
    try:
        for _ in range(ROUNDS_MAX):
            faults.run(FAULTS_S)
            told_so_far = [operation for client in clients for operation in list(client.history)]
            if sum(faults.done.values()) >= FAULTS_MIN and is_enough(told_so_far):
                break
    finally:
        for client in clients:
            client.stop()
    fleet.until_whole()
    last = HttpClient("last", urls, keys, seed)
    for key in keys:
        wait_for(
            lambda key=key: isinstance(last.read(key, Consistency.STRONG), Found),  # type: ignore[misc]
            f"a last read of {key}",
        )
    history = [operation for client in (*clients, last) for operation in client.history]
    findings = Findings()
    check_registers(history, findings)
    searched = check_linearizability(history, findings)
    told = f"LEADPLANE_SEED={seed}, {dict(faults.done)}, {summary(history)}, {searched}"
    assert findings.violations == [], told
    assert sum(faults.done.values()) >= FAULTS_MIN, told
    assert len({kind for kind in faults.done if "killed" in kind}) > 0, told
    assert is_enough(history), told
    assert searched.steps > 300, told
    print(told)  # noqa: T201


def is_enough(history: list[Operation]) -> bool:
    """Whether clients were told enough for it to be held against itself."""
    acknowledged = sum(isinstance(operation.outcome, Written) for operation in history)
    return acknowledged > 100 and summary(history).get("strong read by quorum: Found", 0) > 10


def summary(history: list[Operation]) -> dict[str, int]:
    """How many requests ended how."""
    counted: Counter[str] = Counter()
    for operation in history:
        what = "write" if isinstance(operation.request, Write) else "read"
        if isinstance(operation.request, Read):
            by_quorum = " by quorum" if operation.request.quorum else ""
            what = f"{operation.request.consistency.value} read{by_quorum}"
        counted[f"{what}: {type(operation.outcome).__name__}"] += 1
    return dict(counted)
