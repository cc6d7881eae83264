"""`leadplane chaos`: what it takes and refuses; what it does to fleets is tests/chaos's."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.chaos.report import write_report
from controlplane.chaos.scenario_file import names
from tests.chaos.made_up_run import MACHINE
from tests.chaos.made_up_run import run as made_up_run
from tests.cli.stub_fleet import leadplane


def test_every_scenario_is_listed_with_what_it_shows() -> None:
    result = leadplane("chaos", "list")
    assert result.exit_code == 0, result.output
    listed = [line.split()[0] for line in result.stdout.splitlines()]
    assert listed == names()
    assert "killed with SIGKILL" in result.stdout


def test_a_wrong_field_is_told_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nshows: x\nfaults:\n  - {at_s: 1, do: kil, to: node a}\n")
    result = leadplane("chaos", "run", str(path))
    assert result.exit_code == 1
    told = str(result.exception) + result.output
    assert "line 4, /faults/0: `do` must say what happens" in told


def test_a_name_that_is_none_says_which_there_are() -> None:
    result = leadplane("chaos", "run", "leader-kild")
    assert result.exit_code == 1
    assert "there is no scenario 'leader-kild'" in str(result.exception) + result.output


def test_a_scenario_that_cannot_be_run_here_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controlplane.chaos.clocks.COMPILERS", ("no-such-compiler",))
    listing = leadplane("chaos", "list")
    assert "(not here: no C compiler (no-such-compiler) is on PATH)" in listing.stdout
    result = leadplane("chaos", "run", "clock-steps")
    assert result.exit_code == 1
    assert "clock-steps cannot be run here" in str(result.exception) + result.output


def test_what_has_a_report_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.chaos.results.commit", lambda: MACHINE.commit)
    write_report(made_up_run(), tmp_path / "leader-killed.reads-0.9.lasts-60")
    words = ["chaos", "run", "leader-killed", "--reads", "0.9", "--lasts", "60", "--missing"]
    page = tmp_path / "page.md"
    result = leadplane(*words, "--report", str(tmp_path), "--record", str(page))
    assert result.exit_code == 0, result.output
    assert "leader-killed.reads-0.9.lasts-60: this commit has been here" in result.output
    assert "1 of 1 runs held every verdict" in page.read_text("utf-8")


def test_what_was_not_as_promised_before_still_ends_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.chaos.results.commit", lambda: MACHINE.commit)
    write_report(made_up_run(diverged=2.0), tmp_path / "leader-killed")
    result = leadplane("chaos", "run", "leader-killed", "--missing", "--report", str(tmp_path))
    assert result.exit_code == 1
