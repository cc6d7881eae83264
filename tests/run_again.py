"""Run once more, alone, the files of tests in real time that failed, as `make test` does by itself.

Fleets of real processes share two cores with the other half of the suite, so that a time-out may
say more of the machine than of the product. Nothing else is given a second run: simulations,
schedules and pure tests are the same every time. Many failures are no chance, and are not run again
either. What fails twice fails; what passed the second time is named, to be looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""What pytest remembers of its last run: the failed tests, by their ids."""
IN_REAL_TIME = tuple(
    f"tests/{each}/"
    for each in (
        "chaos",
        "cli",
        "flags",
        "fleet",
        "fuzz",
        "integration",
        "rollouts",
        "runtime",
        "telemetry",
    )
)
FILES_MAX = 4
TESTS_FAILED = 1
"""How pytest ends when tests failed, and nothing worse happened."""


def files_to_run(failed: Iterable[str]) -> list[str]:
    """Their files, since tests of a file share a fleet; none if a second run would not be right."""
    files = sorted({test.partition("::")[0] for test in failed})
    if len(files) > FILES_MAX or not all(file.startswith(IN_REAL_TIME) for file in files):
        return []
    return files


def main(ended: int) -> int:
    """The exit status of the whole, after a run that ended with one that is not 0."""
    if ended != TESTS_FAILED or not FAILED.exists():
        return ended
    failed = sorted(json.loads(FAILED.read_text("utf-8")))
    files = files_to_run(failed)
    if not files:
        return ended
    _say("these failed beside others, and are run once more, alone:", *failed)
    words = [sys.executable, "-m", "pytest", "-q", "-n", "1", *files]
    again = subprocess.run(words, check=False).returncode
    if again == 0:
        _say("alone they passed. Look at them: they may need more time than they have.")
    return again


def _say(*lines: str) -> None:
    sys.stdout.write("test: " + "\n  ".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
