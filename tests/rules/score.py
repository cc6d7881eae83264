"""The score of all planted bugs: for each what noticed it, and how fast; kept in docs/results.

    python -m tests.rules.score

plants the mutants of `mutants.toml`, each for its test, and those of tests/simulation/planted.py,
each for seeds or a schedule, one at a time in a copy. Every verdict is written as soon as it is
known: after an interruption at a commit only the rest is planted. The exit status is 1 when one
escaped.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path

from controlplane.bench.machine_facts import commit, processor
from tests.prove.ledger import replace
from tests.rules import run_mutants
from tests.rules.run_mutants import ROOT, is_noticed, read_mutants
from tests.simulation import mutants as simulated
from tests.simulation.planted import MUTANTS

RESULTS = ROOT / "docs/results/step-2-mutants"
CAUGHT_MIN = 0.95


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant. `by` is the test, the schedule or the seed that noticed it."""

    key: str
    rule: str
    place: str
    caught: bool
    by: str
    seconds: float


Hunt = Callable[[], Verdict]


def hunts() -> Iterator[tuple[str, Hunt]]:
    """All mutants, those of single rules first; a key changes with what is planted."""
    for rule in read_mutants():
        key = _key(rule.path, rule.old, rule.new, rule.test)
        yield key, partial(_by_test, key, rule)
    for planted in MUTANTS:
        edits = [text for edit in planted.edits for text in (edit.path, edit.old, edit.new)]
        key = _key(planted.scenario, planted.schedule, *edits)
        yield key, partial(_by_simulation, key, planted)


def score(place: Path) -> list[Verdict]:
    """Plant what has no verdict of this commit yet, and keep all of them at `place`."""
    here = commit()
    known = _known(place.with_suffix(".json"), here)
    verdicts: list[Verdict] = []
    for key, hunt in hunts():
        verdict = known.get(key) or hunt()
        verdicts.append(verdict)
        if key not in known:
            _say(f"{'caught ' if verdict.caught else 'ESCAPED'} {verdict.rule}: {verdict.by}")
            _write(place, here, verdicts)
    _write(place, here, verdicts)
    return verdicts


def page(here: str, at: str, verdicts: list[Verdict]) -> str:
    """The score for people, rule by rule."""
    caught = sum(verdict.caught for verdict in verdicts)
    share = caught / len(verdicts)
    lines = [
        "# Step 2: planted bugs",
        "",
        f"`make mutants` at {here}, {at} UTC; {processor()}.",
        "",
        f"**{caught} of {len(verdicts)} caught**, {share:.0%}; wanted are {CAUGHT_MIN:.0%}. Each",
        "takes one rule away, in a copy of the product. Rules are those of",
        "[GUARANTEES](../GUARANTEES.md#the-rules-it-stands-on), or said in words. Seconds are of a",
        "machine with other work, copying and starting included. Rules of a changing store set:",
        "[step-2-models](step-2-models.md).",
        "",
        "| rule | taken away in | noticed by | s |",
        "|---|---|---|--:|",
    ]
    for verdict in verdicts:
        by = verdict.by if verdict.caught else "**nothing**"
        lines.append(f"| {verdict.rule} | `{verdict.place}` | {by} | {verdict.seconds:.1f} |")
    return "\n".join(lines) + "\n"


def _by_test(key: str, mutant: run_mutants.Mutant) -> Verdict:
    began_s = time.monotonic()
    noticed, _ = is_noticed(mutant)
    took_s = round(time.monotonic() - began_s, 1)
    by = f"`{mutant.test.rpartition('::')[2]}`"
    return Verdict(key, mutant.rule, mutant.path, noticed, by, took_s)


def _by_simulation(key: str, mutant: simulated.Mutant) -> Verdict:
    began_s = time.monotonic()
    caught = simulated.hunt(mutant)
    took_s = round(time.monotonic() - began_s, 1)
    if caught is None:
        by = ""
    elif mutant.schedule:
        by = f"schedule `{mutant.schedule}`"
    else:
        by = f"`{mutant.scenario}` seed {caught.seeds}: {'; '.join(caught.invariants[:2])}"
    return Verdict(key, mutant.rule, mutant.edits[0].path, caught is not None, by, took_s)


def _key(*texts: str) -> str:
    return blake2b("\0".join(texts).encode(), digest_size=6).hexdigest()


def _known(path: Path, here: str) -> dict[str, Verdict]:
    """Verdicts of this very commit; a changed tree has none."""
    document = json.loads(path.read_text()) if path.exists() else {"commit": ""}
    if document["commit"] != here or "+" in here:
        return {}
    return {each["key"]: Verdict(**each) for each in document["verdicts"]}


def _write(place: Path, here: str, verdicts: list[Verdict]) -> None:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    document = {"commit": here, "at": at, "verdicts": [asdict(verdict) for verdict in verdicts]}
    replace(place.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    replace(place.with_suffix(".md"), page(here, at, verdicts))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Score all of them; the exit status."""
    verdicts = score(RESULTS)
    escaped = [verdict.rule for verdict in verdicts if not verdict.caught]
    _say(f"{len(verdicts) - len(escaped)} of {len(verdicts)} caught")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
