"""`leadplane postmortem`: a document about an incident, ready to be filled in."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    Problem,
    Unreachable,
    access_at,
    check_address,
)
from controlplane.cli.looking_back import MOMENT, check_new, gather, moment_of, now_ms, write

if TYPE_CHECKING:
    from controlplane.lookback.indicators import Indicator
    from controlplane.lookback.remembered import Remembered
    from controlplane.lookback.tenures import Window

PROMETHEUS_TIMEOUT_S = 30.0


@click.command("postmortem")
@click.option("--from", "from_", metavar=MOMENT, required=True, help="When it began.")
@click.option("--to", metavar=MOMENT, help="When it was over; now unless it is said.")
@click.option("--shard", "shards", metavar="ID", multiple=True, help="Only of this shard; often.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it there, and a picture beside it as FILE.svg.",
)
@click.option("--force", is_flag=True, help="Replace the files if they are there.")
@click.option("--prometheus", metavar="URL", help="Ask it for the indicators M1 to M10.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def postmortem(
    from_: str,
    to: str | None,
    shards: tuple[str, ...],
    file: Path | None,
    force: bool,
    prometheus: str | None,
    at: str | None,
) -> None:
    """Draft a postmortem in Markdown: figures, a timeline, who led when and who did not, what was
    in force; and places for what only people know.

    Take a few minutes more on both sides. A duration counts from now; a moment is
    2026-03-01T12:00, this place's time; in the document all times are UTC. With --file, there is a
    picture as well: leaders of each shard as bars, gaps in red, events as marks.

    \b
    Examples:
      leadplane postmortem --from 1h --file incident.md
      leadplane postmortem --from 2026-03-01T12:00 --to 2026-03-01T12:30 --shard s17 --shard s03
      leadplane postmortem --from 2h --to 1h --prometheus http://127.0.0.1:9090 --file incident.md
    """
    asked_ms = now_ms()
    from_ms = moment_of(from_, "--from", asked_ms)
    to_ms = asked_ms if to is None else moment_of(to, "--to", asked_ms)
    if from_ms >= to_ms:
        raise click.UsageError(f"--from has to be before {'now' if to is None else '--to'}")
    if prometheus is not None:
        _check_prometheus(prometheus)
    picture = None
    if file is not None:
        picture = file.with_name(f"{file.name}.svg")
        check_new(file, force)
        check_new(picture, force)
    elif force:
        raise click.UsageError("--force is about files: give --file")
    access = access_at(at)
    from controlplane.lookback.incident import incident
    from controlplane.lookback.incident_page import HOW_TO_ASK, incident_page
    from controlplane.lookback.incident_svg import draw
    from controlplane.lookback.tenures import Window

    window = Window(from_ms, to_ms)
    told = gather(access, from_ms, None, shards)
    _check_shards(told, shards)
    found = incident(told, window, shards)
    measured, why_not = None, HOW_TO_ASK
    if prometheus is not None:
        measured, why_not = _measured(prometheus, window)
    name = None if picture is None else picture.name
    text = incident_page(found, name, measured, why_not)
    if file is None or picture is None:
        click.echo(text, nl=False)
        return
    write(picture, draw(found))
    write(file, text)
    click.echo(f"{file}: to be filled in; {picture} is its picture")


def _check_prometheus(url: str) -> None:
    """Refuse what is no address, and what would put a password into the document."""
    check_address(url, "--prometheus")
    if "@" in url:
        raise click.UsageError("--prometheus: leave user and password out of the address")


def _check_shards(told: Remembered, shards: tuple[str, ...]) -> None:
    """Whether there is, or was, each of them. Raises UsageError."""
    known = {row["shard"] for row in told.shards} | {event["shard"] for event in told.events}
    for shard in shards:
        if shard not in known:
            raise click.UsageError(f"--shard: no shard is called {shard!r}, nor was then")


def _measured(url: str, window: Window) -> tuple[list[Indicator] | None, str]:
    """What a Prometheus says, or why it says nothing; the document is drafted all the same."""
    from controlplane.lookback.indicators import indicators

    door = FleetAccess((url.rstrip("/"),), timeout_s=PROMETHEUS_TIMEOUT_S)
    try:
        return indicators(partial(answer_of, door), window), ""
    except Unreachable as failure:
        said = f"{url} does not answer: {failure.where}"
    except (CommandFailed, ValueError) as failure:
        said = f"{url} did not answer as it should: {failure}"
    click.echo(f"no indicators: {said}", err=True)
    return None, said


def answer_of(door: FleetAccess, path: str, **query: Any) -> Any:
    """A document; what Prometheus refuses is one as well, which says why."""
    try:
        return door.get(path, **query)
    except Problem as problem:
        raise ValueError(problem.message) from None
