"""A rollout looked at until it is over: `rollouts get --watch` and `rollouts status`.

Any node answers, from its region's copy of the record. So a look may be behind the one before, and
a rollout that was begun a moment ago may not be there yet: older records are passed over, and an
absence counts only when it lasts. What fails to answer is asked again, since the global leader may
change in the middle of a rollout, and the rollout goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    Problem,
    Unreachable,
    fleet_access,
)
from controlplane.cli.durations import METAVAR, duration_ms, duration_text
from controlplane.cli.output import console, print_document
from controlplane.cli.rollout_views import changes_between, draw_rollout, needs_person, next_steps

LOOK_S = 0.5
ABSENT_S = 5.0
SETTLED_S = 3.0
SILENT_S = 30.0

SUCCEEDED = 0
NOT_SUCCEEDED = 1
GOING_ON = 3
WAITS_FOR_PERSON = 4


def looks(
    access: FleetAccess,
    number: int,
    patience_s: float | None = None,
    stands: Callable[[Any], bool] = lambda _: False,
) -> Iterator[Any]:
    """The record each time it is another one, until it is over, or the time has run out.

    It also ends when the record is one that `stands`, and has not changed for a while: what was
    just resumed is not taken for paused because a copy is behind.

    Raises what asking raised, if nobody answered for too long, or not once in time.
    """
    started = heard = since = time.monotonic()
    known: Any = None
    access = access.at_once()
    while True:
        left_s = inf if patience_s is None else started + patience_s - time.monotonic()
        try:
            found = access.get(f"/v1/rollouts/{number}")
        except CommandFailed as failure:
            silent_s = time.monotonic() - heard
            is_late = known is None and left_s <= 0
            if is_late or silent_s >= _borne_s(
                failure, SILENT_S if known else patience_s or ABSENT_S
            ):
                raise
        else:
            heard = time.monotonic()
            if known is None or found["sequence"] > known["sequence"]:
                known, since = found, heard
                yield found
            if known["over"] or (stands(known) and heard - since >= SETTLED_S):
                return
        if left_s <= 0:
            return
        time.sleep(min(LOOK_S, left_s))


def _borne_s(failure: CommandFailed, silence_s: float) -> float:
    """For how long such a failure is borne before it is told; `silence_s`: that nobody answers."""
    if isinstance(failure, Unreachable):
        return silence_s
    if not isinstance(failure, Problem):
        return 0.0
    if failure.kind == "unknown-rollout":
        return ABSENT_S
    return silence_s if failure.document.get("retry_after_ms") is not None else 0.0


def watch(access: FleetAccess, number: int, output: str) -> None:
    """Show a rollout until it is over: in place on a terminal, else a line for what happens."""
    try:
        if output in ("json", "yaml"):
            _print_each(access, number, output)
        elif sys.stdout.isatty():
            _draw_in_place(access, number, output == "wide")
        else:
            for line in _lines(access, number):
                click.echo(line)
                sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _print_each(access: FleetAccess, number: int, output: str) -> None:
    for place, found in enumerate(looks(access, number)):
        if output == "json":
            click.echo(json.dumps(found, ensure_ascii=False))
        else:
            click.echo("---\n" if place else "", nl=False)
            print_document(found, draw_rollout, output)
        sys.stdout.flush()


def _draw_in_place(access: FleetAccess, number: int, wide: bool) -> None:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        for found in looks(access, number):
            live.update(draw_rollout(found, wide), refresh=True)


def _lines(access: FleetAccess, number: int) -> Iterator[str]:
    before = None
    for found in looks(access, number):
        yield from changes_between(before, found)
        before = found


@click.command("status")
@click.argument("number", type=click.IntRange(min=1))
@click.option(
    "--timeout", "timeout_ms", type=duration_ms, metavar=METAVAR,
    help="Wait no longer than this; 0 looks once. Without it, until it is over.",
)  # fmt: skip
def rollout_status(number: int, timeout_ms: int | None) -> None:
    """Wait until rollout NUMBER is over, and say by the exit status how it ended.

    0 succeeded. 1 it is over otherwise, or there is no such rollout. 3 it still goes on, or nobody
    could be asked. 4 it is paused until a person does something; no time-out is waited for.

    \b
    Example:
      leadplane rollouts status 7 --timeout 20m
    """
    before: Any = None
    patience_s = None if timeout_ms is None else timeout_ms / 1_000
    try:
        for found in looks(fleet_access(), number, patience_s, needs_person):
            for line in changes_between(before, found):
                click.echo(line)
            sys.stdout.flush()
            before = found
    except CommandFailed as failure:
        if isinstance(failure, Problem) and _is_final(failure):
            raise
        failure.show()
        raise click.exceptions.Exit(GOING_ON) from None
    raise click.exceptions.Exit(_status(before, timeout_ms))


def _is_final(problem: Problem) -> bool:
    """Whether asking again would be answered the same."""
    return problem.document.get("retry_after_ms") is None


def _status(found: Any, timeout_ms: int | None) -> int:
    """The exit status, by what was seen last."""
    if found["over"]:
        return SUCCEEDED if found["phase"] == "succeeded" else NOT_SUCCEEDED
    pause = found["pause"]
    if pause is not None and not pause["until_wall_ms"]:
        click.echo("\n".join(next_steps(found)), err=True)
        return WAITS_FOR_PERSON
    waited = f"after {duration_text(timeout_ms or 0)}"
    click.echo(f"error: it still goes on {waited}: {found['phase']}", err=True)
    return GOING_ON
