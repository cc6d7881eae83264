"""`leadplane doctor`: look at everything that can be wrong, and say what to do first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    Problem,
    fleet_access,
)
from controlplane.cli.fenced import is_open
from controlplane.cli.output import format_option, print_document
from controlplane.cli.status import RUNBOOKS, whole_fleet
from controlplane.doctor.looks import Occasion, Result, check_up
from controlplane.doctor.sight import NodeSight, Sight

if TYPE_CHECKING:
    from rich.console import RenderableType

WELL, POOR, BAD = "ok", "look", "BAD"
STYLES = {WELL: "green", POOR: "yellow", BAD: "bold red"}
DOOR_TIMEOUT_S = 3.0
"""A node that does not answer for so long does not serve."""


@click.command("doctor")
@click.option("--incident", "occasion", flag_value=Occasion.INCIDENT.value, default=True,
              help="What can be wrong at this moment (the default).")  # fmt: skip
@click.option("--production", "occasion", flag_value=Occasion.PRODUCTION.value,
              help="Also what the next loss would cost; the audit log is verified.")  # fmt: skip
@click.option("--preproduction", "occasion", flag_value=Occasion.PREPRODUCTION.value,
              help="Also how the fleet is laid out, before anybody relies on it.")  # fmt: skip
@format_option
@click.pass_context
def doctor(context: click.Context, occasion: str, output: str) -> None:
    """Look at everything that can be wrong; one line for each look, and what to do first.

    Each trouble names a runbook, which goes on from there. The exit status is 1 when something
    takes service away, or a promise; 0 otherwise, also when something wants looking after.

    \b
    leadplane doctor                     # at night
    leadplane doctor --production        # every morning, from a pipeline
    leadplane doctor --preproduction     # before the fleet is relied upon
    """
    sight = sight_of(fleet_access().at_once(), Occasion(occasion))
    results = check_up(sight, Occasion(occasion))
    print_document(report_of(results), draw_doctor, output)
    context.exit(1 if any(result.is_grave for result in results) else 0)


def sight_of(access: FleetAccess, occasion: Occasion) -> Sight:
    """Ask for all that the looks of an occasion need. Raises Unreachable when nobody answers."""
    status, unasked = whole_fleet(access), dict[str, str]()
    led = status["shards_led"] >= status["shards_total"]

    def asked(look: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except CommandFailed as failure:
            unasked[look] = failure.message
            return None

    shards = None if led else asked("leaders", lambda: access.items("/v1/shards")["items"])
    by_day = occasion is not Occasion.INCIDENT
    return Sight(
        status,
        unled=tuple(shard for shard in shards or () if shard["state"] != "led"),
        nodes=tuple(_node_sight(access, node) for node in status["nodes"]),
        placement=asked("moves", lambda: access.get("/v1/placement")),
        rollouts=asked("rollouts", lambda: access.items("/v1/rollouts")["items"]),
        audit=asked("audit log", lambda: access.get("/v1/audit/verify")) if by_day else None,
        unasked=unasked,
    )


def _node_sight(access: FleetAccess, node: Any) -> NodeSight:
    """One node, asked at its own front door."""
    name = str(node["node"])
    if not node["alive"]:
        return NodeSight(name)
    door = access.only(node["url"]).within(DOOR_TIMEOUT_S)
    try:
        version = str(door.get("/livez").get("version", ""))
    except CommandFailed as failure:
        return NodeSight(name, why=failure.where or failure.message)
    try:
        fenced = sum(map(is_open, door.items(f"/v1/nodes/{name}/fenced-writes")["items"]))
    except Problem:
        fenced = 0  # of an earlier release
    except CommandFailed as failure:
        return NodeSight(name, why=failure.where or failure.message)
    return NodeSight(name, version=version, failed=_failed(door), fenced=fenced)


def _failed(door: FleetAccess) -> tuple[Any, ...]:
    try:
        door.get("/readyz")
    except CommandFailed as failure:
        document = getattr(failure, "document", {})
        return tuple(document.get("checks", [{"name": "readiness", "why": failure.message}]))
    return ()


def report_of(results: tuple[Result, ...]) -> dict[str, Any]:
    """What the looks came to, as `-o json` prints it."""
    return {
        "grave": sum(result.is_grave for result in results),
        "troubles": sum(len(result.troubles) for result in results),
        "looks": [
            {
                "look": result.look.name,
                "question": result.look.question,
                "state": _state(result),
                "runbook": f"{RUNBOOKS}/{result.look.runbook}.md",
                "troubles": [
                    {"what": each.what, "first": each.first, "grave": each.is_grave}
                    for each in result.troubles
                ],
            }
            for result in results
        ],
    }


def _state(result: Result) -> str:
    if not result.troubles:
        return WELL
    return BAD if result.is_grave else POOR


def draw_doctor(report: Any, _: bool) -> RenderableType:
    """One line for each look; under it what was found, what to do first, and where to read on."""
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = []
    for look in report["looks"]:
        state = look["state"]
        lines.append(Text.assemble((f"{state:<5}", STYLES[state]), look["question"]))
        for trouble in look["troubles"]:
            lines.append(Text(f"       {trouble['what']}"))
            lines.append(Text(f"       first: {trouble['first']}", style="bold"))
        if look["troubles"]:
            lines.append(Text(f"       then:  {look['runbook']}"))
    return Group(*lines, Text(), _verdict(report))


def _verdict(report: Any) -> RenderableType:
    from rich.text import Text

    if not report["troubles"]:
        return Text(f"All {len(report['looks'])} looks found nothing.", style="green")
    if not report["grave"]:
        return Text("Everything serves; something wants looking after.", style="yellow")
    return Text("Something does not serve: begin at the first BAD.", style="bold red")
