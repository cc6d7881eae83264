"""`leadplane rollouts start`, and what every command does that begins a rollout."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, Problem, fleet_access
from controlplane.cli.document_edits import STRATEGIES, bake_options
from controlplane.cli.document_text import Source, Text, read_text, told_by_line
from controlplane.cli.output import format_option, show
from controlplane.cli.rollout_views import draw_rollout, draw_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

FLEET_GATE = {"name": "fleet", "kind": "fleet"}
"""What every rollout is watched by; gates that are named are asked beside it."""


@dataclass(frozen=True, slots=True)
class GateFile:
    """A gate, and where it stands in which file."""

    content: Any
    file: str
    text: Text
    inside: str


def order(
    access: FleetAccess, path: str, body: Any, reason: str | None, dry_run: bool = False
) -> Any:
    """Send an order about a rollout; give the rollout as it is then, or would be."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    query = {"reason": reason, "dry_run": dry_run or None}
    return access.send("POST", path, query, headers, json.dumps(body).encode()).document()


@click.command("start")
@click.argument("document")
@click.option("--version", type=click.IntRange(min=0), help="Which one; the newest if not given.")
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default="canary", show_default=True,
    help="Which regions change together.",
)  # fmt: skip
@bake_options
@click.option("--order", "regions", metavar="REGION,...", help="These change first, in this order.")
@click.option(
    "--approve-wave", "approvals", type=click.IntRange(min=1), multiple=True, metavar="WAVE",
    help="This wave begins only when somebody resumes the rollout.",
)  # fmt: skip
@click.option(
    "--nodes-percent", type=click.IntRange(1, 100), metavar="PERCENT",
    help="Of linear and exponential: go by so many percent of all regions' nodes, not by regions.",
)  # fmt: skip
@click.option(
    "--regions-percent", type=click.IntRange(1, 100), metavar="PERCENT",
    help="Of linear and exponential: go by so many percent of the regions.",
)  # fmt: skip
@click.option(
    "--gate", "files", type=click.Path(dir_okay=False), multiple=True, metavar="FILE",
    help="Ask this, too, after each wave: one gate, or a list of them.",
)  # fmt: skip
@click.option("--queue", is_flag=True, help="Wait for a rollout that goes on, of it or related.")
@click.option("--supersede", is_flag=True, help="Take the place of the one of it that goes on.")
@click.option("--reason", help="Kept with the record.")
@click.option("--dry-run", is_flag=True, help="Show every step with its expected time, do nothing.")
@format_option
def start_rollout(
    document: str, version: int | None, strategy: str, bake_ms: int | None,
    final_bake_ms: int | None, regions: str | None, approvals: tuple[int, ...],
    nodes_percent: int | None, regions_percent: int | None, files: tuple[str, ...], queue: bool,
    supersede: bool, reason: str | None, dry_run: bool, output: str,
) -> None:  # fmt: skip
    """Bring a version of DOCUMENT into force everywhere, wave after wave.

    A FILE with a gate is YAML or JSON: name, kind (fleet, prometheus, http), and what that needs.
    The fleet's own gate is asked beside it, unless a gate of kind fleet says how.

    \b
    Examples:
      leadplane rollouts start placement --dry-run
      leadplane rollouts start placement --strategy linear --bake 10m
      leadplane rollouts start placement --approve-wave 2 --gate gate.yaml
    """
    if queue and supersede:
        raise click.UsageError("--queue and --supersede exclude each other")
    gates = [gate for file in files for gate in _gates_in(file)]
    how = strategy_body(strategy, bake_ms, final_bake_ms)
    if regions is not None:
        how["order"] = [each.strip() for each in regions.split(",") if each.strip()]
    percents = {"nodes_percent": nodes_percent, "regions_percent": regions_percent}
    how |= {name: percent for name, percent in percents.items() if percent is not None}
    if approvals:
        how["approvals"] = sorted(set(approvals))
    body: dict[str, Any] = {"document": document, "strategy": how}
    if version is not None:
        body["version"] = version
    if queue or supersede:
        body["queue" if queue else "supersede"] = True
    own = 0
    if gates:
        own = 0 if any(_is_of_fleet(gate.content) for gate in gates) else 1
        body["gates"] = [FLEET_GATE] * own + [gate.content for gate in gates]
    try:
        rollout = order(fleet_access(), "/v1/rollouts", body, reason, dry_run)
    except Problem as problem:
        raise told_by_line(problem, _places(gates, own)) from None
    show(lambda: rollout, draw_steps if dry_run else draw_begun, output)


def strategy_body(name: str, bake_ms: int | None, final_bake_ms: int | None) -> dict[str, Any]:
    """A strategy with the times that were given."""
    times = {"bake_ms": bake_ms, "final_bake_ms": final_bake_ms}
    return {"name": name, **{name: ms for name, ms in times.items() if ms is not None}}


def draw_begun(rollout: Any, wide: bool) -> RenderableType:
    """A rollout that was begun, and how it is followed."""
    from rich.console import Group
    from rich.text import Text

    follow = f"Follow it: leadplane rollouts get {rollout['rollout']} --watch"
    return Group(draw_rollout(rollout, wide), Text(), Text(follow))


def _gates_in(file: str) -> Sequence[GateFile]:
    text = read_text(file)
    if isinstance(text.content, list):
        return [GateFile(each, file, text, f"/{n}") for n, each in enumerate(text.content)]
    if not isinstance(text.content, dict):
        hint = "write name, kind, and what that kind needs: see `leadplane rollouts start --help`"
        raise CommandFailed("it is no gate, and no list of gates", file, hint)
    return [GateFile(text.content, file, text, "")]


def _is_of_fleet(gate: Any) -> bool:
    return isinstance(gate, dict) and gate.get("kind", "fleet") == "fleet"


def _places(gates: Sequence[GateFile], own: int) -> list[Source]:
    """Where each gate stands in the request, and where in a file."""
    return [
        Source(f"#/gates/{place}", gate.text, gate.file, gate.inside)
        for place, gate in enumerate(gates, own)
    ]
