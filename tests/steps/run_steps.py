"""Strike at every step of every change: `python -m tests.steps.run_steps [--only drain]`.

One process does one trial after the other, or every n-th of them (`--part 2/4`). The exit status is
1 when any change did not end as it does without a fault.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from controlplane.simulator.collection import collecting_seldom
from tests.steps.changes import CHANGES, Change
from tests.steps.trial import (
    WAYS,
    WAYS_AT_STORES,
    Blow,
    Moment,
    Step,
    Undisturbed,
    disturbed,
    undisturbed,
)

SEED = 1


def trials(change: Change, plain: Undisturbed) -> Iterator[tuple[Step, Moment, Blow]]:
    """Every step, struck in every way."""
    ways = WAYS_AT_STORES if change.at_stores else WAYS
    for step in plain.steps:
        for moment, blow in ways:
            yield step, moment, blow


def main(arguments: list[str]) -> int:
    """Parse the command line and run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.steps.run_steps")
    parser.add_argument("--only", action="append", help="a kind of change")
    parser.add_argument("--part", default="1/1", help="which part of how many")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--list", action="store_true", help="only say which steps there are")
    parser.add_argument("--verbose", action="store_true", help="tell of every trial")
    options = parser.parse_args(arguments)
    part, parts = (int(number) for number in options.part.split("/"))
    counts, broken = Counter[str](), 0
    for change in CHANGES:
        if options.only and change.name not in options.only:
            continue
        with collecting_seldom():
            plain = undisturbed(change, options.seed)
            if options.list:
                _say("\n".join(f"{change.name}: {step}" for step in plain.steps))
                continue
            for number, trial in enumerate(trials(change, plain)):
                if number % parts != part - 1:
                    continue
                verdict = disturbed(change, options.seed, plain, *trial)
                counts[change.name] += 1
                broken += bool(verdict.faults)
                step, moment, blow = trial
                if options.verbose:
                    _say(f"{change.name}, {step}, {moment}, {blow} {verdict.struck}")
                for fault in verdict.faults:
                    _say(f"{change.name}, {step}, {moment}, {blow} {verdict.struck}: {fault}")
        done = f"{len(plain.steps)} steps, {counts[change.name]} trials"
        _say(f"{change.name}: {done}, {broken} broken so far")
    return 1 if broken else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
