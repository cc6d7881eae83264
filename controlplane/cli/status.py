"""`leadplane status`: the whole fleet on one page, with a verdict in the first line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at
from controlplane.cli.output import Column, Row, ms_text, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

GOOD, POOR, BAD = "green", "yellow", "red"


def spare_style(group: Row) -> str:
    """Red when a group has stopped, yellow when the next loss would stop it."""
    if group["reachable"] < group["quorum"]:
        return BAD
    return GOOD if group["spare"] > 0 else POOR


def led_style(row: Row) -> str:
    """Red while some shards have no leader."""
    return GOOD if row["led"] >= row["shards"] else BAD


def store_style(store: Row) -> str:
    """Green when it answers."""
    return GOOD if store["state"] == "up" else BAD


def node_style(node: Row) -> str:
    """Green when it renews its sessions."""
    return GOOD if node["alive"] else BAD


def region_style(region: Row) -> str:
    """Red when nobody is left, yellow when somebody is missing."""
    if not region["nodes_alive"]:
        return BAD
    return GOOD if region["nodes_alive"] == region["nodes"] else POOR


GROUPS = (
    Column("GROUP", lambda g: g["group"]),
    Column("STORES", lambda g: f"{g['reachable']}/{len(g['voters'])}", right=True),
    Column("QUORUM", lambda g: g["quorum"], right=True),
    Column("CAN LOSE", lambda g: max(g["spare"], 0), spare_style, right=True),
    Column("TTL", lambda g: ms_text(g["ttl_ms"]), right=True),
    Column("LED", lambda g: f"{g['led']}/{g['shards']}", led_style, right=True),
    Column("VOTERS", lambda g: g["voters"], wide=True),
    Column("FOLLOWERS", lambda g: g["followers"], wide=True),
)
REGIONS = (
    Column("REGION", lambda r: r["region"]),
    Column("NODES", lambda r: f"{r['nodes_alive']}/{r['nodes']}", region_style, right=True),
    Column("STORES", lambda r: f"{r['stores_up']}/{r['stores']}", right=True),
    Column("LEADS", lambda r: r["leads"], right=True),
    Column("ZONES", lambda r: r["zones"]),
    Column("LOCATION", lambda r: r["location"], wide=True),
)
NODES = (
    Column("NODE", lambda n: n["node"]),
    Column("REGION", lambda n: n["region"]),
    Column("STATE", lambda n: "alive" if n["alive"] else "silent", node_style),
    Column("SILENT", lambda n: ms_text(n["silent_ms"]), right=True),
    Column("LEADS", lambda n: n["leads"], right=True),
    Column("URL", lambda n: n["url"]),
)
STORES = (
    Column("STORE", lambda s: s["store"]),
    Column("ZONE", lambda s: s["zone"]),
    Column("STATE", lambda s: s["state"], store_style),
    Column("ROUND TRIP", lambda s: ms_text(s["round_trip_ms"]), right=True),
    Column("SILENT", lambda s: ms_text(s["silent_ms"]), right=True, wide=True),
    Column("WRITES", lambda s: s["opseq"], right=True, wide=True),
    Column("GROUPS", lambda s: s["groups"], wide=True),
    Column("WHY", lambda s: s["why"], sparse=True),
)


def verdict(fleet: Row) -> tuple[str, str]:
    """Say in one sentence how the fleet is, and its colour."""
    unled = fleet["shards_total"] - fleet["shards_led"]
    stopped = [g["group"] for g in fleet["groups"] if g["reachable"] < g["quorum"]]
    on_the_edge = [g["group"] for g in fleet["groups"] if g["spare"] <= 0]
    if stopped:
        return f"Unavailable: no quorum in {', '.join(stopped)}.", BAD
    if unled:
        return f"Degraded: {unled} of {fleet['shards_total']} shards have no leader.", BAD
    if on_the_edge:
        return f"At risk: {', '.join(on_the_edge)} cannot lose another store.", POOR
    spare = min((g["spare"] for g in fleet["groups"]), default=0)
    stores = "store" if spare == 1 else "stores"
    return f"Healthy: every shard is led, any group can lose {spare} more {stores}.", GOOD


def draw_status(fleet: Any, wide: bool) -> RenderableType:
    """Lay the page out: verdict, facts, then one listing for each kind of thing."""
    from rich.console import Group
    from rich.text import Text

    sentence, colour = verdict(fleet)
    leader = fleet["global_leader"]
    where = f"{leader['node']} ({leader['region']}), epoch {leader['epoch']}" if leader else "none"
    facts = (
        f"Global leader  {where}\n"
        f"Shards         {fleet['shards_led']} of {fleet['shards_total']} led\n"
        f"Map            version {fleet['map_version']}\n"
        f"Seen from      {fleet['node']} ({fleet['region']})\n"
    )
    parts: list[RenderableType] = [Text(sentence, style=f"bold {colour}"), Text(facts)]
    for columns, rows in (
        (GROUPS, fleet["groups"]),
        (REGIONS, fleet["regions"]),
        (NODES, fleet["nodes"]),
        (STORES, fleet["stores"]),
    ):
        parts += [table(columns, rows, wide), Text("")]
    return Group(*parts[:-1])


@click.command()
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def status(output: str, watch: bool, at: str | None) -> None:
    """Show the fleet on one page: leaders, groups, nodes, stores.

    CAN LOSE is how many more stores a group can do without before it stops taking writes.
    """
    access = access_at(at)
    show(lambda: access.get("/v1/status"), draw_status, output, watch)
