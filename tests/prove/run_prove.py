"""Run a slice of the campaign: `python -m tests.prove.run_prove --minutes 60 --processes 2`.

Runs follow each other in several processes until the time is over; then those under way are
waited for. The ledger is written every few seconds: an interrupted slice keeps what was finished.
The exit status is 1 when a run of this slice had a violation.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from controlplane.bench.machine_facts import processor
from tests.prove import course, ledger
from tests.prove.course import Tally
from tests.prove.page import page

MINUTES_MAX = 60.0
SAVE_EVERY_S = 10.0
INTERRUPTED = 130
RUNS_A_PROCESS = 50  # then it ends, and with it what it remembers
RESULTS = ledger.ROOT / "docs/results/step-2-prove"


def main(arguments: list[str]) -> int:
    """Parse the command line and run a slice; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.run_prove")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="at most 60")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ledger", type=Path, default=RESULTS, help="without its ending")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= MINUTES_MAX:
        parser.error(f"a slice has at most {MINUTES_MAX:g} minutes")
    try:
        with _interruptible():
            broken = run_slice(options.ledger, options.minutes * 60, options.processes)
    except KeyboardInterrupt:
        _say("interrupted; what was finished is in the ledger")
        return INTERRUPTED
    return 1 if broken else 0


def run_slice(place: Path, seconds: float, processes: int) -> int:
    """Run for so long and keep the ledger at `place`; returns how many runs were broken."""
    path = place.with_suffix(".json")
    book = ledger.read(path)
    entry = book.entry(ledger.product_commit(), processor(), _now())
    entry.slices += 1
    began_s, spent_s = time.monotonic(), entry.wall_s
    save_s = began_s
    broken = 0

    def save() -> None:
        entry.wall_s, entry.last = spent_s + round(time.monotonic() - began_s), _now()
        ledger.write(book, path)

    try:
        for number, tally in _runs(book.next_number, began_s + seconds, processes):
            book.next_number = max(book.next_number, number + 1)
            entry.tally.add(tally)
            broken += len(tally.failures)
            _tell(number, tally)
            if time.monotonic() >= save_s:
                save_s = time.monotonic() + SAVE_EVERY_S
                save()
                _say(f"{entry.tally.runs} runs, {entry.tally.hours:.1f} simulated hours")
    finally:
        save()
        ledger.replace(place.with_suffix(".md"), page(book))
    hours, faults = entry.tally.hours, entry.tally.faults
    _say(f"{entry.commit}: {hours:.1f} simulated hours, {faults:,} faults, kept in {path.name}")
    return broken


def _runs(first: int, ends_s: float, processes: int) -> Iterator[tuple[int, Tally]]:
    """Finished runs, as they finish; none begins after `ends_s`."""
    numbers = count(first)
    pool = ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_ignore_interrupts,
        max_tasks_per_child=RUNS_A_PROCESS,
    )
    under_way: dict[Future[Tally], int] = {}
    try:
        while True:
            while len(under_way) < processes and time.monotonic() < ends_s:
                number = next(numbers)
                under_way[pool.submit(course.run, number)] = number
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield under_way.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A termination ends the slice like an interrupt from the keyboard: the ledger is kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tell(number: int, tally: Tally) -> None:
    for failure in tally.failures:
        _say(f"run {number} is broken; again: {failure['again']}")
        for violation in failure["violations"]:
            _say(f"  {violation}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
