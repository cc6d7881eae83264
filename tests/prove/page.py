"""The ledger as a page for people."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.simulator.scenario import PRESETS, preset
from tests.prove.ledger import Entry, Ledger

HOURS_MIN = 200
HOURS_IN_ALL_MIN = 1_000
FAULTS_MIN = 100_000
PAIRS_MIN = 30
ANSWERED_MIN = 1_000_000
SEARCHED_MIN = 100_000


def page(ledger: Ledger) -> str:
    """All of it: what is wanted and reached, each entry, the pairs of the newest, failures."""
    lines = [
        "# Step 2: the campaign of simulation",
        "",
        "Written by `make prove`; the data: [step-2-prove.json](step-2-prove.json). What is",
        "simulated and checked: [simulation.md](../simulation.md). An entry is one state of the",
        "product; every run is a seed of its own.",
        "",
        *_wanted(ledger),
        "",
        *_entries(ledger),
        "",
        *_pairs(ledger.entries[-1]),
        "",
        *_failures(ledger),
    ]
    return "\n".join(lines) + "\n"


def _wanted(ledger: Ledger) -> Iterator[str]:
    newest, total = ledger.entries[-1], ledger.total
    tally = newest.tally
    rarest = min((count for _, _, count in _grid(newest)), default=0)
    broken = sum(len(entry.tally.failures) for entry in ledger.entries)
    figures = (
        (f"simulated hours at {newest.commit}", tally.hours, HOURS_MIN),
        ("simulated hours in all", total.hours, HOURS_IN_ALL_MIN),
        (f"faults at {newest.commit}", tally.faults, FAULTS_MIN),
        ("the rarest pair of fault and workload, times", rarest, PAIRS_MIN),
        ("operations held against the log", tally.answered, ANSWERED_MIN),
        ("steps for which an order was searched", tally.searched, SEARCHED_MIN),
    )
    yield "| wanted | | reached | |"
    yield "|---|--:|--:|---|"
    for what, reached, wanted in figures:
        verdict = "yes" if reached >= wanted else "not yet"
        yield f"| {what} | {wanted:,} | {_number(reached)} | {verdict} |"
    yield f"| searches given up | 0 | {tally.unknown:,} | {'no' if tally.unknown else 'yes'} |"
    yield f"| runs with a violation, in all | 0 | {broken:,} | {'no' if broken else 'yes'} |"


def _entries(ledger: Ledger) -> Iterator[str]:
    yield (
        "| product at | last run, UTC | slices | runs | simulated h | faults | elections | "
        "operations | searched | given up | failed | processor h | simulated s/s a core |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for entry in reversed(ledger.entries):
        tally = entry.tally
        speed = tally.simulated_ms / 1_000 / tally.processor_s if tally.processor_s else 0
        yield (
            f"| {entry.commit} | {entry.last} | {entry.slices} | {tally.runs:,} | "
            f"{_number(tally.hours)} | {tally.faults:,} | {tally.elections:,} | "
            f"{tally.answered:,} | {tally.searched:,} | {tally.unknown} | "
            f"{len(tally.failures)} | {_number(tally.processor_s / 3_600)} | {speed:.0f} |"
        )


def _grid(entry: Entry) -> Iterator[tuple[str, str, int]]:
    """Every kind of fault in every workload that has it, and how often it struck."""
    for name in PRESETS:
        for kind in dict.fromkeys(preset(name).faults):
            yield kind, name, entry.tally.pairs[f"{name}, {kind}"]


def _pairs(entry: Entry) -> Iterator[str]:
    counts = {(kind, name): count for kind, name, count in _grid(entry)}
    yield f"How often each fault struck in each workload, at {entry.commit}:"
    yield ""
    yield f"| fault | {' | '.join(PRESETS)} |"
    yield f"|---|{'--:|' * len(PRESETS)}"
    for kind in sorted({kind for kind, _ in counts}):
        cells = (counts.get((kind, name)) for name in PRESETS)
        yield f"| {kind} | {' | '.join('' if c is None else f'{c:,}' for c in cells)} |"


def _failures(ledger: Ledger) -> Iterator[str]:
    yield "## Runs with a violation"
    yield ""
    found = [(entry, failure) for entry in ledger.entries for failure in entry.tally.failures]
    if not found:
        yield "None."
    for entry, failure in found:
        yield f"* at {entry.commit}: `{failure['again']}`"
        for violation in failure["violations"]:
            yield f"  * {violation[:160]}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
