"""What happens while nobody leads the whole fleet is known afterwards: all of it, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from controlplane.machine import Happened
from controlplane.node import Node
from controlplane.node.event_records import (
    KINDS,
    PARTITION,
    RECORDS_PREFIX,
    EventRecord,
    read_record,
)
from controlplane.node.following import SYSTEM
from controlplane.requests import Consistency, Outcome, Scan, Scanned
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.tenures import check_tenures
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.process import Process
from controlplane.simulator.scenario import REGIONS, fleet
from controlplane.simulator.world import World
from regions.codec import pack

DOWN_MS = 60_000
STEP_MS = 200
Told = tuple[str, str, str, int]  # process, kind, shard, epoch


class Outage:
    """The default fleet, whose global group is down for a minute while each region fails over."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.fleet = Fleet(self.world, replace(fleet(), drift_ppm_max=0, loss=0.0), Node)
        self.told: list[Told] = []
        self.fleet.on_happened = self._happened
        self.fleet.start_all()

    def _happened(self, process: Process, event: Happened) -> None:
        self.told.append((process.node.plan.process, event.kind, event.shard, event.epoch))

    def run(self, ms: int) -> None:
        self.world.run_until(self.world.now_ms + ms)

    def until(self, condition: Callable[[], bool], ms_max: int = 40_000) -> None:
        end_ms = self.world.now_ms + ms_max
        while not condition():
            assert self.world.now_ms < end_ms, "it never happened"
            self.run(STEP_MS)

    def leader(self, shard: str) -> str | None:
        """The node that would answer a strong read."""
        for name, process in self.fleet.processes.items():
            claims = process.node.lease_claims(process.clock.now_ms())
            if any(shard == claimed for claimed, _, _ in claims):
                return name
        return None

    def read(self, region: str) -> list[EventRecord]:
        """All that is kept, as a node of a region reads it nearby."""
        found: list[EventRecord] = []
        more = True
        while more:
            outcomes: list[Outcome] = []
            after = found[-1].key if found else ""
            scan = Scan(
                SYSTEM, PARTITION, RECORDS_PREFIX, after, 1_000, consistency=Consistency.ANY
            )

            def take(outcome: Outcome, _ms: int, into: list[Outcome] = outcomes) -> None:
                into.append(outcome)

            self.fleet.ask(region, f"{region}-n2", scan, take, lambda: None)
            self.until(lambda given=outcomes: bool(given))  # type: ignore[misc]
            (outcome,) = outcomes
            assert isinstance(outcome, Scanned), outcome
            found += [read_record(value.data) for _, value in outcome.items]
            more = outcome.more
        return found


@pytest.mark.timeout(300)
def test_failovers_while_the_global_group_is_down_all_appear_afterwards() -> None:
    outage = Outage(11)
    shards = [f"{region}-{n}" for region in REGIONS for n in range(4)]
    outage.until(lambda: all(outage.leader(shard) for shard in (*shards, SYSTEM)))
    outage.run(5_000)
    began_ms = outage.world.now_ms
    for region in REGIONS[:2]:
        outage.fleet.crash_store(f"{region}-s1")  # of the global group's three
    outage.until(lambda: outage.leader(SYSTEM) is None)
    failed_over: dict[str, tuple[str, str]] = {}
    for region in REGIONS:
        victim = f"{region}-n1"
        led = [shard for shard in shards if outage.leader(shard) == victim]
        assert led, "both nodes of a region lead some of its shards"
        outage.fleet.crash_node(victim)
        outage.until(lambda names=led: all(outage.leader(name) for name in names))  # type: ignore[misc]
        for shard in led:
            heir = outage.leader(shard)
            assert heir is not None
            failed_over[shard] = (victim, heir)
        assert outage.leader(SYSTEM) is None
    outage.run(began_ms + DOWN_MS - outage.world.now_ms)
    assert outage.leader(SYSTEM) is None, "for a minute"
    for region in REGIONS[:2]:
        outage.fleet.restart_store(f"{region}-s1")
    outage.until(lambda: outage.leader(SYSTEM) is not None)
    outage.run(10_000)

    living = {process.node.plan.process for process in outage.fleet.processes.values()}
    happened = Counter(told for told in outage.told if told[0] in living and told[1] in KINDS)
    of_node = {process.node.plan.node: process for process in outage.fleet.processes.values()}
    for region in REGIONS:
        records = outage.read(region)
        known = Counter(
            (of_node[r.node].node.plan.process, r.kind, r.shard, r.epoch)
            for r in records if r.node in of_node
        )  # fmt: skip
        assert known == happened
        for shard, (victim, heir) in failed_over.items():
            last = [r for r in records if r.shard == shard and r.kind == "elected"][-1]
            assert (last.node, last.group) == (heir, f"region/{region_of(shard)}")
            assert (last.detail["cause"], last.detail["why"]) == ("unplanned", "dead")
            assert victim in last.detail["before"]
            assert 0 < last.detail["unled_ms"] < 10_000
    findings = Findings()
    twins = [store.twin for store in outage.fleet.stores.values()]
    check_tenures(twins, outage.world.now_ms, findings)
    assert findings.violations == []


def region_of(shard: str) -> str:
    return shard.rpartition("-")[0]


def test_tenures_that_overlap_in_a_store_are_found() -> None:
    outage = Outage(3)
    outage.until(lambda: outage.leader(SYSTEM) is not None)
    twins = [store.twin for store in outage.fleet.stores.values()]
    history = next(
        found.data.history
        for twin in twins for group in twin.state.groups.values()
        for found in group.shards.values() if found.data.history
    )  # fmt: skip
    first = min(history)
    history[first + 5] = pack({"shard": SYSTEM, "epoch": first + 5, "previous": [9, first + 2, 7]})
    history[first + 6] = pack({"shard": SYSTEM, "epoch": first + 6, "previous": [9, first + 2, 7]})
    findings = Findings()
    check_tenures(twins, 0, findings)
    assert "no two tenures overlap" in {each.invariant for each in findings.violations}
