"""Commands as they are typed, parsed and not run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from controlplane.cli.main import cli


def understand(line: str) -> None:
    """Parse a line `leadplane ...` up to a redirection. Raises UsageError where it is refused."""
    arguments = shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="leadplane")
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(context, arguments[0])
        if found is None:
            break
        command, arguments = found, arguments[1:]
    if arguments != ["--help"]:
        command.make_context("leadplane", list(arguments), parent=context)


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, with all words of its name."""
    return _leaves("leadplane", cli)


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None, f"{path} {name}"
        yield from _leaves(f"{path} {name}", found)
