"""`leadplane shards`: who leads what, since which epoch, and how to move it."""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane.cli.connection import CommandFailed, access_at, fleet_access
from controlplane.cli.document_edits import draw_edit
from controlplane.cli.explain import explain_shard
from controlplane.cli.output import (
    Column,
    Row,
    bytes_text,
    format_option,
    list_unless_more,
    moment_text,
    ms_text,
    output_options,
    show,
    table,
    text_of,
)
from controlplane.cli.reshardings import COMMANDS
from controlplane.cli.route import REPLICAS

if TYPE_CHECKING:
    from rich.console import RenderableType

OVERLAPS = 1
"""The exit status of `history` when two tenures overlap."""
STATE_STYLES = {"led": "green", "electing": "yellow", "unavailable": "red"}


def _leader(row: Row, field: str) -> Any:
    return row["leader"][field] if row["leader"] else None


def _slots(row: Row) -> str:
    first, end = row["first_slot"], row["end_slot"]
    return f"{first}-{end - 1}" if end > first else ""


SHARDS = (
    Column("SHARD", lambda s: s["shard"]),
    Column("GROUP", lambda s: s["group"]),
    Column("STATE", lambda s: s["state"], lambda s: STATE_STYLES.get(s["state"], "")),
    Column("EPOCH", lambda s: s["epoch"], right=True),
    Column("LEADER", lambda s: _leader(s, "node")),
    Column("SURVIVES", lambda s: f"a {s['goal']}", wide=True),
    Column("SLOTS", _slots, wide=True),
    Column("SEQUENCE", lambda s: s["sequence"], right=True, wide=True),
    Column("SIZE", lambda s: bytes_text(s["size_bytes"]), right=True, wide=True),
    Column("LEASE", lambda s: ms_text(s["lease_remaining_ms"]), right=True, wide=True),
    Column("PREFERS", lambda s: s["regions"], wide=True),
    Column("WHY", lambda s: s["why"], sparse=True),
)


def draw_shards(document: Any, wide: bool) -> RenderableType:
    """One line for each shard."""
    return table(SHARDS, document["items"], wide)


def draw_shard(document: Any, wide: bool) -> RenderableType:
    """One shard, a line for each fact, then its copies."""
    from rich.console import Group
    from rich.text import Text

    facts = [
        (column.title.capitalize(), text_of(column.cell(document)))
        for column in SHARDS
        if column.title != "WHY" or document["why"]
    ]
    if document.get("rests_in"):
        facts.append(("Rests in", text_of(document["rests_in"])))
    lines = "\n".join(f"{name:9} {value}" for name, value in facts)
    return Group(Text(lines + "\n"), table(REPLICAS, document["replicas"] or (), wide))


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def shards(context: click.Context, output: str, watch: bool) -> None:
    """Show and move shards; without a further word, list them."""
    list_unless_more(context, list_shards, output, watch)


@shards.command("list")
@output_options
@click.option("--group", help="Only shards of this group.")
@click.option("--led-by", metavar="NODE", help="Only shards led by this node.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def list_shards(
    output: str = "table",
    watch: bool = False,
    group: str | None = None,
    led_by: str | None = None,
    at: str | None = None,
) -> None:
    """List shards: group, state, epoch, leader.

    \b
    Example:
      leadplane shards list --led-by eu-central-1-n1
    """
    access = access_at(at)

    def fetch() -> dict[str, Any]:
        document = access.items("/v1/shards")
        kept = [
            row
            for row in document["items"]
            if group in (None, row["group"]) and led_by in (None, _leader(row, "node"))
        ]
        return {**document, "items": kept}

    show(fetch, draw_shards, output, watch)


@shards.command("get")
@click.argument("shard")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def get_shard(shard: str, output: str, watch: bool, at: str | None) -> None:
    """Show one shard: leader, epoch, lease, size, and its copies.

    Without --at, the leader is asked, since it knows most.

    \b
    Example:
      leadplane shards get s17 --watch
    """
    access = access_at(at)

    def fetch() -> dict[str, Any]:
        row: dict[str, Any] = access.get(f"/v1/shards/{shard}")
        if at is not None or not row["leader"]:
            return row
        try:
            of_leader: dict[str, Any] = access.only(row["leader"]["url"]).get(f"/v1/shards/{shard}")
        except CommandFailed:
            return row
        return of_leader

    show(fetch, draw_shard, output, watch)


