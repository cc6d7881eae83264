"""Directed schedules: each file of scenarios/ shows exactly what it says it shows.

To write the files anew after a wanted change, run with LEADPLANE_REGENERATE=1 and read the diff.
"""

import os
from pathlib import Path

import pytest

from controlplane.simulator.directed import play

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
REGENERATE = os.environ.get("LEADPLANE_REGENERATE", "") == "1"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_schedule(path: Path) -> None:
    written = path.read_text()
    shown = play(written)
    if REGENERATE:
        path.write_text(shown)
    else:
        assert shown == written


def test_there_are_schedules_and_each_is_checked() -> None:
    assert len(SCENARIOS) >= 9
    for path in SCENARIOS:
        assert path.read_text().rstrip().endswith("no violations"), path.name


@pytest.mark.parametrize("text", ["fly n1", "fleet wings=2", "fleet\nrun 5", "fleet\nput n9 s k v"])
def test_a_step_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no such step|fleet knows|a duration is|not running"):
        play(text)
