"""Bugs planted on purpose, one at a time, in a copy of the product: simulation must find each.

    python -m tests.simulation.mutants [NAME ...]

runs all of them, or those named, and tells what found each, and after how many seeds. What is
planted, and where, is in planted.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.planted import MUTANTS, UNSEEN, Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("regions", "shards", "config", "controlplane")
SEEDS_MAX = 60
TIMEOUT_S = 600
CRASH = "nothing is raised"
PLAY = """
import pathlib, sys
from controlplane.simulator.directed import play
sys.stdout.write(play(pathlib.Path(sys.argv[1]).read_text()))
"""


@dataclass(frozen=True)
class Caught:
    """What found a mutant: the seed, and the first invariants that it broke."""

    seeds: int
    invariants: tuple[str, ...]
    seconds: float


def plant(mutant: Mutant, tree: Path) -> None:
    """Copy the product to `tree` with the bug in it. Raises ValueError if its place is gone."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for edit in mutant.edits:
        path = tree / edit.path
        source = path.read_text()
        if source.count(edit.old) != 1:
            found = f"found {source.count(edit.old)} times in {edit.path}"
            raise ValueError(f"{mutant.name}: {edit.old!r} was {found}")
        path.write_text(source.replace(edit.old, edit.new))


def hunt(mutant: Mutant, seeds_max: int = SEEDS_MAX) -> Caught | None:
    """Run seeds against the mutant until one is violated; None when all went well."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        plant(mutant, tree)
        if mutant.schedule:
            return _play(mutant, tree)
        began = time.monotonic()
        command = [sys.executable, "-m", "controlplane.simulator.__main__", "--until-caught"]
        command += ["--seeds", f"1-{seeds_max}", "--scenario", mutant.scenario]
        command += ["--minutes", str(mutant.minutes)]
        try:
            run = _run(mutant, tree, command)
        except subprocess.TimeoutExpired:
            return None  # not found in time: as good as not found
        invariants = dict.fromkeys(re.findall(r"^  \d+ ms: ([^:]+):", run.stdout, re.MULTILINE))
        seconds = time.monotonic() - began
        seeds = len(re.findall(r"^\w+ seed \d+:", run.stdout, re.MULTILINE))
        return Caught(seeds, tuple(invariants), seconds) if run.returncode else None


def _play(mutant: Mutant, tree: Path) -> Caught | None:
    path = Path(__file__).parent / "scenarios" / f"{mutant.schedule}.txt"
    began = time.monotonic()
    shown = _run(mutant, tree, [sys.executable, "-c", PLAY, str(path)]).stdout
    differs = shown != path.read_text()
    what = (f"{path.name} shows something else",)
    return Caught(0, what, time.monotonic() - began) if differs else None


def _run(mutant: Mutant, tree: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        command,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if run.returncode not in (0, 1) or run.stderr:
        raise RuntimeError(f"{mutant.name}: the simulator failed: {run.stderr[-2000:]}")
    return run


def main(names: list[str]) -> int:
    """Hunt the named mutants, or all; returns how many escaped."""
    escaped = 0
    named = [mutant for mutant in (*MUTANTS, *UNSEEN) if mutant.name in names]
    for mutant in named or MUTANTS:
        caught = hunt(mutant)
        if caught is None:
            escaped += 1
            sys.stdout.write(f"{mutant.name}: ESCAPED {SEEDS_MAX} seeds ({mutant.rule})\n")
        else:
            sys.stdout.write(
                f"{mutant.name}: seed {caught.seeds}, {caught.seconds:.0f} s: "
                f"{'; '.join(caught.invariants)}\n"
            )
        sys.stdout.flush()
    return escaped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