def _when(row: Row) -> str | None:
    return moment_text(row.get("wall_ms"), "%m-%d %H:%M:%S")


def _unled(row: Row) -> str | None:
    return None if row.get("unled_ms") is None else ms_text(row["unled_ms"])


HISTORY = (
    Column("EPOCH", lambda h: h["epoch"], right=True),
    Column("SINCE", _when),
    Column("LEADER", lambda h: h["node"]),
    Column("BEFORE", lambda h: h.get("before")),
    Column("WHICH ENDED", lambda h: h.get("ended")),
    Column("UNLED", _unled, sparse=True),
    Column("REASON", lambda h: h.get("reason"), sparse=True),
    Column("CAUSE", lambda h: h.get("cause"), wide=True),
    Column("BY", lambda h: h.get("principal"), wide=True),
    Column("REGION", lambda h: h.get("region"), wide=True),
    Column("BEFORE EPOCH", lambda h: h.get("before_epoch"), right=True, wide=True),
    Column("PREVIOUS RECORD", lambda h: h.get("previous"), wide=True),
)


def draw_history(document: Any, wide: bool) -> RenderableType:
    """One line for each tenure, oldest first: who led, after whom, and why that one's ended.

    Below them, whether any of them overlap; nothing of a node that does not look.
    """
    from rich.console import Group
    from rich.text import Text

    drawn = table(HISTORY, document["items"], wide)
    if "overlap_free" not in document:
        return drawn
    lines = [Text(f"NOT POSSIBLE: {problem}") for problem in document["problems"]]
    return Group(drawn, *(lines or [Text("No two tenures overlap: each follows the one before.")]))


@shards.command("history")
@click.argument("shard")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@output_options
def shard_history(shard: str, at: str | None, output: str, watch: bool) -> None:
    """Show who led SHARD since when, after whom, why that one's tenure ended, and for how long
    nobody led between them: of the last 64 tenures.

    Tenures are held against each other: exit 1 if two of them overlap.

    \b
    Examples:
      leadplane history s17
      leadplane shards history s17 -o wide    # also the cause, by whom, and the region
    """
    access = access_at(at)
    overlap_free: list[bool] = []

    def fetch() -> dict[str, Any]:
        document = access.items(f"/v1/shards/{quote(shard, safe='')}/history")
        overlap_free[:] = [document.get("overlap_free", True)]
        return document

    show(fetch, draw_history, output, watch)
    if not all(overlap_free):
        sys.exit(OVERLAPS)


