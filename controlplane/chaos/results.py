"""Many runs on one page: which held, how much was checked, how long shards had no leader.

The page is made of the reports in a folder, so scenarios can be run one at a time; reports of
another commit than the present one are no part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from controlplane.bench.machine_facts import commit
from controlplane.bench.report import path_title
from controlplane.bench.spread import spread
from controlplane.chaos.report import DATA_NAME

Report: TypeAlias = Mapping[str, Any]

TITLES = (
    "| scenario | load | as promised | operations | faults seen | whole, after the load "
    "| failovers | without leader p50 | p99 | worst |"
)
NEAR_MS = 1_000
"""A failover belongs to faults that lasted until so long before it began."""


def record_reports(folder: Path, left_out: Mapping[str, str], path: Path) -> Path:
    """Write FILE.md and FILE.json about the reports of this commit in a folder; give the page."""
    found = [report_of_this_commit(path.parent) for path in sorted(folder.glob(f"*/{DATA_NAME}"))]
    reports = [report for report in found if report is not None]
    page, data = path.with_suffix(".md"), path.with_suffix(".json")
    page.parent.mkdir(parents=True, exist_ok=True)
    document = {"left_out": dict(left_out), "runs": reports}
    data.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    page.write_text(_page(reports, left_out, data.name), encoding="utf-8")
    return page


def report_of_this_commit(folder: Path) -> Report | None:
    """What a run at this commit left in a folder, if one did."""
    path = folder / DATA_NAME
    if not path.exists():
        return None
    report: Report = orjson.loads(path.read_bytes())
    return report if report["machine"]["commit"] == commit() else None


def _page(reports: Sequence[Report], left_out: Mapping[str, str], data_name: str) -> str:
    lines = [f"# {path_title(data_name)}", "", *_about(reports)]
    held = sum(report["holds"] for report in reports)
    faults = sum(len(report["faults"]) for report in reports)
    lines += [
        f"{held} of {len(reports)} runs held every verdict:",
        f"{sum(map(_succeeded, reports)):,} operations succeeded and were checked,",
        f"{faults} faults of {len(_kinds(reports))} kinds struck.",
        "",
        TITLES,
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *map(_row, reports),
        "",
        "## Time without a leader, by the faults around it",
        "",
        "From the last write that the old epoch acknowledged to the first of the new one, as",
        "clients saw it. The lease of each scenario is in the data; most have 2 s.",
        "",
        "| faults | failovers | p50 | p99 | worst |",
        "|---|--:|--:|--:|--:|",
        *_by_kind(reports),
    ]
    wrong = [(r, v) for r in reports for v in r["verdicts"] if not v["holds"]]
    if wrong:
        lines += ["", "## Not as promised", ""]
        lines += [f"* {r['scenario']['name']}: {v['name']}: {v['told']}" for r, v in wrong]
    if left_out:
        lines += ["", "## Left out", ""]
        lines += [f"* {name}: {why}" for name, why in left_out.items()]
    lines += ["", f"Everything behind these figures is in [{data_name}]({data_name}).", ""]
    return "\n".join(lines)


def _about(reports: Sequence[Report]) -> list[str]:
    if not reports:
        return ["Nothing was run at this commit.", ""]
    machine = reports[-1]["machine"]
    return [
        "`leadplane chaos run`, the scenarios below, each on a fleet of its own, at commit",
        f"{machine['commit']}, until {max(report['machine']['at'] for report in reports)}.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB;",
        f"Linux {machine['kernel']}, {machine['filesystem']}, Python {machine['python']};",
        f"a small fdatasync takes {machine['fsync_p50_ms']} ms.",
        "Clients, nodes and stores share these cores.",
        "",
    ]


def _succeeded(report: Report) -> int:
    return sum(n for what, n in report["operations"].items() if what.endswith(": ok"))


def _row(report: Report) -> str:
    summary, took_ms = report["without_leader"], report["whole_after_ms"]
    faults = f"{sum(f['was_seen'] for f in report['faults'])} of {len(report['faults'])}"
    times = ["", "", ""]
    if summary["count"]:
        times = [f"{summary[which]:,.0f} ms" for which in ("p50_ms", "p99_ms", "max_ms")]
    cells = [
        report["scenario"]["name"],
        _load(report),
        "yes" if report["holds"] else "**NO**",
        f"{_succeeded(report):,}",
        faults,
        "not" if took_ms is None else f"{took_ms / 1_000:.1f} s",
        str(summary["count"]),
    ]
    return f"| {' | '.join([*cells, *times])} |"


def _load(report: Report) -> str:
    """What clients did, and for how long: what tells runs of one scenario apart."""
    scenario = report["scenario"]
    return f"{scenario['load']['reads']:.0%} reads, {scenario['lasts_s']:.0f} s"


def _kinds(reports: Sequence[Report]) -> set[str]:
    return {fault["kind"] for report in reports for fault in report["faults"]}


def _by_kind(reports: Sequence[Report]) -> list[str]:
    times: dict[str, list[float]] = defaultdict(list)
    for report in reports:
        for failover in report["failovers"]:
            began_ms = failover["at_ms"] - failover["without_leader_ms"]
            around = {
                fault["kind"]
                for fault in report["faults"]
                if fault["began_ms"] <= failover["at_ms"]
                and fault["ended_ms"] >= began_ms - NEAR_MS
            }
            times[" and ".join(sorted(around)) or "none"].append(failover["without_leader_ms"])
    rows = []
    for kinds in sorted(times):
        summary = spread(times[kinds])
        rows.append(
            f"| {kinds} | {summary.count} | {summary.p50_ms:,.0f} ms | {summary.p99_ms:,.0f} ms "
            f"| {summary.max_ms:,.0f} ms |"
        )
    return rows
