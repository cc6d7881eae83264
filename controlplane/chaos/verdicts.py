"""What a run showed, as verdicts that can be false: promises kept, and a run that was not vacuous.

The checkers are the simulator's own. They are given what clients were told, and the committed logs
as they were read from the stores while they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from controlplane.bench.spread import spread
from controlplane.chaos.failovers import Failover, failovers_of, longest_pause_ms, reigns_of
from controlplane.chaos.log_reader import ShardLog
from controlplane.chaos.scenario import Forget, Scenario
from controlplane.chaos.struck import Struck
from controlplane.requests import Consistency, Found, Problem, Read, Refused, Write, Written
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation
from controlplane.simulator.checkers.linearizability import check_linearizability
from controlplane.simulator.checkers.reads import check_reads
from controlplane.simulator.checkers.registers import check_registers
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.sessions import check_sessions
from controlplane.simulator.checkers.writes import check_writes

TOLD_MAX = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was to hold, whether it did, and what was counted."""

    name: str
    holds: bool
    told: str


@dataclass(slots=True)
class Seen:
    """Everything that was seen of one run."""

    scenario: Scenario
    history: list[Operation]
    struck: list[Struck]
    logs: dict[str, ShardLog] | None
    """The committed logs; None where the stores could not be asked."""
    log_findings: Findings
    last: list[Operation]
    """One write and one strong read of every key after everything else; also in the history."""
    load_ended_ms: int
    whole_after_ms: int | None
    """How long after the load the fleet was whole again; None if it was not."""
    not_whole: str = ""
    stale_accepted: float = 0.0
    diverged: float = 0.0
    stores_after: dict[str, str] = field(default_factory=dict)
    """The state of stores that forgot, at the end."""

    @property
    def failovers(self) -> list[Failover]:
        """Every change of leadership while the load lasted."""
        found = failovers_of(reigns_of(self.history).values())
        return [failover for failover in found if failover.at_ms <= self.load_ended_ms]


def judge(seen: Seen) -> list[Verdict]:
    """All verdicts of a run."""
    return [*_promises(seen), *_substance(seen), *_expectations(seen)]


def succeeded(operation: Operation) -> bool:
    """Whether an operation did what it was asked for."""
    return isinstance(operation.outcome, Written | Found)


def answered(operation: Operation) -> bool:
    """Whether it was carried out, or refused by its own condition, which is an answer, too."""
    outcome = operation.outcome
    by_condition = isinstance(outcome, Refused) and outcome.problem is Problem.PRECONDITION_FAILED
    return by_condition or succeeded(operation)


def _promises(seen: Seen) -> Iterator[Verdict]:
    history = seen.history

    def search(findings: Findings) -> str:
        searched = check_linearizability(history, findings)
        return f"{searched.keys} keys, {searched.steps:,} steps, by search"

    def registers(findings: Findings) -> str:
        check_registers(history, findings)
        strong = sum(_is_read(o, Consistency.STRONG) for o in history)
        bounded = sum(_is_read(o, Consistency.BOUNDED) for o in history)
        return f"{strong:,} strong reads, {bounded:,} bounded ones, by versions"

    def sessions(findings: Findings) -> str:
        return f"{check_sessions(history, findings):,} reads of sessions"

    yield _checked("one order explains what all clients were told", search)
    yield _checked("strong reads are current, and ages are truthful", registers)
    yield _checked("sessions never go back", sessions)
    yield from _by_the_logs(seen)
    kept = not seen.stale_accepted and not seen.diverged
    yield Verdict(
        "no stale write was accepted, and stores agree",
        kept,
        f"stale_operations_accepted {seen.stale_accepted:g}, diverged {seen.diverged:g}",
    )


def _by_the_logs(seen: Seen) -> Iterator[Verdict]:
    names = (
        "acknowledged writes are in the final log, once",
        "what was read is what the log says",
    )
    if seen.logs is None:
        return  # the report says so: a compose deployment's stores are not asked
    gaps = [f"{shard}: {log.gap}" for shard, log in seen.logs.items() if log.gap]
    if gaps:
        for name in names:
            yield Verdict(name, False, f"not known: {'; '.join(gaps)}")
        return
    replays = {shard: Replay(log.blobs) for shard, log in seen.logs.items()}
    entries = sum(len(log.blobs) for log in seen.logs.values())
    acknowledged = sum(isinstance(o.outcome, Written) for o in seen.history)

    def writes(findings: Findings) -> str:
        for violation in seen.log_findings.violations:
            findings.add(violation.invariant, violation.at_ms, violation.detail)
        check_writes(seen.history, replays, findings)
        return f"{acknowledged:,} acknowledgements, {entries:,} entries of {len(replays)} logs"

    def reads(findings: Findings) -> str:
        check_reads(seen.history, replays, findings)
        return f"{sum(isinstance(o.outcome, Found) for o in seen.history):,} answered reads"

    yield _checked(names[0], writes)
    yield _checked(names[1], reads)


