"""Asking before something is done: what it would be, and whether it is meant.

Somebody at a terminal is asked; a program is not, since it typed what it meant. The question and
what it is about go to standard error, so that standard output holds the outcome alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from controlplane.cli.output import console

if TYPE_CHECKING:
    from rich.console import RenderableType

DECLINED = 1
"""The exit status when somebody was asked, and said no."""


def is_at_terminal() -> bool:
    """Whether there is somebody to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, *about: RenderableType) -> None:
    """Show what would be done, and ask. Raises click.exceptions.Exit when it is not meant."""
    screen = console(to_stderr=True)
    for part in about:
        screen.print(part)
    if not click.confirm(f"\n{question}", err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(DECLINED)
