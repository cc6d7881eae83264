"""Every command shows in its help how it is typed, and takes what is shown there."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.typed_commands import every_command, understand

FILES = ("audit.jsonl", "monday.leadplane", "new-topology.yaml", "topology.yaml")
"""What examples read, and which has to be there when they are parsed."""
EVERY = dict(every_command())


def examples_of(path: str, command: click.Command) -> list[str]:
    """The lines of its help that begin with its name, without the one that says how it is used."""
    told = command.get_help(click.Context(command, info_name=path, max_content_width=100))
    return [line.strip() for line in told.splitlines() if f"{line.strip()} ".startswith(f"{path} ")]


@pytest.mark.parametrize("path", EVERY)
def test_help_has_an_example_that_is_understood(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    for name in FILES:
        (tmp_path / name).touch()
    examples = examples_of(path, EVERY[path])
    assert examples, f"`{path} --help` shows no line that begins with `{path}`"
    for line in examples:
        understand(line)


def test_all_commands_are_looked_at() -> None:
    assert len(EVERY) > 80
    assert {"leadplane up", "leadplane shards get", "leadplane regions stores add"} <= set(EVERY)


def test_what_is_no_command_is_not_understood() -> None:
    with pytest.raises(click.UsageError):
        understand("leadplane shards get")
    with pytest.raises(click.UsageError):
        understand("leadplane shards transfer s17 --to-nowhere x")
