"""Many runs on one page: which held, how much was checked, how long shards had no leader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from controlplane.bench.report import path_title
from controlplane.bench.spread import spread
from controlplane.chaos.report import document_of, without_leader
from controlplane.chaos.runner import Run
from controlplane.chaos.verdicts import succeeded

TITLES = (
    "| scenario | as promised | operations | faults seen | whole again after | failovers "
    "| without leader p50 | p99 | worst |"
)


def record_runs(runs: Sequence[Run], left_out: dict[str, str], command: str, path: Path) -> Path:
    """Write FILE.md and FILE.json; give the page."""
    page, data = path.with_suffix(".md"), path.with_suffix(".json")
    page.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "command": command,
        "left_out": left_out,
        "runs": [_without_machine(run) for run in runs],
        "machine": asdict(runs[0].machine) if runs else None,
    }
    data.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    page.write_text(_page(runs, left_out, command, data.name), encoding="utf-8")
    return page


def _without_machine(run: Run) -> dict[str, Any]:
    return {name: part for name, part in document_of(run).items() if name != "machine"}


def _page(runs: Sequence[Run], left_out: dict[str, str], command: str, data_name: str) -> str:
    lines = [f"# {path_title(data_name)}", ""]
    if runs:
        machine = runs[0].machine
        lines += [
            f"`{command}` at commit {machine.commit}, {machine.at}.",
            "",
            f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB;",
            f"Linux {machine.kernel}, {machine.filesystem}, Python {machine.python};",
            f"a small fdatasync takes {machine.fsync_p50_ms} ms.",
            "Clients, nodes and stores share these cores.",
            "",
        ]
    held = sum(run.holds for run in runs)
    checked = sum(sum(map(succeeded, run.seen.history)) for run in runs)
    faults = sum(len(run.seen.struck) for run in runs)
    lines += [
        f"{held} of {len(runs)} scenarios held every verdict: {checked:,} operations succeeded",
        f"and were checked, {faults} faults struck.",
        "",
        TITLES,
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *map(_row, runs),
        "",
        "## Time without a leader, by the fault that struck before",
        "",
        "From the last write that the old epoch acknowledged to the first of the new one, as",
        "clients saw it. The lease of each scenario is in the data.",
        "",
        "| fault | failovers | p50 | p99 | worst |",
        "|---|--:|--:|--:|--:|",
        *_by_kind(runs),
    ]
    wrong = [(run, v) for run in runs for v in run.verdicts if not v.holds]
    if wrong:
        lines += ["", "## Not as promised", ""]
        lines += [f"* {run.scenario.name}: {v.name}: {v.told}" for run, v in wrong]
    if left_out:
        lines += ["", "## Left out", ""]
        lines += [f"* {name}: {why}" for name, why in left_out.items()]
    lines += ["", f"Everything behind these figures is in [{data_name}]({data_name}).", ""]
    return "\n".join(lines)


def _row(run: Run) -> str:
    summary, seen = without_leader(run), run.seen
    operations = sum(map(succeeded, seen.history))
    faults = f"{sum(s.was_seen for s in seen.struck)} of {len(seen.struck)}"
    whole = "not" if seen.whole_after_ms is None else f"{seen.whole_after_ms / 1_000:.1f} s"
    times = ["", "", ""]
    if summary.count:
        times = [f"{t:,.0f} ms" for t in (summary.p50_ms, summary.p99_ms, summary.max_ms)]
    cells = [run.scenario.name, "yes" if run.holds else "**NO**", f"{operations:,}", faults, whole]
    return f"| {' | '.join([*cells, str(summary.count), *times])} |"


def _by_kind(runs: Sequence[Run]) -> list[str]:
    times: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for failover in run.seen.failovers:
            began_ms = failover.at_ms - failover.without_leader_ms
            before = [s for s in run.seen.struck if s.began_ms <= failover.at_ms]
            kinds = {s.kind for s in before if (s.ended_ms or 0) >= began_ms - 1_000}
            times[" and ".join(sorted(kinds)) or "none"].append(failover.without_leader_ms)
    rows = []
    for kind in sorted(times):
        summary = spread(times[kind])
        rows.append(
            f"| {kind} | {summary.count} | {summary.p50_ms:,.0f} ms | {summary.p99_ms:,.0f} ms | "
            f"{summary.max_ms:,.0f} ms |"
        )
    return rows