def _substance(seen: Seen) -> Iterator[Verdict]:
    """That the run proves something."""
    expect, first_ms = seen.scenario.expect, seen.scenario.first_fault_s * 1_000
    before = [o for o in seen.history if succeeded(o) and (o.ended_ms or 0) < first_ms]
    rate = len(before) / max(seen.scenario.first_fault_s, 0.001)
    yield Verdict(
        "there was load before the first fault",
        rate >= expect.ops_per_s_before,
        f"{rate:,.0f} operations succeeded each second, at least {expect.ops_per_s_before:g} asked",
    )
    unseen = [s for s in seen.struck if not s.was_seen]
    told = f"{len(seen.struck)} of {len(seen.struck)}"
    if unseen:
        told = "; ".join(f"{s.what}: {s.failed or _unseen(s)}" for s in unseen[:TOLD_MAX])
    yield Verdict("every fault was seen in a counter", bool(seen.struck) and not unseen, told)
    failed = [o for o in seen.last if not succeeded(o)]
    told = f"a write and a strong read of {len(seen.last) // 2} keys"
    if failed:
        told = f"{len(failed)} of {len(seen.last)} failed, first {_outcome_of(failed[0])}"
    yield Verdict("the last operations succeeded", bool(seen.last) and not failed, told)


def _expectations(seen: Seen) -> Iterator[Verdict]:
    """What this scenario says must come of it."""
    expect, failovers = seen.scenario.expect, seen.failovers
    took = seen.whole_after_ms
    told = f"{took:,} ms after the load" if took is not None else seen.not_whole
    limit_ms = expect.whole_within_s * 1_000
    yield Verdict("the fleet was whole again", took is not None and took <= limit_ms, told)
    if expect.leaders_change is not None:
        wanted = "did" if expect.leaders_change else "did not"
        yield Verdict(
            f"leaders {wanted} change",
            bool(failovers) == expect.leaders_change,
            f"{len(failovers)} changes",
        )
    if expect.without_leader_ms_max is not None:
        worst = spread([f.without_leader_ms for f in failovers]).max_ms
        yield Verdict(
            f"no failover took longer than {expect.without_leader_ms_max:,} ms",
            worst <= expect.without_leader_ms_max,
            f"the longest of {len(failovers)} took {worst:,.0f} ms",
        )
    if expect.pause_ms_max is not None:
        pause = longest_pause_ms(
            seen.history, round(seen.scenario.first_fault_s * 1_000), seen.load_ended_ms
        )
        yield Verdict(
            f"writes never paused longer than {expect.pause_ms_max:,} ms",
            pause <= expect.pause_ms_max,
            f"the longest pause of all clients together was {pause:,} ms",
        )
    if any(isinstance(fault, Forget) for fault in seen.scenario.faults):
        wrong = {s: w for s, w in seen.stores_after.items() if w != expect.store_after}
        told = ", ".join(f"{s} is {w}" for s, w in seen.stores_after.items()) or "none forgot"
        yield Verdict(
            f"a store that forgot is {expect.store_after} in the end",
            bool(seen.stores_after) and not wrong,
            told,
        )


def _checked(name: str, check: Callable[[Findings], str]) -> Verdict:
    findings = Findings()
    counted = check(findings)
    if not findings.violations:
        return Verdict(name, True, counted)
    first = "; ".join(str(violation) for violation in findings.violations[:TOLD_MAX])
    return Verdict(name, False, f"{len(findings.violations)} violations: {first}")


def _is_read(operation: Operation, consistency: Consistency) -> bool:
    request = operation.request
    return (
        isinstance(request, Read)
        and request.consistency is consistency
        and isinstance(operation.outcome, Found)
    )


def _unseen(struck: Struck) -> str:
    dark = [str(each) for each in struck.evidence if not each.seen]
    return f"not seen: {'; '.join(dark)}" if dark else "no counter was read"


def _outcome_of(operation: Operation) -> str:
    outcome = operation.outcome
    what = "a write" if isinstance(operation.request, Write) else "a read"
    if isinstance(outcome, Refused):
        return f"{what} at {operation.node}: {outcome.problem}: {outcome.detail}"
    return f"{what} at {operation.node}: no answer"
