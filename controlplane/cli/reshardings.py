"""`leadplane shards split, merge, move, reshardings`: shards that go over into others."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, fleet_access
from controlplane.cli.output import Column, Row, format_option, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

PHASE_STYLES = {"drafting": "yellow", "closing": "yellow", "done": "green", "cancelled": "dim"}


def _names(parts: list[Row]) -> str:
    return " ".join(part["shard"] for part in parts)


def _group(row: Row) -> str:
    before, after = row["parents"][0]["group"], row["children"][0]["group"]
    return str(before) if before == after else f"{before} to {after}"


RESHARDINGS = (
    Column("NUMBER", lambda r: r["number"], right=True),
    Column("KIND", lambda r: r["kind"]),
    Column("FROM", lambda r: _names(r["parents"])),
    Column("INTO", lambda r: _names(r["children"])),
    Column("GROUP", _group),
    Column("PHASE", lambda r: r["phase"], lambda r: PHASE_STYLES.get(r["phase"], "")),
    Column("BEHIND", lambda r: r["behind"], right=True),
    Column("WHY", lambda r: r["why"], sparse=True),
    Column("BY", lambda r: r["principal"], wide=True),
    Column("REASON", lambda r: r["reason"], wide=True),
)


def draw_reshardings(document: Any, wide: bool) -> RenderableType:
    """One line for each."""
    return table(RESHARDINGS, document["items"], wide)


@click.command("reshardings")
@output_options
def list_reshardings(output: str, watch: bool) -> None:
    """List shards that are, or were, split, merged or moved.

    The leader of the shard `system` is asked, since it knows how far each is.

    \b
    Example:
      leadplane shards reshardings --watch
    """

    def fetch() -> dict[str, Any]:
        access = fleet_access()
        try:
            leader: dict[str, Any] = access.get("/v1/leader")
            return access.only(leader["url"]).items("/v1/reshardings")
        except CommandFailed:
            return access.items("/v1/reshardings")

    show(fetch, draw_reshardings, output, watch)


def _options(command: Any) -> Any:
    for option in (
        format_option,
        click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing."),
        click.option("--reason", help="Kept with the resharding."),
    ):
        command = option(command)
    return command


@click.command("split")
@click.argument("shard")
@click.option("--at", "slot", type=int, metavar="SLOT", help="First slot of the second half.")
@_options
def split_shard(
    shard: str, slot: int | None, reason: str | None, dry_run: bool, output: str
) -> None:
    """Make two shards of one, under new names.

    \b
    Example:
      leadplane shards split s17 --dry-run
    """
    body = {} if slot is None else {"at": slot}
    _order(f"/v1/shards/{shard}/split", body, reason, dry_run, output)


@click.command("merge")
@click.argument("shard")
@click.argument("neighbour")
@_options
def merge_shards(
    shard: str, neighbour: str, reason: str | None, dry_run: bool, output: str
) -> None:
    """Make one shard of two neighbours, under a new name.

    \b
    Example:
      leadplane shards merge s17 s18
    """
    _order(f"/v1/shards/{shard}/merge", {"with": neighbour}, reason, dry_run, output)


@click.command("move")
@click.argument("shard")
@click.option("--to-group", metavar="GROUP", required=True, help="Whose stores shall hold it.")
@_options
def move_shard(shard: str, to_group: str, reason: str | None, dry_run: bool, output: str) -> None:
    """Have the stores of another group hold a shard, under a new name.

    \b
    Example:
      leadplane shards move s17 --to-group region/us-east-1
    """
    _order(f"/v1/shards/{shard}/move", {"to_group": to_group}, reason, dry_run, output)


@click.command("cancel")
@click.argument("number", type=int)
@_options
def cancel_resharding(number: int, reason: str | None, dry_run: bool, output: str) -> None:
    """Drop a resharding whose shards are not closed yet.

    \b
    Example:
      leadplane shards cancel 4
    """
    _order(f"/v1/reshardings/{number}/cancel", {}, reason, dry_run, output)


def _order(path: str, body: dict[str, Any], reason: str | None, dry_run: bool, output: str) -> None:
    reply = fleet_access().send(
        "POST",
        path,
        query={"reason": reason, "dry_run": True if dry_run else None},
        headers={"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex},
        body=json.dumps(body).encode(),
    )
    document: dict[str, Any] = reply.document()
    show(lambda: document, lambda d, wide: _told(d), output)


def _told(done: Any) -> RenderableType:
    from rich.text import Text

    return Text(sentence_of(done))


def sentence_of(done: dict[str, Any]) -> str:
    """What was begun, dropped, or would be, in one sentence."""
    what = f"{_names(done['parents'])} into {_names(done['children'])}"
    if not done["begun"]:
        return f"Would {done['kind']} {what}. Nothing was done."
    if done["phase"] == "cancelled":
        return f"Resharding {done['number']} ({done['kind']} {what}) is cancelled."
    return (
        f"Resharding {done['number']} has begun: {done['kind']} {what}. "
        "See how far it is with `leadplane shards reshardings`."
    )


COMMANDS = (split_shard, merge_shards, move_shard, list_reshardings, cancel_resharding)
