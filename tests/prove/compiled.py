"""Run a slice of the campaign on the same sources, compiled: half as long again in the same time.

    python -m tests.prove.compiled DIRECTORY --minutes 60 --processes 2

The commit that is checked out is cloned into the directory, the machines and the simulator are
compiled there by mypyc, and some seeds are run on both sides: only if every trace is the same is
the slice begun. What it finds goes into this tree's ledger; a seed that breaks is repeated with
`leadplane simulate`, interpreted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.prove.ledger import ROOT
from tests.prove.run_prove import RESULTS

PACKAGES: Final = (
    "regions", "shards", "controlplane/node", "controlplane/simulator",
    "controlplane/simulator/checkers",
)  # fmt: skip
MODULES: Final = ("machine", "requests", "views", "node_plan")
NOT_COMPILED: Final = ("redis_store", "redis_checks", "conversation", "marked_yaml")
"""They need sockets, which no simulation has; nor is anything compiled that pydantic makes."""
SEEDS: Final = (("five", 1), ("zone", 2), ("world", 3), ("shifting", 4))
COMPILE: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--config-file", "mypyc.ini", *sys.argv[1:]], opt_level="2", multi_file=True)
setup(name="compiled", packages=[], script_args=["build_ext", "--inplace"], ext_modules=modules)
"""
TRACE: Final = """
import sys
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset
for name, seed in zip(sys.argv[1::2], sys.argv[2::2]):
    print(name, seed, simulate(int(seed), preset(name, 0.5)).trace_hash)
"""


def main(arguments: list[str]) -> int:
    """Clone, compile, compare, run; returns the exit status of the slice."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    place = Path(arguments[0]).resolve()
    _clone(place)
    _say(f"compiling in {place} (some minutes) ...")
    _compile(place)
    if _traces(ROOT) != (compiled := _traces(place)):
        _say(f"the traces differ, so nothing is proved by this copy: {compiled}")
        return 1
    _say(f"{len(SEEDS)} seeds leave the same traces on both sides")
    slice_ = ["-m", "tests.prove.run_prove", "--ledger", str(RESULTS), *arguments[1:]]
    return _python(place, slice_).returncode


def sources(place: Path) -> Iterator[str]:
    """What is compiled, relative to the place."""
    files = [file for package in PACKAGES for file in sorted((place / package).glob("*.py"))]
    files += [place / "controlplane" / f"{module}.py" for module in MODULES]
    for file in files:
        named = file.stem.startswith("__") or file.stem in NOT_COMPILED
        if not named and "pydantic" not in file.read_text():
            yield str(file.relative_to(place))


def _clone(place: Path) -> None:
    if place.exists():
        raise SystemExit(f"{place} exists already: name a directory that is to be made")
    git = ["git", "-c", "safe.directory=*"]
    subprocess.run([*git, "clone", "-q", str(ROOT), str(place)], check=True)
    (place / ".git/info/exclude").write_text("*.so\nbuild/\nmypyc.ini\n")


def _compile(place: Path) -> None:
    (place / "mypyc.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    (place / "pyproject.toml").unlink()  # an older setuptools, as Python brings, can't read it
    environment = {**os.environ, "CFLAGS": "-g0"}
    command = [sys.executable, "-c", COMPILE, *sources(place)]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        complaints = [line for line in done.stdout.splitlines() if "error" in line]
        raise SystemExit("\n".join([*complaints, done.stderr[-2_000:]]))


def _traces(place: Path) -> str:
    words = [str(word) for seed in SEEDS for word in seed]
    done = _python(place, ["-c", TRACE, *words], capture=True)
    done.check_returncode()
    return str(done.stdout)


def _python(
    place: Path, arguments: list[str], *, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=capture, text=True, check=False
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
