"""Every scenario shows what its file says. REWRITE=1 writes down what they show now."""

import os
from pathlib import Path

import pytest

from tests.shards.changing_stage import play

SCENARIOS = sorted((Path(__file__).parent / "change_scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    written = path.read_text()
    shown = play(written)
    if os.environ.get("REWRITE"):
        path.write_text(shown)
    assert shown == path.read_text()


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 5
