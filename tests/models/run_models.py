"""Explore the models of a change of the store set, and see each planted mistake found.

    python -m tests.models.run_models [WORD ...]

runs all of `models.toml`, or the rows whose text holds one of the words, and prints a table. Ends
with status 1 when a scope has a violation or was not explored to its end, or when a mutant has
none. Needs `spin` and `gcc` on PATH.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY_MB_MAX = 5000
DEPTH_MAX = 200_000
TIMEOUT_S = 1800
SEARCHES = {"depth": (), "breadth": ("-DBFS",)}


@dataclass(frozen=True, slots=True)
class Row:
    """One exploration: of a model as it is, or of one with a rule taken out."""

    title: str
    model: str
    defines: tuple[str, ...]
    is_mutant: bool
    search: str
    quick: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration came to. `complete` is true when every state was seen."""

    violated: bool
    complete: bool
    states: int
    memory_mb: int
    seconds: float

    def is_as_it_must(self, row: Row) -> bool:
        """A mutant is violated; what is no mutant is not, in any of its states."""
        return self.violated if row.is_mutant else self.complete and not self.violated


def read_rows() -> list[Row]:
    """All of the table, scopes first."""
    table = tomllib.loads((HERE / "models.toml").read_text())
    entries = [(e, e["name"], False) for e in table["scope"]]
    entries += [(e, e["rule"], True) for e in table["mutant"]]
    return [
        Row(
            title,
            entry["model"],
            tuple(entry["defines"]),
            is_mutant,
            entry.get("search", "depth"),
            entry.get("quick", False),
        )
        for entry, title, is_mutant in entries
    ]


def explore(row: Row) -> Found:
    """Make the verifier of one row and run it. Raises CalledProcessError when it cannot be made."""
    with tempfile.TemporaryDirectory(prefix="leadplane-model-") as folder:
        model = HERE / f"{row.model}.pml"
        spin = ["spin", "-a", *(f"-D{d}" for d in row.defines), str(model)]
        subprocess.run(spin, cwd=folder, check=True, capture_output=True, text=True)
        options = ("-DSAFETY", "-DCOLLAPSE", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB_MAX}")
        gcc = ["gcc", "-O2", "-w", *options, *SEARCHES[row.search], "-o", "pan", "pan.c"]
        subprocess.run(gcc, cwd=folder, check=True, capture_output=True, text=True)
        return run_verifier(folder)


def run_verifier(folder: str) -> Found:
    """Run the verifier that lies in `folder`. No end of a process counts as a deadlock."""
    began = time.monotonic()
    pan = ["./pan", "-E", "-n", f"-m{DEPTH_MAX}"]
    done = subprocess.run(
        pan, check=False, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    return read_report(done.stdout, time.monotonic() - began)


def read_report(text: str, seconds: float) -> Found:
    """What the verifier printed. Without its count of errors, nothing was shown."""
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\S+) states, stored", text)
    memory = re.search(r"(\S+)\ttotal actual memory", text)
    cut_short = "Search not completed" in text or "search depth too small" in text
    return Found(
        violated="assertion violated" in text and errors is not None and errors[1] != "0",
        complete=errors is not None and not cut_short and "out of memory" not in text,
        states=int(float(states[1])) if states else 0,
        memory_mb=round(float(memory[1])) if memory else 0,
        seconds=seconds,
    )


def line(row: Row, found: Found) -> str:
    """One line of the table."""
    outcome = (
        "violation" if found.violated else "none, exhausted" if found.complete else "cut short"
    )
    verdict = "as it must" if found.is_as_it_must(row) else "WRONG"
    defines = " ".join(row.defines) or "-"
    return (
        f"| {row.model} | {row.title} | `{defines}` | {outcome} | {found.states:,} "
        f"| {found.memory_mb:,} | {found.seconds:.1f} | {verdict} |"
    )


def chosen(words: list[str]) -> Iterator[Row]:
    """The rows that hold one of the words, all of them when there is no word."""
    for row in read_rows():
        text = f"{row.model} {row.title} {' '.join(row.defines)}"
        if not words or any(word in text for word in words):
            yield row


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """Run and print; the status to end with."""
    say("| model | scope, or the rule that is left out | with | violation | states | MB | s | |")
    say("|---|---|---|---|--:|--:|--:|---|")
    wrong = 0
    for row in chosen(words):
        found = explore(row)
        wrong += not found.is_as_it_must(row)
        say(line(row, found))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
