"""`leadplane fenced`: writes whose leader lost its shard under them; looked at, and put again."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    Problem,
    Unreachable,
    fleet_access,
)
from controlplane.cli.output import (
    Column,
    Row,
    format_option,
    list_unless_more,
    moment_text,
    output_options,
    show,
    table,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

SYSTEM = "system"
HAPPENED = ("kept", "retried")
COLUMNS = (
    Column("NODE", lambda row: row["node"]),
    Column("NUMBER", lambda row: str(row["number"]), right=True),
    Column("WHEN", lambda row: moment_text(row["wall_ms"])),
    Column("SHARD", lambda row: row["shard"]),
    Column("EPOCH", lambda row: str(row["epoch"]), right=True),
    Column("KEYS", lambda row: ", ".join(change["key"] for change in row["changes"])),
    Column("WHY", lambda row: row["why"]),
    Column("FATE", lambda row: row["fate"]),
    Column("OPERATION", lambda row: row["operation"] or "-", wide=True),
    Column("SEQUENCE", lambda row: str(row["sequence"]), right=True, wide=True),
)


def is_open(write: Row) -> bool:
    """Whether somebody has to look after it: nobody knows it to have happened. What the fleet keeps
    of itself, its nodes write again by themselves."""
    return write["shard"] != SYSTEM and write["fate"] not in HAPPENED


def draw_fenced(document: Any, wide: bool) -> RenderableType:
    """One line for each write, and which nodes did not tell theirs."""
    from rich.console import Group
    from rich.text import Text

    silent = document["silent"]
    lines = [Text(f"{node} did not answer: what it led is not listed.") for node in silent]
    if not document["items"]:
        lines.insert(0, Text("No node remembers a write that it could not confirm."))
        return Group(*lines)
    return Group(table(COLUMNS, document["items"], wide), *lines)


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def fenced(context: click.Context, output: str, watch: bool) -> None:
    """Show writes that a leader could not confirm; without a further word, list them."""
    list_unless_more(context, list_fenced, output, watch)


@fenced.command("list")
@click.argument("node", required=False)
@output_options
def list_fenced(node: str | None = None, output: str = "table", watch: bool = False) -> None:
    """List them, of NODE or of all nodes, and what became of each.

    kept: it has happened; retried: it has happened by a later attempt; replaced: it never will;
    unknown: nobody can tell any more.

    \b
    Example:
      leadplane fenced list eu-central-1-n1
    """
    access = fleet_access()
    show(lambda: _collected(access, node), draw_fenced, output, watch)


@fenced.command("get")
@click.argument("node")
@click.argument("number", type=click.IntRange(min=1))
@format_option
def get_fenced(node: str, number: int, output: str) -> None:
    """Show one of them; with -o json, its values as well.

    \b
    Example:
      leadplane fenced get eu-central-1-n1 3 -o json
    """
    access = fleet_access()
    show(lambda: access.get(_path(node, number)), _draw_one, output)


@fenced.command("replay")
@click.argument("node")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--dry-run", is_flag=True, help="Say what would be put, and do nothing.")
def replay_fenced(node: str, number: int, dry_run: bool) -> None:
    """Put again what a write was to do, if it never happened and nobody put its keys since.

    Under the operation's own id, where it has one: then a client that sends it again as well
    changes nothing. Else under a name of the write's own, so that it is replayed once.

    \b
    Example:
      leadplane fenced replay eu-central-1-n1 3 --dry-run
    """
    access = fleet_access()
    write = access.get(_path(node, number))
    if write["shard"] == SYSTEM:
        raise CommandFailed("what the fleet keeps of itself, its nodes write again by themselves")
    if write["fate"] in HAPPENED:
        raise CommandFailed(f"it has happened, at position {write['position']}: {write['fate']}")
    for change in write["changes"]:
        _check_unchanged(access, write, change)
    for place, change in enumerate(write["changes"]):
        act = "DELETE" if change["deletes"] else "PUT"
        done = "would be sent" if dry_run else _send(access, write, change, act, place)
        click.echo(f"{act} {change['key']} ({change['size_bytes']} bytes): {done}")


def _collected(access: FleetAccess, node: str | None) -> dict[str, Any]:
    names = [node] if node else [each["node"] for each in access.items("/v1/nodes")["items"]]
    items, silent = [], []
    for name in names:
        try:
            items += access.items(f"/v1/nodes/{quote(name, safe='')}/fenced-writes")["items"]
        except (Problem, Unreachable) as failure:
            if node or (isinstance(failure, Problem) and failure.kind != "no-member"):
                raise
            silent.append(name)
    return {"items": sorted(items, key=lambda row: row["wall_ms"]), "silent": silent}


def _draw_one(write: Any, wide: bool) -> RenderableType:
    return table(COLUMNS, [write], True)


def _path(node: str, number: int) -> str:
    return f"/v1/nodes/{quote(node, safe='')}/fenced-writes/{number}"


def _check_unchanged(access: FleetAccess, write: Any, change: Any) -> None:
    """Raises CommandFailed where somebody has written the key since."""
    version = 0
    try:
        reply = access.send("GET", _key_path(change), {"consistency": "strong"})
        version = int(reply.headers["leadplane-version"])
    except Problem as problem:
        if problem.kind != "no-such-key":
            raise
    if version >= write["sequence"]:
        raise CommandFailed(
            f"key {change['key']!r} was written since, as version {version}",
            hint="compare both values, and put the right one with `leadplane kv put`",
        )


def _send(access: FleetAccess, write: Any, change: Any, act: str, place: int) -> str:
    own = f"fenced-{write['shard']}-{write['epoch']}-{write['sequence']}-{place}"
    headers = {"Idempotency-Key": write["operation"] or own}
    body = None if change["deletes"] else b64decode(change["value_base64"])
    if body is not None:
        headers["Content-Type"] = "application/octet-stream"
    reply = access.send(act, _key_path(change), headers=headers, body=body)
    return f"version {reply.headers['leadplane-version']}" if body is not None else "gone"


def _key_path(change: Any) -> str:
    return f"/v1/kv/{quote(change['key'], safe='')}"
