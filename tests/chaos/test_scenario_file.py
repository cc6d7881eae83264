"""Scenarios as files: those that come along can be read, and what is wrong is told by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.chaos.scenario import Cut, Kill
from controlplane.chaos.scenario_file import load_scenario, names, read_scenario, shipped
from controlplane.errors import ScenarioInvalid

GOOD = """\
name: mine
shows: Something.
fleet: {nodes: 2}
faults:
  - {at_s: 6, do: kill, to: leader of s00, for_s: 2}
  - {at_s: 9, do: cut, away: node n1, for_s: 1, way: out}
"""


def test_a_good_file_says_what_it_says() -> None:
    scenario = read_scenario(GOOD, "mine.yaml")
    kill, cut = scenario.faults
    assert isinstance(kill, Kill)
    assert isinstance(cut, Cut)
    assert (kill.to, kill.for_s, kill.times) == ("leader of s00", 2, 1)
    assert (cut.way, cut.ends) == ("out", "late")
    assert (scenario.fleet.nodes, scenario.fleet.stores, scenario.first_fault_s) == (2, 3, 6)


def test_those_that_come_along_can_be_read_and_are_called_as_their_files() -> None:
    assert [scenario.name for scenario in shipped()] == names()
    assert len(names()) >= 16


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("to: leader of s00", "too: leader of s00"), "line 5, /faults/0/to: `to` is missing"),
        (
            ("for_s: 2", "for: 2"),
            "line 5, /faults/0/for: there is no field `for` here (did you mean `for_s`?)",
        ),
        (("do: kill", "do: kil"), "line 5, /faults/0: `do` must say what happens (one of: clock,"),
        (("do: kill, ", ""), "line 5, /faults/0: `do` must say what happens"),
        (("at_s: 6", "at_s: six"), "line 5, /faults/0/at_s: should be a valid number, not 'six'"),
        (("leader of s00", "boss of s00"), "line 5, /faults/0/to: nobody can be meant by this"),
        (("way: out", "way: up"), "line 6, /faults/1/way: should be 'both', 'out' or 'in'"),
        (("away: node n1, ", ""), "line 6, /faults/1: a cut needs either `away` or `sides`"),
        (("nodes: 2", "nodes: 0"), "line 3, /fleet/nodes: should be greater than or equal to 1"),
        (("for_s: 2", "for_s: 60"), "fault 0 ends 66 s after the start, and the run at 30 s"),
        (("faults:", "fault:"), "`faults` is missing"),
        (("name: mine", "name: My Own"), "/name: 'My Own' does not have the right form"),
        (("fleet: {nodes: 2}", "fleet: {nodes: 2"), "this is not YAML"),
    ],
)
def test_a_wrong_field_is_told_by_line_and_place(change: tuple[str, str], line: str) -> None:
    with pytest.raises(ScenarioInvalid) as refused:
        read_scenario(GOOD.replace(*change), "mine.yaml")
    assert line in str(refused.value)
    assert str(refused.value).startswith("mine.yaml: this scenario cannot be run\n")


def test_everything_wrong_is_told_at_once() -> None:
    text = GOOD.replace("nodes: 2", "node: 2").replace("way: out", "way: up")
    with pytest.raises(ScenarioInvalid) as refused:
        read_scenario(text, "mine.yaml")
    assert str(refused.value).count("error: ") == 2


def test_a_scenario_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_scenario(str(path)).name == "mine"
    assert load_scenario("leader-killed").name == "leader-killed"
    with pytest.raises(ScenarioInvalid, match="nor a file of that name") as refused:
        load_scenario("leader-kiled")
    assert "leader-killed" in str(refused.value)
    with pytest.raises(ScenarioInvalid, match="cannot be read"):
        load_scenario(str(tmp_path / "gone.yaml"))
