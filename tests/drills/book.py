"""What drills came to, as they write it down themselves: a page for people, data beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controlplane.bench.machine_facts import MachineFacts

INTRODUCTION = """\
Each failure mode is injected on a real fleet (three regions, nine stores, six nodes, seven shards;
leases of 2 s) that a real Prometheus scrapes as `deploy/prometheus` says, with the rules that are
there{paced}. *Seen* is from the fault to the first evaluation at which the signal is there, by
Prometheus' own samples; *allowed* are two scrapes and the `for` of the alert. *Doctor* is the look
of `leadplane doctor` that found it, how long after the fault, and the page that it names; *status*
what `leadplane status` said while the signal was on. *Over* is from the repair to the first
evaluation without the signal, or until what is said there."""
NOT_DRILLED = {"D12": "this release has no tokens or certificates that could change"}
PAGES_NOTE = """\
Pages that went on meanwhile are named as well: the same shards fail over every minute here, which
is a shard that does not come to rest (`LeadplaneFlapping`), and burns the budget."""


@dataclass(slots=True)
class Finding:
    """One drill. Seconds are from the fault, `over_s` from the repair; None: it came to none."""

    mode: str
    fault: str
    signal: str
    for_s: float
    allowed_s: float
    seen_s: float | None = None
    doctor: str = ""
    status: str = ""
    repair: str = ""
    over: str = ""
    over_s: float | None = None
    paged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = "it was not finished"

    @property
    def is_kept(self) -> bool:
        """Whether it was seen in time, and was over."""
        return not self.failed


@dataclass(slots=True)
class Quiet:
    """Something planned: which pages fired, and which were about to, until it must have shown."""

    what: str
    lasted_s: float = 0.0
    fired: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    failed: str = "it was not finished"

    @property
    def is_kept(self) -> bool:
        """Whether nobody was woken."""
        return not self.failed


@dataclass(slots=True)
class Book:
    """All of one run."""

    command: str
    times: float
    findings: list[Finding] = field(default_factory=list)
    quiet: list[Quiet] = field(default_factory=list)

    def document(self, machine: MachineFacts) -> dict[str, Any]:
        """The run as plain data."""
        return {**asdict(self), "not_drilled": NOT_DRILLED, "machine": asdict(machine)}

    def page(self, machine: MachineFacts, data_name: str) -> str:
        """The run for people."""
        kept = sum(each.is_kept for each in (*self.findings, *self.quiet))
        paced = "" if self.times == 1 else f", at {self.times:g} of their spans"
        lines = [
            "# Step 6: drills",
            "",
            f"`{self.command}` at commit {machine.commit}, {machine.at}.",
            "",
            f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB;",
            f"Linux {machine.kernel}, {machine.filesystem}, Python {machine.python}.",
            "Fleet, Prometheus, Alertmanager and whoever looks share these cores.",
            "",
            f"**{kept} of {len(self.findings) + len(self.quiet)} as promised.**",
            INTRODUCTION.format(paced=paced),
            "",
            "| mode | fault | signal | seen | allowed | doctor | status |",
            "|---|---|---|--:|--:|---|---|",
            *map(_seen_row, sorted(self.findings, key=_number)),
            *(f"| {mode} | not drilled: {why} | | | | | |" for mode, why in NOT_DRILLED.items()),
            "",
            "## Repaired",
            "",
            "| mode | repaired by | over | after | pages that fired meanwhile | |",
            "|---|---|---|--:|---|---|",
            *map(_over_row, sorted(self.findings, key=_number)),
            "",
            PAGES_NOTE,
            "",
            "## What wakes nobody",
            "",
            "| planned | watched for | pages that fired | that were pending | |",
            "|---|--:|---|---|---|",
            *map(_quiet_row, self.quiet),
            "",
            f"The same as data: [{data_name}]({data_name}).",
            "",
        ]
        return "\n".join(lines)

    def write(self, place: Path, machine: MachineFacts) -> None:
        """Write both; `place` is without its ending."""
        page, data = place.with_suffix(".md"), place.with_suffix(".json")
        data.write_text(json.dumps(self.document(machine), indent=1) + "\n", encoding="utf-8")
        page.write_text(self.page(machine, data.name), encoding="utf-8")


def _number(finding: Finding) -> int:
    return int(finding.mode.removeprefix("D"))


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _verdict(found: Finding | Quiet) -> str:
    return "ok" if found.is_kept else f"**NO**: {found.failed}"


def _seen_row(found: Finding) -> str:
    held = f" (`for` {found.for_s:g} s)" if found.for_s else ""
    cells = (
        found.mode, found.fault, found.signal + held, _seconds(found.seen_s),
        _seconds(found.allowed_s), found.doctor, found.status,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _over_row(found: Finding) -> str:
    over = "; ".join((found.over, *found.notes))
    cells = (
        found.mode, found.repair, over, _seconds(found.over_s), ", ".join(found.paged),
        _verdict(found),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _quiet_row(found: Quiet) -> str:
    cells = (
        found.what, _seconds(found.lasted_s), ", ".join(found.fired) or "none",
        ", ".join(found.pending) or "none", _verdict(found),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
