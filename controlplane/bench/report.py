"""What a benchmark found, in one shape: figures with peers and targets, and how to keep them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controlplane.bench.machine_facts import MachineFacts


class NotMeasured(Exception):
    """A benchmark did not get to its end; the message says why. Others go on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    `peer` is what the peer reached in the same run, `target` the promise in words, `reached`
    whether it was kept (None: nothing was promised).
    """

    what: str
    ours: float
    unit: str
    peer: float | None = None
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """One benchmark: its figures, what was compared with what, and every run behind them.

    `unfinished` says why there are none.
    """

    name: str
    peer: str
    method: str
    figures: tuple[Figure, ...]
    runs: tuple[dict[str, Any], ...] = ()
    unfinished: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All benchmarks of one run, with the machine and the commit."""

    command: str
    machine: MachineFacts
    findings: tuple[Findings, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)

    def kept(self) -> bool:
        """True when everything was measured, and every promise with a figure was kept."""
        if any(each.unfinished for each in self.findings):
            return False
        return all(f.reached is not False for each in self.findings for f in each.figures)


def reached_text(figure: Figure) -> str:
    """Whether the target was reached, in a word."""
    return {True: "yes", False: "NO", None: ""}[figure.reached]


def number_text(value: float | None) -> str:
    """A figure for people: thousands apart, three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def record(report: Report, path: Path) -> tuple[Path, Path]:
    """Write the report as a page and as data beside it; give both paths."""
    page, data = path.with_suffix(".md"), path.with_suffix(".json")
    page.parent.mkdir(parents=True, exist_ok=True)
    data.write_text(json.dumps(report.document(), indent=1) + "\n", encoding="utf-8")
    page.write_text(markdown(report, data.name), encoding="utf-8")
    return page, data


def markdown(report: Report, data_name: str) -> str:
    """The report as a page of documentation."""
    machine = report.machine
    lines = [
        f"# {path_title(data_name)}",
        "",
        f"`{report.command}` at commit {machine.commit}, {machine.at}.",
        "",
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB;",
        f"Linux {machine.kernel}, {machine.filesystem}, Python {machine.python};",
        f"a small fdatasync takes {machine.fsync_p50_ms} ms.",
        "Clients, servers, stores and the peer share these cores.",
    ]
    for each in report.findings:
        lines += ["", f"## {each.name}", ""]
        if each.unfinished:
            lines += [f"NOT MEASURED: {each.unfinished}"]
            continue
        lines += [each.method, ""]
        peer = each.peer or "peer"
        lines += [f"| | ours | {peer} | ratio | target | reached |", "|---|--:|--:|--:|---|---|"]
        lines += [
            f"| {f.what} | {number_text(f.ours)} {f.unit} | {number_text(f.peer)} | "
            f"{number_text(f.ratio)} | {f.target} | {reached_text(f)} |"
            for f in each.figures
        ]
    lines += ["", f"Every run behind these figures is in [{data_name}]({data_name}).", ""]
    return "\n".join(lines)


def path_title(name: str) -> str:
    """A page's title from its file's name: `writes-2-cores.json` is `Writes 2 cores`."""
    return name.rsplit(".", 1)[0].replace("-", " ").replace("_", " ").capitalize()
