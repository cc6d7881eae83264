"""What is shown when a fleet is up: where it is, and what to type next, in this very shell."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from controlplane.command_name import to_find_it
from controlplane.fleet.display import FleetDisplay
from controlplane.fleet.state import Phase
from tests.fleet.test_commands import STATE


def announced() -> list[str]:
    told = io.StringIO()
    FleetDisplay(Console(file=told, width=100, highlight=False)).announce(STATE)
    return [line.removeprefix("try:").strip() for line in told.getvalue().splitlines()]


def test_without_a_terminal_a_step_that_takes_long_is_told_again_when_it_got_on() -> None:
    told, now = io.StringIO(), [0.0]
    display = FleetDisplay(Console(file=told, width=100, highlight=False), lambda: now[0])
    for second, led in ((0, 1), (1, 2), (6, 2), (7, 3), (30, 3)):
        now[0] = float(second)
        progress = replace(STATE.progress, phase=Phase.ELECTING, shards_led=led, first_start=False)
        display.show(replace(STATE, progress=progress))
    shown = [line.split(" · ")[2] for line in told.getvalue().splitlines()]
    assert shown == ["shards led 1/3", "shards led 2/3", "shards led 3/3"]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that was not activated, with the command in it."""
    folder = tmp_path / "an env" / "bin"
    folder.mkdir(parents=True)
    (folder / "leadplane").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    return folder


def test_a_shell_that_does_not_find_the_command_is_told_how(beside: Path) -> None:
    line = f"export PATH='{beside}':$PATH"
    assert to_find_it() == line
    lines = announced()
    at = lines.index(line)
    assert lines[at + 1 : at + 3] == [
        f"export LEADPLANE_URL={STATE.nodes[0].url}",
        "leadplane status",
    ]
    assert f"leadplane down --dir {STATE.dir}" in lines


def test_a_shell_that_finds_it_is_told_nothing(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(beside))
    assert to_find_it() == ""
    assert not any("PATH" in line for line in announced())
