"""A run as files: `report.md` for people, `report.json` for programs, `timeline.svg` to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from controlplane.bench.spread import spread
from controlplane.chaos.runner import Run
from controlplane.chaos.struck import Struck
from controlplane.chaos.timeline_svg import draw
from controlplane.requests import Read, Refused, Write
from controlplane.simulator.checkers.history import Operation

DATA_NAME = "report.json"


def write_report(run: Run, folder: Path) -> Path:
    """Write the three files of a run; give the one to read."""
    folder.mkdir(parents=True, exist_ok=True)
    document = document_of(run)
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    (folder / DATA_NAME).write_bytes(data)
    (folder / "timeline.svg").write_text(draw(run), encoding="utf-8")
    page = folder / "report.md"
    page.write_text(page_of(run), encoding="utf-8")
    return page


def document_of(run: Run) -> dict[str, Any]:
    """The run as plain data."""
    seen = run.seen
    return {
        "scenario": run.scenario.model_dump(mode="json"),
        "seed": run.seed,
        "fleet": run.fleet,
        "machine": asdict(run.machine),
        "holds": run.holds,
        "verdicts": [asdict(verdict) for verdict in run.verdicts],
        "operations": dict(sorted(counted(seen.history).items())),
        "faults": [{**asdict(struck), "was_seen": struck.was_seen} for struck in seen.struck],
        "failovers": [asdict(failover) for failover in seen.failovers],
        "without_leader": asdict(without_leader(run)),
        "whole_after_ms": seen.whole_after_ms,
    }


def without_leader(run: Run) -> Any:
    """The times without a leader of all failovers, summarised."""
    return spread([failover.without_leader_ms for failover in run.seen.failovers])


def counted(history: list[Operation]) -> Counter[str]:
    """How many requests ended how."""
    found: Counter[str] = Counter()
    for operation in history:
        request, outcome = operation.request, operation.outcome
        what = "write" if isinstance(request, Write) else "read"
        if isinstance(request, Read):
            what = f"{'quorum' if request.quorum else request.consistency.value} read"
        how = "ok"
        if outcome is None:
            how = "no answer"
        elif isinstance(outcome, Refused):
            how = outcome.problem.value
        found[f"{what}: {how}"] += 1
    return found


def page_of(run: Run) -> str:
    """The report for people."""
    machine, scenario = run.machine, run.scenario
    verdict = "Every verdict holds." if run.holds else "**Not everything is as promised.**"
    lines = [
        f"# Chaos: {scenario.name}",
        "",
        f"{scenario.shows}",
        "",
        f"{verdict} Seed {run.seed}, commit {machine.commit}, {machine.at}.",
        f"{machine.processor}, {machine.cores} cores.",
        f"The fleet: {run.fleet}.",
        "",
        "![timeline](timeline.svg)",
        "",
        "## Verdicts",
        "",
        "| | verdict | what was counted |",
        "|---|---|---|",
    ]
    lines += [f"| {'ok' if v.holds else '**NO**'} | {v.name} | {v.told} |" for v in run.verdicts]
    if run.seen.logs is None:
        lines += ["", "The stores of this fleet cannot be asked from here, so acknowledged writes "]
        lines[-1] += "were held against reads, not against the final log."
    lines += ["", "## Faults", "", "| at | what | whom | seen in |", "|--:|---|---|---|"]
    lines += [_row_of(struck) for struck in sorted(run.seen.struck, key=lambda s: s.began_ms)]
    lines += ["", "## Time without a leader", "", *_failover_lines(run)]
    lines += ["", "## Operations", "", "| | |", "|---|--:|"]
    lines += [f"| {what} | {n:,} |" for what, n in sorted(counted(run.seen.history).items())]
    return "\n".join([*lines, ""])


def _row_of(struck: Struck) -> str:
    lasted = (struck.ended_ms or struck.began_ms) - struck.began_ms
    at = f"{struck.began_ms / 1_000:.1f} s, for {lasted / 1_000:.1f} s"
    seen = "; ".join(map(str, struck.evidence)) if not struck.failed else f"FAILED {struck.failed}"
    notes = "".join(f" ({note})" for note in struck.notes)
    return f"| {at} | {struck.what}{notes} | {', '.join(struck.targets)} | {seen} |"


def _failover_lines(run: Run) -> list[str]:
    summary = without_leader(run)
    if not summary.count:
        return ["No shard changed its leadership."]
    lines = [
        f"{summary.count} changes of leadership: p50 {summary.p50_ms:,.0f} ms,",
        f"p99 {summary.p99_ms:,.0f} ms, worst {summary.max_ms:,.0f} ms, from the last write that",
        "the old epoch acknowledged to the first of the new one.",
        "",
        "| at | shard | to epoch | to | without leader |",
        "|--:|---|--:|---|--:|",
    ]
    for each in run.seen.failovers:
        leader = run.leaders.get(each.shard, {}).get(each.epoch, "not known")
        lines.append(
            f"| {each.at_ms / 1_000:.1f} s | {each.shard} | {each.epoch} | {leader} | "
            f"{each.without_leader_ms:,} ms |"
        )
    return lines
