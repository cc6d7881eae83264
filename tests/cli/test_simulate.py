"""`leadplane simulate`: what it takes and what it tells; what it finds is tests/simulation's."""

from __future__ import annotations

import pytest

from tests.cli.stub_fleet import leadplane


def test_a_seed_is_run_and_told() -> None:
    result = leadplane("simulate", "--seeds", "3", "--minutes", "0.05")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("zone seed 3: ok; ")


def test_faults_can_be_left_out() -> None:
    result = leadplane("simulate", "--seeds", "3", "--minutes", "0.1", "--faults", "none")
    assert result.exit_code == 0, result.output
    assert ", 0 faults, " in result.stdout


@pytest.mark.parametrize("faults", ["all", "1,,3", "-1", ""])
def test_wrong_faults_are_refused(faults: str) -> None:
    result = leadplane("simulate", "--faults", faults)
    assert result.exit_code == 2
    assert "neither none nor numbers" in result.stderr


@pytest.mark.parametrize("seeds", ["x", "5-3", "1-", "-1"])
def test_wrong_seeds_are_refused(seeds: str) -> None:
    result = leadplane("simulate", "--seeds", seeds)
    assert result.exit_code == 2
    assert "neither a number nor a range" in result.stderr


def test_scenarios_are_named_when_one_is_wrong() -> None:
    result = leadplane("simulate", "--scenario", "armageddon")
    assert result.exit_code == 1
    assert "one of: " in result.stderr
    assert "zone" in result.stderr
