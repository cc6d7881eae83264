"""`leadplane report`: what a week looked like, for the people who answer for the fleet."""

from __future__ import annotations

import json
from pathlib import Path

import click

from controlplane.cli.connection import access_at
from controlplane.cli.looking_back import MOMENT, check_new, gather, moment_of, now_ms, write


@click.command("report")
@click.option("--week", is_flag=True, help="The week until --to, beside the week before it.")
@click.option("--to", metavar=MOMENT, help="Until then, or so long ago; now unless it is said.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("markdown", "json")),
    default="markdown",
    show_default=True,
    help="A page for people, or the figures behind it.",
)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="Write it there.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def report(
    week: bool, to: str | None, output: str, file: Path | None, force: bool, at: str | None
) -> None:
    """Tell how a week was: availability of leaders, failovers and why, how long elections took,
    rollouts, moves and changes, each beside the week before.

    It is made of what the fleet itself keeps, and says what of these two weeks is not kept any
    more. A duration counts from now; a moment is 2026-03-01T12:00, this place's time.

    \b
    Examples:
      leadplane report --week
      leadplane report --week --to 2026-03-02T00:00 --file week-09.md
      leadplane report --week -o json
    """
    if not week:
        raise click.UsageError("give --week: it is the one report there is")
    asked_ms = now_ms()
    to_ms = asked_ms if to is None else moment_of(to, "--to", asked_ms)
    if file is not None:
        check_new(file, force)
    elif force:
        raise click.UsageError("--force is about a file: give --file")
    access = access_at(at)
    from controlplane.lookback.week import WEEK_MS, week_report
    from controlplane.lookback.week_page import week_page

    found = week_report(gather(access, max(0, to_ms - 2 * WEEK_MS), to_ms), to_ms)
    if output == "json":
        text = json.dumps(found.document(), indent=2, ensure_ascii=False) + "\n"
    else:
        text = week_page(found)
    if file is None:
        click.echo(text, nl=False)
        return
    write(file, text)
    click.echo(f"{file}: the week to {to or 'now'}")
