"""The ledger of a campaign: one entry for each state of the product, kept in docs/results.

An entry names the commit that last changed the product, so that a change of a page does not begin a
new one, and says when the tree differed from that commit. Run numbers are never used twice: what
is counted for all entries together are different runs.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.prove.course import Tally

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("regions", "shards", "config", "controlplane")
FIRST_NUMBER = 10_000
FORMAT = 1


@dataclass
class Entry:
    """What was run of one state of the product."""

    commit: str
    machine: str
    first: str
    last: str
    slices: int = 0
    wall_s: int = 0
    tally: Tally = field(default_factory=Tally)


@dataclass
class Ledger:
    """All entries, oldest first, and the number of the next run."""

    next_number: int = FIRST_NUMBER
    entries: list[Entry] = field(default_factory=list)

    def entry(self, commit: str, machine: str, now: str) -> Entry:
        """The entry of this state of the product, a new one if there is none."""
        for entry in self.entries:
            if entry.commit == commit:
                entry.last = now
                return entry
        self.entries.append(Entry(commit, machine, now, now))
        return self.entries[-1]

    @property
    def total(self) -> Tally:
        """All entries together."""
        total = Tally()
        for entry in self.entries:
            total.add(entry.tally)
        return total


def read(path: Path) -> Ledger:
    """The ledger in a file; a new one where there is no file. Raises ValueError for others."""
    if not path.exists():
        return Ledger()
    document = json.loads(path.read_text())
    if document.get("format") != FORMAT:
        raise ValueError(f"{path} is no ledger of format {FORMAT}")
    entries = [_entry(each) for each in document["entries"]]
    return Ledger(document["next_number"], entries)


def write(ledger: Ledger, path: Path) -> None:
    """Replace the file at once: whoever is interrupted leaves the old one or the new one."""
    entries = [{**vars(entry), "tally": _shown(entry.tally)} for entry in ledger.entries]
    document = {"format": FORMAT, "next_number": ledger.next_number, "entries": entries}
    replace(path, json.dumps(document, indent=1) + "\n")


def replace(path: Path, text: str) -> None:
    """Write a whole file, or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def product_commit() -> str:
    """The commit that last changed the product, `+changes` when the tree differs from it."""
    last = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *PRODUCT)
    changed = _git("status", "--porcelain", "--", *PRODUCT)
    return last + ("+changes" if changed else "")


def _git(*words: str) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _shown(tally: Tally) -> dict[str, Any]:
    pairs = dict(sorted(tally.pairs.items()))
    return {**vars(tally), "processor_s": round(tally.processor_s, 1), "pairs": pairs}


def _entry(document: dict[str, Any]) -> Entry:
    counted = document.pop("tally")
    pairs = Counter(counted.pop("pairs"))
    return Entry(**document, tally=Tally(**counted, pairs=pairs))
