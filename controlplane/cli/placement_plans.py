"""`leadplane placement plan`, `apply`, `show`, `history`, `pause`, `resume`, `release`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, access_at, fleet_access
from controlplane.cli.drains import DRAINS
from controlplane.cli.output import NOTHING, Column, format_option, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

PATIENCE_S = 660.0
LOOK_S = 1.0
SHOWN = 20
SKIPPED_SHOWN = 4


def usd_text(amount: float | None) -> str:
    return NOTHING if amount is None else f"{amount:,.2f}"


MOVES = (
    Column("SHARD", lambda m: m["shard"]),
    Column("FROM", lambda m: m["from_leader"]),
    Column("TO", lambda m: m["to_leader"]),
    Column("NODE", lambda m: m["to_node"], sparse=True),
    Column("WHY", lambda m: m["reason"]),
    Column("USD/MONTH", lambda m: usd_text(m["usd_per_month"]), right=True),
    Column("WRITES WAIT", lambda m: f"{m['pause_ms']:,.0f} ms", right=True),
    Column("NEW VOTERS", lambda m: ", ".join(m["add"]) or None, sparse=True),
    Column("FORMER VOTERS", lambda m: ", ".join(m["remove"]) or None, sparse=True),
    Column("FOLLOWERS", lambda m: ", ".join(m["followers"]) or None, wide=True),
)
PRICE = (
    Column("", lambda p: p["what"]),
    Column("USD/MONTH", lambda p: usd_text(p["usd_per_month"]), right=True),
    Column("WRITE P50", lambda p: f"{p['write_p50_ms']:,.0f} ms", right=True),
    Column("WRITE P99", lambda p: f"{p['write_p99_ms']:,.0f} ms", right=True),
    Column("READ P50", lambda p: f"{p['read_p50_ms']:,.0f} ms", right=True),
    Column("READ P99", lambda p: f"{p['read_p99_ms']:,.0f} ms", right=True),
)
LOSSES = (
    Column("IF LOST", lambda x: x["region"]),
    Column("LEADERS LOST", lambda x: x["leaders_lost"], right=True),
    Column("UNAVAILABLE", lambda x: x["unavailable"], right=True),
    Column("NO MARGIN LEFT", lambda x: x["without_margin"], right=True),
)
ORDERS = (
    Column("ORDER", lambda o: o["number"], right=True),
    Column("PLAN", lambda o: o["plan"][:12]),
    Column("STATE", lambda o: o["state"]),
    Column("DONE", lambda o: f"{o['done']} of {o['total']}", right=True),
    Column("MOVED", lambda o: o["moved"], right=True),
    Column("BY", lambda o: o["principal"]),
    Column("REASON", lambda o: o["reason"] or None, sparse=True),
    Column("NOT MOVED", lambda o: _not_moved(o["skipped"]), sparse=True),
)


def _not_moved(skipped: list[dict[str, str]]) -> str | None:
    """The first few that an order left where they are, and why."""
    named = [f"{each['shard']} ({each['why']})" for each in skipped[:SKIPPED_SHOWN]]
    more = ["..."] if len(skipped) > SKIPPED_SHOWN else []
    return ", ".join(named + more) or None


def draw_plan(plan: Any, wide: bool) -> RenderableType:
    """Moves, the costs before and after, and what every loss would come to."""
    from rich.console import Group
    from rich.text import Text

    price = [{"what": when, **plan[when]} for when in ("before", "after")]
    parts: list[RenderableType] = []
    if plan["moves"]:
        parts += [table(MOVES, plan["moves"], wide), Text()]
        if plan["moves_count"] > len(plan["moves"]):
            parts.append(Text(f"... and {plan['moves_count'] - len(plan['moves']):,} more moves"))
    else:
        parts.append(Text("Nothing would move: everything is where it should be."))
    parts += [table(PRICE, price, wide), Text(), table(LOSSES, plan["after_losing"], wide), Text()]
    if plan["forecast"]:
        told = ", ".join(f"{region} x {factor:g}" for region, factor in plan["forecast"].items())
        parts.append(Text(f"Planned for the load that past days let expect: {told}"))
    if plan["not_planned"]:
        odd = ", ".join(plan["not_planned"][:SHOWN])
        parts.append(Text(f"Left where they are, since their groups are of no common shape: {odd}"))
    if plan["unavailable"]:
        stopped = ", ".join(plan["unavailable"][:SHOWN])
        parts.append(Text(f"Without a majority until the region is back: {stopped}"))
    if plan["moves"] and not plan["hypothetical"]:
        parts.append(Text(f"Carry it out: leadplane placement apply {plan['plan']}"))
    return Group(*parts)


def _what_if_options(command: Any) -> Any:
    for option in (
        click.option("--lose", multiple=True, metavar="REGION", help="As if it were out of reach."),
        click.option(
            "--load", multiple=True, metavar="[SHARDS@]REGION=FACTOR",
            help="As if load grew: 's0*@eu-central-1=3', or '*=2' for all.",
        ),
        click.option(
            "--with", "documents", multiple=True, metavar="NAME=FILE",
            help="As if the document held what is in this file.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _what_if(
    lose: tuple[str, ...], load: tuple[str, ...], documents: tuple[str, ...]
) -> dict[str, Any] | None:
    if not (lose or load or documents):
        return None
    return {
        "lost": list(lose),
        "loads": [_load(each) for each in load],
        "documents": dict(_document(each) for each in documents),
    }


def _load(text: str) -> dict[str, Any]:
    where, equals, factor = text.rpartition("=")
    shards, at, region = where.rpartition("@")
    try:
        number = float(factor)
    except ValueError:
        number = -1.0
    if not equals or not where or number < 0:
        raise click.BadParameter(
            f"{text!r} is not like eu-central-1=3 or s0*@eu-central-1=3", param_hint="--load"
        )
    return {"shards": shards if at else "*", "region": region, "factor": number}


def _document(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, file = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not like NAME=FILE", param_hint="--with")
    try:
        return name, yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as failure:
        raise CommandFailed(f"{file} cannot be read: {failure}", "", "see the file") from failure


def patient(access: FleetAccess) -> FleetAccess:
    return replace(access, timeout_s=PATIENCE_S)


def _post(access: FleetAccess, path: str, body: Any, **query: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    return access.send("POST", path, query, headers, json.dumps(body).encode())


@click.command("plan")
@format_option
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.option(
    "--scope", type=click.Choice(["leaders", "all"]), default="leaders", show_default=True,
    help="Change who leads, or voters as well: then whole shards are copied.",
)  # fmt: skip
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Draw a map of it as SVG.")  # fmt: skip
@click.option("--frontier", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Draw cost against latency as SVG.")  # fmt: skip
@_what_if_options
def make_plan(
    output: str,
    at: str | None,
    scope: str,
    plot: Path | None,
    frontier: Path | None,
    lose: tuple[str, ...],
    load: tuple[str, ...],
    documents: tuple[str, ...],
) -> None:
    """Show where shards should be led, what that would save, and what a lost region would cost.

    Nothing moves. With --lose, --load or --with it is the plan of a fleet that is not there.

    \b
    Examples:
      leadplane placement plan
      leadplane placement plan --lose eu-central-1 --load us-east-1=2
      leadplane placement plan --scope all --plot map.svg
    """
    access = patient(access_at(at))
    body = {"scope": scope, "what_if": _what_if(lose, load, documents)}
    show(lambda: _post(access, "/v1/placement/plan", body).document(), draw_plan, output)
    for what, file in (("map", plot), ("frontier", frontier)):
        if file is not None:
            picture = _post(access, "/v1/placement/picture", body, what=what).body
            file.write_bytes(picture)
            click.echo(f"drawn to {file}", err=True)


@click.command("apply")
@format_option
@click.argument("plan")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is done.")
@click.option("--dry-run", is_flag=True, help="Only say whether it could be carried out.")
@click.option("--reason", help="Kept with the order.")
def apply_plan(output: str, plan: str, no_wait: bool, dry_run: bool, reason: str | None) -> None:
    """Carry out exactly the PLAN of this hash, shard by shard, or nothing.

    \b
    Examples:
      leadplane placement apply 3f2a9c01 --dry-run
      leadplane placement apply 3f2a9c01 --reason "cheaper at night"
    """
    access = fleet_access()
    query = {"dry_run": dry_run or None, "reason": reason}
    order = _post(access, "/v1/placement/apply", {"plan": plan}, **query).document()
    if not (no_wait or dry_run):
        order = _followed(access, order)
    show(lambda: order, lambda found, wide: table(ORDERS, [found], wide), output)


def _followed(access: FleetAccess, order: dict[str, Any]) -> dict[str, Any]:
    """The order when its last move was made; how far it is, on the way."""
    import time

    told = -1
    while order["state"] == "carrying":
        if order["done"] != told:
            told = order["done"]
            click.echo(f"{told} of {order['total']} moves", err=True)
        time.sleep(LOOK_S)
        now = access.get("/v1/placement")
        if now["pause"] is not None:
            click.echo("it is held up: leadplane placement resume", err=True)
            return order
        if now["order"] is not None and now["order"]["number"] == order["number"]:
            order = now["order"]
    return order


@click.command("history")
@output_options
def list_orders(output: str, watch: bool) -> None:
    """List the plans that were carried out, the newest first.

    \b
    Example:
      leadplane placement history
    """
    access = fleet_access()
    show(
        lambda: access.get("/v1/placement/history"),
        lambda document, wide: table(ORDERS, document["items"], wide),
        output,
        watch,
    )


def _draw_placement(document: Any, wide: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    pause, order = document["pause"], document["order"]
    said = Text("Nothing is being moved.")
    if pause is not None:
        said = Text(f"Held up by {pause['principal']}: {pause['reason'] or 'no reason given'}")
    elif order is not None and order["state"] == "carrying":
        said = Text("Leaders are being moved.")
    parts: list[RenderableType] = [said, *map(Text, _held_up(document["admission"]))]
    parts += [
        Text(
            f"{each['shard']} stays hot: {each['share']:.0%} of its {each['by']} is of the "
            f"partition {each['partition']}, and no split helps."
        )
        for each in document.get("hot_partitions", ())
    ]
    if resting := document.get("copies_resting", 0):
        parts.append(Text(f"Copies that rest, since they save less than they cost: {resting}."))
    parts.append(table(ORDERS, [order] if order is not None else [], wide))
    if document["drains"]:
        parts += [Text(), table(DRAINS, document["drains"], wide)]
    return Group(*parts)


def _held_up(admission: Any) -> list[str]:
    """What keeps the global leader from moving more, in words."""
    found = []
    if admission["cold"]:
        found.append("The global leader is new: only drains go on until every node has reported.")
    if admission["braked"]:
        found.append(
            f"{admission['crashes']} nodes that had been given shards went down: "
            "what was moved of late stays where it is (leadplane placement release)."
        )
    if admission["waits_for"]:
        found.append(f"The next move waits: {admission['waits_for']}.")
    if admission["suspects"]:
        found.append(f"Given nothing for a while: {', '.join(admission['suspects'])}.")
    return found


@click.command("show")
@output_options
def show_placement(output: str, watch: bool) -> None:
    """Show what is being moved, and whether it is held up.

    \b
    Example:
      leadplane placement show --watch
    """
    access = fleet_access()
    show(lambda: access.get("/v1/placement"), _draw_placement, output, watch)


@click.command("pause")
@format_option
@click.option("--for-minutes", type=click.FloatRange(0.05, 43_200), default=60, show_default=True)
@click.option("--reason", help="Shown to everybody who looks.")
def pause(output: str, for_minutes: float, reason: str | None) -> None:
    """Move nothing for a while; it ends by itself.

    \b
    Example:
      leadplane placement pause --for-minutes 90 --reason "network work"
    """
    body = {"for_ms": round(for_minutes * 60_000)}
    _held(output, lambda a: _post(a, "/v1/placement/pause", body, reason=reason).document())


@click.command("resume")
@format_option
def resume(output: str) -> None:
    """Go on with what was held up.

    \b
    Example:
      leadplane placement resume
    """
    _held(output, lambda a: _post(a, "/v1/placement/resume", {}).document())


@click.command("release")
@format_option
@click.option("--reason", help="Why nodes went down; kept in the audit log.")
def release(output: str, reason: str | None) -> None:
    """Let go of the brake, once you know why nodes went down.

    Nodes that had been given shards went down, so whatever was moved of late stays where it is, for
    an hour. Nodes that go down afterwards count anew.

    \b
    Example:
      leadplane placement release --reason "a power cut, over since"
    """
    _held(output, lambda a: _post(a, "/v1/placement/release", {}, reason=reason).document())


def _held(output: str, ask: Callable[[FleetAccess], Any]) -> None:
    found = ask(fleet_access())
    show(lambda: found, _draw_placement, output)
