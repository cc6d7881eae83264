"""Each rule is taken out of a copy of the product, and the test named after it must fail there.

    python -m tests.rules.run_mutants [WORD ...]

runs all of `mutants.toml`, or those whose rule or test holds one of the words. A mutant replaces
one piece of text, which must stand exactly once in its file, and names the test that notices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("regions", "shards", "controlplane", *(
    f"tests/{part}" for part in ("rules", "node", "regions", "shards")
))  # fmt: skip
TIMEOUT_S = 120
FAILED = 1  # what pytest answers when a test failed, and not for any other trouble


@dataclass(frozen=True)
class Mutant:
    """`old` in the file at `path` becomes `new`; `test` must fail then."""

    rule: str
    path: str
    old: str
    new: str
    test: str
    quick: bool = False

    @property
    def name(self) -> str:
        """What it is called where it is run."""
        return f"{self.rule}: {self.test.rpartition('::')[2]}"


def read_mutants() -> list[Mutant]:
    """All of the table."""
    table = tomllib.loads((ROOT / "tests/rules/mutants.toml").read_text())
    return [Mutant(**entry) for entry in table["mutant"]]


def is_noticed(mutant: Mutant) -> tuple[bool, str]:
    """Whether the test fails without the rule, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "*.lua", "*.csv")
            shutil.copytree(ROOT / part, copy / part, ignore=ignored)
        (copy / "tests/__init__.py").touch()
        target = copy / mutant.path
        text = target.read_text()
        assert text.count(mutant.old) == 1, f"{mutant.path} has not one {mutant.old!r}"
        target.write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder, "-q"]
        command += ["--import-mode=importlib", "-p", "no:cacheprovider", mutant.test]
        surroundings = {
            **os.environ,
            "PYTHONPATH": folder,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        ran = subprocess.run(  # a fixed command on a copy of the tree
            command, cwd=copy, env=surroundings, capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    return ran.returncode == FAILED, ran.stdout + ran.stderr


def main(words: list[str]) -> int:
    """Run mutants and tell about each; the number of those that nobody noticed."""
    chosen = [
        m for m in read_mutants() if not words or any(w in m.rule or w in m.test for w in words)
    ]
    unnoticed = 0
    for mutant in chosen:
        noticed, said = is_noticed(mutant)
        unnoticed += not noticed
        sys.stdout.write(f"{'noticed  ' if noticed else 'UNNOTICED'} {mutant.name}\n")
        if not noticed:
            sys.stdout.write(said[-2_000:] + "\n")
        sys.stdout.flush()
    return unnoticed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
