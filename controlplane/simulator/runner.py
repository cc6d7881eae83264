"""Run one seed of one scenario, with every checker on, and say what was found."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controlplane.node import Node
from controlplane.node.following import SYSTEM
from controlplane.requests import Refused
from controlplane.simulator.checkers.findings import Findings, Violation
from controlplane.simulator.checkers.lineage import check_staleness_of_keys, replay_all
from controlplane.simulator.checkers.linearizability import Searched, check_linearizability
from controlplane.simulator.checkers.reads import check_reads, rests_on_clocks
from controlplane.simulator.checkers.sessions import check_sessions
from controlplane.simulator.checkers.tenures import check_tenures
from controlplane.simulator.checkers.writes import check_writes
from controlplane.simulator.collection import collecting_seldom
from controlplane.simulator.faults import Fault, Faults
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.liveness import FinalWrites
from controlplane.simulator.load_operator import LoadOperator
from controlplane.simulator.process import NodeMaker
from controlplane.simulator.releases import ROLLOUT, Releases
from controlplane.simulator.scenario import Scenario
from controlplane.simulator.witness import Witness
from controlplane.simulator.workload import PATIENCE_MS, Workload
from controlplane.simulator.world import World
from shards.resharding import Resharding

CALM_TTLS = 10  # leases: within so long after the last fault everything must work again
WHOLE_TTLS = 40  # ... and all stores vote again
UNANSWERED_AFTER_MS = 7_000  # no request stays longer with a node: its own time-outs are shorter


@dataclass(frozen=True, slots=True)
class Report:
    """What one run did and found. Equal seeds and scenarios give equal reports."""

    seed: int
    scenario: Scenario
    violations: tuple[Violation, ...]
    trace_hash: str
    virtual_ms: int
    calls: int
    refused: int  # calls, by stores that were full
    elections: int
    searched: Searched
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: tuple[Fault, ...] = ()
    happenings: Counter[str] = field(default_factory=Counter)

    @property
    def command(self) -> str:
        """The command that runs this seed again."""
        scenario = self.scenario
        only = scenario.only_faults
        numbers = "none" if not only else ",".join(str(number) for number in only)
        return (
            f"leadplane simulate --seeds {self.seed}-{self.seed} --scenario {scenario.name} "
            f"--minutes {scenario.minutes:g}" + ("" if only is None else f" --faults {numbers}")
        )

    @property
    def broken(self) -> frozenset[str]:
        """The invariants that did not hold."""
        return frozenset(violation.invariant for violation in self.violations)

    def _rollouts(self) -> str:
        """How rollouts ended, where there were some."""
        ended = {name: n for name, n in self.happenings.items() if name.startswith(ROLLOUT)}
        if not ended:
            return ""
        each = ", ".join(f"{ended[name]} {name.removeprefix(ROLLOUT)}" for name in sorted(ended))
        return f"{sum(ended.values())} rollouts ({each}), "

    def lines(self) -> list[str]:
        """The report as text: a line, one more for each violation, then how to run it again."""
        verdict = "ok" if not self.violations else f"{len(self.violations)} violations"
        answered = sum(n for name, n in self.outcomes.items() if name != "unanswered")
        summary = (
            f"{self.scenario.name} seed {self.seed}: {verdict}; {answered} operations answered, "
            f"{self.searched.steps} checked by search, {len(self.faults)} faults, "
            f"{self.elections} elections, {self._rollouts()}"
            f"{self.virtual_ms / 1000:.0f} s, trace {self.trace_hash[:12]}"
        )
        text = [summary]
        if self.violations:
            text += [f"  {violation}" for violation in self.violations]
            text.append(f"  again: {self.command}")
        return text


def simulate(seed: int, scenario: Scenario, make_node: NodeMaker = Node) -> Report:
    """One run: start, faults and load, calm, final writes, and the judgement of everything seen."""
    world = World(seed)
    findings = Findings()
    fleet = Fleet(world, scenario, make_node)
    witness = Witness(world, fleet, findings)
    workload, faults = Workload(fleet), Faults(fleet)
    operator = LoadOperator(fleet, findings)
    releases = Releases(fleet, witness, findings) if scenario.rollouts else None
    final = FinalWrites(workload)
    searched = Searched()
    with collecting_seldom():
        try:
            _live(world, scenario, fleet, workload, faults, final, operator)
            if releases is not None:
                releases.end()
            searched = judge(world, fleet, workload, witness, final, findings)
        except Exception:  # what a node raises is a finding of this seed, not an end of the search
            findings.add("nothing is raised", world.now_ms, traceback.format_exc(limit=-4))
    return Report(
        seed=seed,
        scenario=scenario,
        violations=tuple(findings.violations),
        trace_hash=world.trace_hash,
        virtual_ms=world.now_ms,
        calls=sum(store.calls for store in fleet.stores.values()),
        refused=sum(store.refused for store in fleet.stores.values()),
        elections=witness.promises.epochs_won,
        searched=searched,
        outcomes=_outcomes(workload),
        faults=tuple(faults.struck),
        happenings=fleet.happenings,
    )


def run_seeds(seeds: Iterable[int], scenario: Scenario, echo: Callable[[str], None]) -> int:
    """Simulate seed after seed, telling about each; returns how many had violations."""
    failed = 0
    for seed in seeds:
        report = simulate(seed, scenario)
        for line in report.lines():
            echo(line)
        failed += bool(report.violations)
    return failed


def _live(
    world: World,
    scenario: Scenario,
    fleet: Fleet,
    workload: Workload,
    faults: Faults,
    final: FinalWrites,
    operator: LoadOperator,
) -> None:
    fleet.start_all()
    workload.start()
    if scenario.split_by_load is not None:
        operator.start()
    world.after(2 * scenario.ttl_ms, faults.start)
    trouble_ms = round(scenario.minutes * 60_000)
    world.run_until(trouble_ms)
    faults.calm()
    operator.stop()
    workload.stop()
    final.start()
    world.run_until(trouble_ms + CALM_TTLS * scenario.ttl_ms)


def judge(
    world: World,
    fleet: Fleet,
    workload: Workload,
    witness: Witness,
    final: FinalWrites,
    findings: Findings,
) -> Searched:
    for shard, answer in final.missing.items():
        findings.add("a calm fleet takes writes", world.now_ms, f"{shard}: {answer}")
    calm_ms, unled = world.now_ms, _unled(fleet, witness)
    world.run_until(calm_ms + max(PATIENCE_MS, UNANSWERED_AFTER_MS))
    for shard in sorted(unled & _unled(fleet, witness)):
        findings.add("a calm fleet has leaders", calm_ms, shard)
    for name, process in fleet.processes.items():
        owed = process.unanswered_since(calm_ms)
        if owed:
            detail = f"{name} owes {owed} answers"
            findings.add("every request is answered", world.now_ms, detail)
    _await_stores(world, fleet, findings)
    replays = replay_all(witness.logs.logs, _reshardings(fleet, world, findings), findings)
    history, trusts_clocks = workload.history, fleet.scenario.trusts_clocks
    judged = history if trusts_clocks else [o for o in history if not rests_on_clocks(o)]
    searched = check_linearizability(judged, findings)  # first: its findings are few
    check_writes(history, replays, findings)
    check_reads(history, replays, findings, trusts_clocks)
    if fleet.scenario.partitions:
        check_sessions(history, findings)
        check_staleness_of_keys(history, findings)
    witness.check_copies(replays)
    witness.check_maps()
    twins = [store.twin for store in fleet.stores.values()]
    check_tenures(twins, world.now_ms, findings)
    if differing := fleet.happenings["diverged"]:
        detail = f"leaders found {differing} copies to differ"
        findings.add("stores that applied the same hold the same", world.now_ms, detail)
    return searched


def _reshardings(fleet: Fleet, world: World, findings: Findings) -> Iterable[Resharding]:
    """All there were; a calm fleet has finished them. Where nobody orders any, nobody is asked."""
    if not fleet.scenario.partitions:
        return ()
    limit_ms = world.now_ms + WHOLE_TTLS * fleet.scenario.ttl_ms
    while any(process.node.reshardings.unfinished() for process in fleet.processes.values()):
        if world.now_ms >= limit_ms:
            left = {
                (each.number, each.phase.value)
                for process in fleet.processes.values()
                for each in process.node.reshardings.unfinished()
            }
            findings.add("a calm fleet finishes reshardings", world.now_ms, str(sorted(left)))
            break
        world.run_until(world.now_ms + fleet.scenario.ttl_ms)
    known: dict[int, Resharding] = {}
    for process in fleet.processes.values():
        known |= process.node.reshardings.known
    return known.values()


def _unled(fleet: Fleet, witness: Witness) -> set[str]:
    """Shards that nobody leads at this moment; one may just be handed over on purpose."""
    led = {shard for p in fleet.processes.values() for shard, _, _ in witness.claims_of(p)}
    by_key = fleet.scenario.partitions > 0
    wanted = {SYSTEM, *fleet.shard_names()} if by_key else set(witness.group_of)
    return wanted - led


def _await_stores(world: World, fleet: Fleet, findings: Findings) -> None:
    """Whatever forgot is to vote again, one store after the other."""
    names = [group.name for group in fleet.scenario.groups]
    limit_ms = world.now_ms + WHOLE_TTLS * fleet.scenario.ttl_ms
    while broken := [name for name in names if not fleet.sets.is_whole(name)]:
        if world.now_ms >= limit_ms:
            findings.add("a calm fleet has all its stores", world.now_ms, ", ".join(broken))
            return
        world.run_until(world.now_ms + fleet.scenario.ttl_ms)


def _outcomes(workload: Workload) -> Counter[str]:
    counts: Counter[str] = Counter()
    for operation in workload.history:
        outcome = operation.outcome
        if outcome is None:
            counts["unanswered"] += 1
        elif isinstance(outcome, Refused):
            counts[outcome.problem.value] += 1
        else:
            counts[type(outcome).__name__] += 1
    return counts