@shards.command("transfer")
@click.argument("shard")
@click.option("--to-region", metavar="REGION", help="Hand it to a node of this region.")
@click.option("--to-node", metavar="NODE", help="Hand it to this node.")
@click.option("--force", is_flag=True, help="Ask the shard's leader alone, and no admission.")
@click.option("--reason", help="Kept in the history.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@format_option
def transfer_shard(
    shard: str,
    to_region: str | None,
    to_node: str | None,
    force: bool,
    reason: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """Hand a shard over to another leader, without waiting for a lease to run out.

    Without a target, the best candidate is chosen. The global leader admits it at once, or says why
    not; --force does without that, and without a global leader.

    \b
    Examples:
      leadplane shards transfer s17 --to-region us-east-1 --dry-run
      leadplane shards transfer s17 --to-node eu-central-1-n2
    """
    if to_region and to_node:
        raise click.UsageError("--to-region and --to-node exclude each other")
    wanted = {"to_region": to_region, "to_node": to_node}
    body: dict[str, Any] = {name: value for name, value in wanted.items() if value}
    document = _act(shard, "transfer", body | ({"force": True} if force else {}), reason, dry_run)
    show(lambda: document, lambda d, wide: _told(d), output)


@shards.command("preempt")
@click.argument("shard")
@click.option("--by", metavar="NODE", help="Who takes it over; else whoever is placed best.")
@click.option("--reason", help="Kept in the history.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@format_option
def preempt_shard(
    shard: str, by: str | None, reason: str | None, dry_run: bool, output: str
) -> None:
    """Have a node take SHARD over that is placed better than its leader.

    Refused when it is not placed better, was silent of late, or the shard is pinned elsewhere.

    \b
    Example:
      leadplane shards preempt s17 --by eu-central-1-n2
    """
    document = _act(shard, "preempt", {"by": by} if by else {}, reason, dry_run)
    show(lambda: document, lambda d, wide: _told(d), output)


@shards.command("evict")
@click.argument("shard")
@click.option("--reason", help="Kept in the history.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@format_option
def evict_shard(shard: str, reason: str | None, dry_run: bool, output: str) -> None:
    """Take a shard from its leader, with or without its help.

    A leader that obeys steps down at once; one that does not, when its lease has run out.

    \b
    Example:
      leadplane shards evict s17 --reason "its node answers nobody"
    """
    document = _act(shard, "evict", {}, reason, dry_run)
    show(lambda: document, lambda d, wide: _told(d), output)


@shards.command("pin")
@click.argument("shard")
@click.argument("node")
@click.option(
    "--failover", type=click.Choice(["lease", "probe", "operator"]), default="lease",
    show_default=True, help="What lets another node lead it when this one does not.",
)  # fmt: skip
@click.option("--reason", help="Kept with the document `constraints`.")
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and do nothing.")
@format_option
def pin_shard(
    shard: str, node: str, failover: str, reason: str | None, dry_run: bool, output: str
) -> None:
    """Have SHARD led by NODE whenever it can be.

    lease: others lead it when NODE's lease has run out. probe: only when NODE does not serve it at
    its front door, either. operator: never by themselves; pin it elsewhere, or transfer it.

    \b
    Example:
      leadplane shards pin s17 eu-central-1-n1 --failover probe
    """
    document = _act(shard, "pin", {"node": node, "failover": failover}, reason, dry_run)
    show(lambda: document, draw_edit, output)


@shards.command("unpin")
@click.argument("shard")
@click.option("--reason", help="Kept with the document `constraints`.")
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and do nothing.")
@format_option
def unpin_shard(shard: str, reason: str | None, dry_run: bool, output: str) -> None:
    """Let SHARD be led by whoever comes first.

    \b
    Example:
      leadplane shards unpin s17
    """
    document = _act(shard, "pin", {"node": None}, reason, dry_run)
    show(lambda: document, draw_edit, output)


def _act(
    shard: str, action: str, body: dict[str, Any], reason: str | None, dry_run: bool
) -> dict[str, Any]:
    # Whoever is elected meanwhile is not who was meant.
    reply = (
        fleet_access()
        .at_once()
        .send(
            "POST",
            f"/v1/shards/{shard}/{action}",
            query={"reason": reason, "dry_run": True if dry_run else None},
            headers={"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex},
            body=json.dumps(body).encode(),
        )
    )
    document: dict[str, Any] = reply.document()
    return document


def _told(document: Any) -> RenderableType:
    from rich.text import Text

    return Text(_sentence(document))


def _sentence(done: Any) -> str:
    """What was done, or would be, in one sentence."""
    shard = done["shard"]
    if done.get("dry_run"):
        holder = f"{done['from_node']} (epoch {done['from_epoch']})"
        if done.get("to_node"):
            target = f"{done['to_node']} ({done['to_region']})"
            return f"Shard {shard}: would be handed over by {holder} to {target}. Nothing was done."
        return f"Shard {shard}: would be taken from {holder}. Nothing was done."
    if "to_node" in done:
        return (
            f"Shard {shard}: handed over to {done['to_node']}; "
            f"no write was taken for {done['paused_ms']} ms."
        )
    return (
        f"Shard {shard}: taken from {done['holder']}, whose epoch {done['epoch']} is revoked. "
        "The next candidate takes over."
    )


shards.add_command(explain_shard)
for command in COMMANDS:
    shards.add_command(command)
