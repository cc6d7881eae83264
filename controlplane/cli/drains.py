"""`leadplane nodes drain`, `undrain`, `stoppable`, and the same of regions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import FleetAccess, Problem, fleet_access
from controlplane.cli.output import Column, format_option, ms_text, show, table
from controlplane.planning.reasons import waiting_text

if TYPE_CHECKING:
    from rich.console import RenderableType

LOOK_S = 0.5
MISSED_MAX = 60  # looks without an answer: half a minute


def place_text(drain: Any) -> str:
    """A place, for people."""
    within = f" of {drain['within']}" if drain["within"] else ""
    return f"{drain['scope']} {drain['name']}{within}"


def _rate(drain: Any) -> str | None:
    return None if drain["per_minute"] is None else f"{drain['per_minute']:,.0f}"


DRAINS = (
    Column("PLACE", place_text),
    Column("STATE", lambda d: d["state"]),
    Column("LEFT", lambda d: f"{d['left']} of {d['total']}", right=True),
    Column("CANARIES", lambda d: len(d["canaries"]) or None, right=True, sparse=True),
    Column("STAYS", lambda d: d["stays"] or None, right=True, sparse=True),
    Column("A MINUTE", _rate, right=True),
    Column("ETA", lambda d: ms_text(d["eta_ms"]), right=True),
    Column("WAITS FOR", lambda d: d["waits_for"], sparse=True),
    Column("BY", lambda d: d["principal"], wide=True),
    Column("REASON", lambda d: d["reason"] or None, sparse=True),
)
REASONS = (
    Column("WHY NOT", lambda r: r["why"]),
    Column("WHERE", lambda r: r["place"] or None, sparse=True),
    Column("DETAIL", lambda r: r["detail"]),
    Column("PROMISED", lambda r: ", ".join(r["promised"]) or None, sparse=True),
)


def draw_drain(drain: Any, wide: bool) -> RenderableType:
    """One drain."""
    return table(DRAINS, [drain], wide)


def _draining_options(command: Any) -> Any:
    for option in (
        format_option,
        click.option(
            "--deadline-s", type=click.FloatRange(1, 2_592_000), metavar="SECONDS",
            help="Be done by then, and no faster; refused when it cannot be kept.",
        ),
        click.option(
            "--added-p99-ms", type=click.IntRange(1, 600_000), metavar="MS",
            help="By how much the 99th percentile of writes may grow meanwhile.",
        ),
        click.option("--no-wait", is_flag=True, help="Do not wait until it is done."),
        click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing."),
        click.option("--reason", help="Shown to everybody who looks."),
    ):  # fmt: skip
        command = option(command)
    return command


def _wishes(deadline_s: float | None, added_p99_ms: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if deadline_s is not None:
        found["deadline_ms"] = round(deadline_s * 1_000)
    if added_p99_ms is not None:
        found["added_p99_ms"] = added_p99_ms
    return found


def _post(access: FleetAccess, path: str, body: Any, **query: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    return access.send("POST", path, query, headers, json.dumps(body).encode()).document()


def _begin(
    path: str, body: Any, output: str, no_wait: bool, dry_run: bool, reason: str | None
) -> None:
    access = fleet_access()
    drain = _post(access, path, body, dry_run=dry_run or None, reason=reason)
    if not (no_wait or dry_run):
        drain = _followed(access, drain)
    show(lambda: drain, draw_drain, output)


def _followed(access: FleetAccess, drain: Any) -> Any:
    """The drain when it is done, or over; how far it is, on the way."""
    import time

    told, missed = None, 0
    while drain["state"] == "draining":
        said = (drain["left"], drain["waits_for"])
        if said != told:
            told = said
            waits = waiting_text(drain["waits_for"])
            click.echo(f"{drain['left']} of {drain['total']} leaders left{waits}", err=True)
        time.sleep(LOOK_S)
        try:
            drains = access.get("/v1/placement")["drains"]
        except Problem as problem:
            missed += 1
            if problem.document.get("retry_after_ms") is None or missed > MISSED_MAX:
                raise
            continue  # the global leader is among what is handed over
        missed = 0
        place = ("scope", "name", "within")
        known = [each for each in drains if all(each[part] == drain[part] for part in place)]
        drain = known[0] if known else {**drain, "state": "over"}
    return drain


@click.command("drain")
@click.argument("node")
@_draining_options
def drain_node(
    node: str,
    output: str,
    deadline_s: float | None,
    added_p99_ms: int | None,
    no_wait: bool,
    dry_run: bool,
    reason: str | None,
) -> None:
    """Have everything handed over that NODE leads, and give it nothing until `undrain`.

    \b
    Example:
      leadplane nodes drain eu-central-1-n1 --reason "new disks"
    """
    path = f"/v1/nodes/{node}/drain"
    _begin(path, _wishes(deadline_s, added_p99_ms), output, no_wait, dry_run, reason)


@click.command("undrain")
@click.argument("node")
@click.option(
    "--canary-share", type=click.FloatRange(0, 0.5, min_open=True), metavar="SHARE",
    help="Let it lead so large a part of all shards first, at least one; 0.01 is 1 %.",
)  # fmt: skip
@format_option
@click.option("--reason", help="Kept with the record.")
def undrain_node(node: str, canary_share: float | None, output: str, reason: str | None) -> None:
    """Let NODE lead again; its leaders come home by themselves.

    \b
    Example:
      leadplane nodes undrain eu-central-1-n1 --canary-share 0.01
    """
    body = {} if canary_share is None else {"canary_share": canary_share}
    drain = _post(fleet_access(), f"/v1/nodes/{node}/undrain", body, reason=reason)
    show(lambda: drain, draw_drain, output)


@click.command("stoppable")
@click.argument("node")
@format_option
@click.option(
    "--promise-s",
    type=click.FloatRange(0, 86_400),
    default=600,
    show_default=True,
    help="For how long NODE then counts as gone for everybody else who asks; 0: no longer.",
)
@click.option("--dry-run", is_flag=True, help="Promise nothing.")
def stoppable(node: str, output: str, promise_s: float, dry_run: bool) -> None:
    """Ask whether NODE can be stopped beside those that were promised; exit status 1 if not.

    \b
    Example:
      leadplane nodes stoppable eu-central-1-n1 --dry-run
    """
    body = {"promise_ms": round(promise_s * 1_000)}
    found = _post(fleet_access(), f"/v1/nodes/{node}/stoppable", body, dry_run=dry_run or None)
    show(lambda: found, _draw_stop, output)
    if not found["stoppable"]:
        raise click.exceptions.Exit(1)


def _draw_stop(found: Any, wide: bool) -> RenderableType:
    from rich.text import Text

    if found["stoppable"]:
        return Text(f"{found['node']} can be stopped.")
    return table(REASONS, found["reasons"], wide)


@click.command("drain")
@click.argument("region")
@click.option("--zone", metavar="ZONE", help="Only nodes of this zone of it.")
@_draining_options
def drain_region(
    region: str,
    zone: str | None,
    output: str,
    deadline_s: float | None,
    added_p99_ms: int | None,
    no_wait: bool,
    dry_run: bool,
    reason: str | None,
) -> None:
    """Have everything handed over that REGION leads, and give it nothing until `undrain`.

    \b
    Example:
      leadplane regions drain eu-central-1 --zone eu-central-1a --dry-run
    """
    body = _wishes(deadline_s, added_p99_ms) | ({"zone": zone} if zone else {})
    _begin(f"/v1/regions/{region}/drain", body, output, no_wait, dry_run, reason)


@click.command("undrain")
@click.argument("region")
@click.option("--zone", metavar="ZONE", help="Only this zone of it.")
@format_option
@click.option("--reason", help="Kept with the record.")
def undrain_region(region: str, zone: str | None, output: str, reason: str | None) -> None:
    """Let REGION lead again; its leaders come home by themselves.

    \b
    Example:
      leadplane regions undrain eu-central-1
    """
    body = {"zone": zone} if zone else {}
    drain = _post(fleet_access(), f"/v1/regions/{region}/undrain", body, reason=reason)
    show(lambda: drain, draw_drain, output)
