"""`leadplane rollouts`: how revisions come into force, region by region, and orders about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at, fleet_access
from controlplane.cli.document_edits import STRATEGIES
from controlplane.cli.durations import METAVAR, duration_ms
from controlplane.cli.output import format_option, list_unless_more, output_options, show
from controlplane.cli.rollout_start import draw_begun, order, start_rollout
from controlplane.cli.rollout_views import draw_rollout, draw_rollouts, draw_steps, headline
from controlplane.cli.rollout_watch import rollout_status
from controlplane.cli.rollout_watch import watch as watched

if TYPE_CHECKING:
    from rich.console import RenderableType

AT = click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
NUMBER = click.argument("number", type=click.IntRange(min=1))


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def rollouts(context: click.Context, output: str, watch: bool) -> None:
    """Show, begin and steer rollouts; without a further word, list them."""
    list_unless_more(context, list_rollouts, output, watch)


@rollouts.command("list")
@output_options
@click.option("--document", metavar="NAME", help="Only those of this document.")
@AT
def list_rollouts(
    output: str = "table", watch: bool = False, document: str | None = None, at: str | None = None
) -> None:
    """List the rollouts that are remembered, the newest first.

    \b
    Example:
      leadplane rollouts list --document placement
    """
    access = access_at(at)

    def fetch() -> dict[str, Any]:
        found = access.items("/v1/rollouts")
        kept = [each for each in found["items"] if document in (None, each["document"])]
        return {**found, "items": kept}

    show(fetch, draw_rollouts, output, watch)


@rollouts.command("get")
@NUMBER
@format_option
@click.option("--watch", "-w", is_flag=True, help="Follow it until it is over.")
@AT
def get_rollout(number: int, output: str, watch: bool, at: str | None) -> None:
    """Show one rollout: its phase, each region, what gates said, what it waits for.

    With --watch it is drawn again in a terminal whenever it goes on; elsewhere a line is printed
    for each thing that happens, and with -o json a document on each line.

    \b
    Example:
      leadplane rollouts get 7 --watch
    """
    access = access_at(at)
    if watch:
        watched(access, number, output)
        return
    show(lambda: access.get(f"/v1/rollouts/{number}"), draw_rollout, output)


def _order_options(command: Any) -> Any:
    for option in (
        format_option,
        click.option("--dry-run", is_flag=True, help="Say what would come of it, and do nothing."),
        click.option("--reason", help="Kept with the record."),
        NUMBER,
    ):
        command = option(command)
    return command


@rollouts.command("pause")
@click.option(
    "--for", "for_ms", type=duration_ms, metavar=METAVAR, help="Go on by itself after this time."
)
@_order_options
def pause_rollout(
    number: int, for_ms: int | None, reason: str | None, dry_run: bool, output: str
) -> None:
    """Begin nothing more of rollout NUMBER; the clock of its bake stands still.

    \b
    Example:
      leadplane rollouts pause 7 --for 30m --reason "latency looks odd"
    """
    _order(number, "pause", {} if for_ms is None else {"for_ms": for_ms}, reason, dry_run, output)


@rollouts.command("resume")
@_order_options
def resume_rollout(number: int, reason: str | None, dry_run: bool, output: str) -> None:
    """Go on where rollout NUMBER was paused; approve the wave that waits for it.

    \b
    Example:
      leadplane rollouts resume 7
    """
    _order(number, "resume", {}, reason, dry_run, output)


@rollouts.command("promote")
@_order_options
def promote_rollout(number: int, reason: str | None, dry_run: bool, output: str) -> None:
    """Skip what is left of this wave's bake, and its gates.

    \b
    Example:
      leadplane rollouts promote 7 --reason "tried by hand"
    """
    _order(number, "promote", {}, reason, dry_run, output)


@rollouts.command("abort")
@_order_options
def abort_rollout(number: int, reason: str | None, dry_run: bool, output: str) -> None:
    """Give all regions that rollout NUMBER reached what they had before.

    \b
    Example:
      leadplane rollouts abort 7 --reason "errors in eu-central-1"
    """
    _order(number, "abort", {}, reason, dry_run, output)


@rollouts.command("rollback")
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default="all-at-once", show_default=True,
    help="How regions go back when it is over already.",
)  # fmt: skip
@_order_options
def roll_back(number: int, strategy: str, reason: str | None, dry_run: bool, output: str) -> None:
    """Abort rollout NUMBER; or, if it is over, begin another one, to what was before it.

    \b
    Examples:
      leadplane rollouts rollback 7 --dry-run
      leadplane rollouts rollback 7 --strategy canary
    """
    _order(number, "rollback", {"strategy": strategy}, reason, dry_run, output)


def _order(
    number: int, word: str, body: dict[str, Any], reason: str | None, dry_run: bool, output: str
) -> None:
    path = f"/v1/rollouts/{number}/{word}"
    found = order(fleet_access(), path, body, reason, dry_run)
    draw = _draw_order
    if found["rollout"] != number:
        draw = draw_steps if dry_run else draw_begun
    show(lambda: found, draw, output)


def _draw_order(rollout: Any, wide: bool) -> RenderableType:
    from rich.text import Text

    if rollout["dry_run"]:
        return Text(f"{headline(rollout)} So it would be. Nothing was done.")
    return draw_rollout(rollout, wide)


rollouts.add_command(start_rollout)
rollouts.add_command(rollout_status)
