"""Somebody at night who knows `leadplane status` and the runbooks, and types what stands there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from click.testing import Result

from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import wait_for

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^    (leadplane .*)$", re.MULTILINE)
READ_ON = "Read on in "
DRY = " --dry-run"
NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
NOTHING = "looks found nothing"
OF_LATE = "came back of late"
SEEN_S_MAX = 30.0
MENDED_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `leadplane status` says first, the page that it names, and how it ends."""

    sentence: str
    page: str | None
    ends: int


def status() -> Verdict:
    """Type it, as everybody does first."""
    result = leadplane("status")
    lines = result.stdout.splitlines() or [result.stderr]
    named = [line.removeprefix(READ_ON) for line in lines if line.startswith(READ_ON)]
    return Verdict(lines[0], named[0] if named else None, result.exit_code)


class RunbookReader:
    """A page that `status` named. Only what stands in its blocks of commands can be typed."""

    def __init__(self, page: str) -> None:
        self._page = page
        text = (ROOT / page).read_text("utf-8")
        parts = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
        self._looks = COMMAND.findall(parts["First look"])
        self._lines = {*self._looks, *COMMAND.findall(parts["Commands"])}

    def look(self) -> str:
        """Type the first look; what it says, all of it."""
        said = [leadplane(*shlex.split(line)[1:]) for line in self._looks]
        assert all(result.exit_code in (0, 1) and result.stdout for result in said), said
        return "\n".join(result.stdout for result in said)

    def types(
        self, line: str, *, really: bool = False, yours: Mapping[str, str] = NO_NAMES, **names: str
    ) -> Result:
        """Type a line of the page, with names of the fleet in the place of those in capitals, and
        `yours` in the place of those of the examples.

        `really` leaves `--dry-run` out: what would be done was read before.
        """
        assert line in self._lines, f"{line!r} does not stand in {self._page}: {self._lines}"
        if really:
            assert line.endswith(DRY), line
            line = line.removesuffix(DRY)
        for name, value in yours.items():
            assert f" {name}" in line, (line, name)
            line = line.replace(f" {name}", f" {value}")
        for name, value in names.items():
            assert f"'{name}'" in line, (line, name)
            line = line.replace(f"'{name}'", shlex.quote(value))
        return leadplane(*shlex.split(line)[1:])

    def does(
        self, line: str, *, really: bool = False, yours: Mapping[str, str] = NO_NAMES, **names: str
    ) -> str:
        """Type a line that has to do what it says; what it prints."""
        result = self.types(line, really=really, yours=yours, **names)
        assert result.exit_code == 0, (line, result.output)
        return result.stdout


def found(page: str, says: str, ends: int, seconds: float = SEEN_S_MAX) -> RunbookReader:
    """Look until `status` says this, ends so, and names this runbook: who reads it now."""

    def is_seen() -> bool:
        now = status()
        if not now.sentence.startswith(says):
            return False
        assert (now.page, now.ends) == (f"docs/runbooks/{page}.md", ends), now
        return True

    wait_for(is_seen, f"status says {says!r}", seconds)
    return RunbookReader(f"docs/runbooks/{page}.md")


def until_well(seconds: float = MENDED_S_MAX) -> None:
    """Look until `status` is green, and `doctor` finds nothing but nodes that came back of late."""
    said: list[str] = []

    def is_well() -> bool:
        now, doctor = status(), leadplane("doctor", "-o", "json")
        said[:] = [now.sentence, doctor.stderr]
        if (now.ends, doctor.exit_code) != (0, 0):
            return False
        looks = json.loads(doctor.stdout)["looks"]
        troubles = [trouble["what"] for look in looks for trouble in look["troubles"]]
        said.extend(troubles)
        return now.sentence.startswith("Healthy") and all(OF_LATE in what for what in troubles)

    try:
        wait_for(is_well, "all is well", seconds)
    except AssertionError as failure:
        raise AssertionError("\n".join([str(failure), *said])) from failure
