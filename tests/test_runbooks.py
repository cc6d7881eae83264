"""Runbooks have all of their parts; their links and their commands lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from controlplane.cli.main import cli
from tests.typed_commands import understand

RUNBOOKS = Path(__file__).parents[1] / "docs" / "runbooks"
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
PARTS = ["Signal", "First look", "Decision", "Commands", "Over when"]
MODES = {f"D{number}" for number in range(1, 15)}
MODE = re.compile(r"^Failure mode (D\d+)\.", re.MULTILINE)
COMMAND = re.compile(r"^    (leadplane .*)$", re.MULTILINE)
INLINE = re.compile(r"`(leadplane [^`]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_runbook_has_all_of_its_parts(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    first_look = text.split("## First look")[1].split("##")[0]
    assert "leadplane" in first_look


def test_every_failure_mode_has_a_runbook_and_the_list_has_all_of_them() -> None:
    found = {mode for page in PAGES for mode in MODE.findall(page.read_text("utf-8"))}
    assert found == MODES
    listed = re.findall(r"\(([a-z-]+)\.md\)", (RUNBOOKS / "README.md").read_text("utf-8"))
    assert sorted(listed) == [page.stem for page in PAGES]


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda path: path.stem)
def test_commands_of_a_runbook_are_understood(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit.jsonl").touch()  # as the command before it leaves it
    text = page.read_text("utf-8")
    lines = COMMAND.findall(text)
    for line in lines:
        understand(line)
    assert lines or page.name == "README.md"
    for mention in INLINE.findall(text):
        named = mention.split()[1].rstrip(":")
        assert cli.get_command(click.Context(cli), named) is not None, mention


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_of_a_runbook_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).is_file(), target
