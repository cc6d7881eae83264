"""`leadplane status`: the whole fleet on one page, with a verdict in the first line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, access_at
from controlplane.cli.output import Column, Row, ms_text, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

GOOD, POOR, BAD = "green", "yellow", "red"


def is_seen(group: Row) -> bool:
    """Whether who was asked uses the group's stores, and so can say how many answer."""
    return bool(group.get("seen", True))


def spare_style(group: Row) -> str:
    """Red when a group has stopped, yellow when the next loss would stop it."""
    if not is_seen(group):
        return ""
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


def _notes(node: Row) -> list[str]:
    """What is to be known of a node that is given nothing."""
    return [word for word in ("drained", "suspect", "draining") if node.get(word)]


def _stores_text(group: Row) -> str:
    found = group["reachable"] if is_seen(group) else "?"
    return f"{found}/{len(group['voters'])}"


def _spare_text(group: Row) -> str:
    return str(max(group["spare"], 0)) if is_seen(group) else "?"


def region_style(region: Row) -> str:
    """Red when nobody is left, yellow when somebody is missing."""
    if not region["nodes_alive"]:
        return BAD
    return GOOD if region["nodes_alive"] == region["nodes"] else POOR


def note_of(group: Row) -> str | None:
    """What an operator has to know of a group: that it is lost, or was, or is unsafe."""
    if group.get("lost"):
        return f"lost: {', '.join(group['lost'])} forgot"
    needed_ms = group.get("needed_ttl_ms")
    if needed_ms and needed_ms > group["ttl_ms"]:
        return f"unsafe: round trips need a lease of {needed_ms:,} ms"
    forced = group.get("forced")
    return f"forced by {forced['by']}, without {', '.join(forced['without'])}" if forced else None


def note_style(group: Row) -> str:
    """Red while a group cannot go on by itself."""
    return BAD if group.get("lost") else POOR


GROUPS = (
    Column("GROUP", lambda g: g["group"]),
    Column("STORES", _stores_text, right=True),
    Column("QUORUM", lambda g: g["quorum"], right=True),
    Column("CAN LOSE", _spare_text, spare_style, right=True),
    Column("TTL", lambda g: ms_text(g["ttl_ms"]), right=True),
    Column("LED", lambda g: f"{g['led']}/{g['shards']}", led_style, right=True),
    Column("VOTERS", lambda g: g["voters"], wide=True),
    Column("FOLLOWERS", lambda g: g["followers"], wide=True),
    Column("NOTE", note_of, note_style, sparse=True),
)

COMING = (
    Column("GROUP BEING MADE", lambda g: g["group"]),
    Column("VOTERS", lambda g: g["voters"]),
    Column("WAITS FOR", lambda g: g["why"] or None),
)


def _alone_text(region: Row) -> str | None:
    """What the region could do alone: how many shards go on, are read only, or stop."""
    alone = region.get("alone")
    if alone is None:
        return None
    parts = [f"{alone['goes_on']} go on", f"{alone['reads_only']} read only"]
    if alone["stops"]:
        parts.append(f"{alone['stops']} stop after {ms_text(alone['stops_after_ms'])}")
    if alone["nothing"]:
        parts.append(f"{alone['nothing']} not here")
    return ", ".join(parts)


REGIONS = (
    Column("REGION", lambda r: r["region"]),
    Column("NODES", lambda r: f"{r['nodes_alive']}/{r['nodes']}", region_style, right=True),
    Column("STORES", lambda r: f"{r['stores_up']}/{r['stores']}", right=True),
    Column("LEADS", lambda r: r["leads"], right=True),
    Column("IF CUT OFF", _alone_text),
    Column("ZONES", lambda r: r["zones"]),
    Column("LOCATION", lambda r: r["location"], wide=True),
)
NODES = (
    Column("NODE", lambda n: n["node"]),
    Column("REGION", lambda n: n["region"]),
    Column("STATE", lambda n: "alive" if n["alive"] else "silent", node_style),
    Column("SILENT", lambda n: ms_text(n["silent_ms"]), right=True),
    Column("LEADS", lambda n: n["leads"], right=True),
    Column("NOTE", lambda n: ", ".join(_notes(n)) or None, sparse=True),
    Column("ZONE", lambda n: n.get("zone") or None, sparse=True, wide=True),
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
    seen = [group for group in fleet["groups"] if is_seen(group)]
    stopped = [g["group"] for g in seen if g["reachable"] < g["quorum"]]
    on_the_edge = [g["group"] for g in seen if g["spare"] <= 0]
    lost = [group["group"] for group in fleet["groups"] if group.get("lost")]
    if lost:
        forgotten = f"Lost: too few stores remember {', '.join(lost)}."
        next_step = f"see `leadplane regions force-recover {lost[0]} --dry-run`"
        return f"{forgotten} If none has its data any more, {next_step}.", BAD
    if stopped:
        return f"Unavailable: no quorum in {', '.join(stopped)}.", BAD
    if unled:
        return f"Degraded: {unled} of {fleet['shards_total']} shards have no leader.", BAD
    if on_the_edge:
        return f"At risk: {', '.join(on_the_edge)} cannot lose another store.", POOR
    low = sum(store["state"] == "up" and bool(store["why"]) for store in fleet["stores"])
    if low:
        need = "needs" if low == 1 else "need"
        return (
            f"At risk: {low} of {len(fleet['stores'])} stores {need} looking after; see WHY.",
            POOR,
        )
    spare = min((g["spare"] for g in seen), default=0)
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
        f"Seen from      {', '.join(fleet.get('asked', [fleet['node']]))}\n"
    )
    parts: list[RenderableType] = [Text(sentence, style=f"bold {colour}"), Text(facts)]
    coming = fleet.get("groups_coming", [])
    for columns, rows in (
        (GROUPS, fleet["groups"]),
        *([(COMING, coming)] if coming else []),
        (REGIONS, fleet["regions"]),
        (NODES, fleet["nodes"]),
        (STORES, fleet["stores"]),
    ):
        parts += [table(columns, rows, wide), Text("")]
    return Group(*parts[:-1])


def whole_fleet(access: FleetAccess) -> dict[str, Any]:
    """One page from a node of each region: each knows best the stores that it uses itself.

    `asked` names the nodes. A region where nobody answers is left to what the others know.
    """
    page: dict[str, Any] = access.get("/v1/status")
    pages = [page]
    for region in page["regions"]:
        alive = [n for n in page["nodes"] if n["region"] == region["region"] and n["alive"]]
        if alive and region["region"] != page["region"]:
            try:
                pages.append(access.only(alive[0]["url"]).get("/v1/status"))
            except CommandFailed:
                continue
    return merged(pages)


def merged(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """Join what several nodes know: of each group and store, the view of who reaches most."""
    groups: dict[str, Row] = {}
    stores: dict[str, Row] = {}
    for page in pages:
        used = {store["store"] for store in page["stores"]}
        for group in page["groups"]:
            known = groups.get(group["group"])
            if known is None or group["reachable"] > known["reachable"]:
                groups[group["group"]] = {**group, "seen": used.issuperset(group["voters"])}
        for store in page["stores"]:
            known = stores.get(store["store"])
            if known is None or (known["state"], store["state"]) == ("down", "up"):
                stores[store["store"]] = store
    coming: dict[str, Row] = {}
    for group in [each for page in pages for each in page.get("groups_coming", [])]:
        if group["group"] not in coming or group["why"]:
            coming[group["group"]] = group
    regions = [
        {
            **region,
            "stores": len(here := [s for s in stores.values() if s["region"] == region["region"]]),
            "stores_up": sum(s["state"] == "up" for s in here),
        }
        for region in pages[0]["regions"]
    ]
    return {
        **pages[0],
        "asked": [page["node"] for page in pages],
        "spare_stores": max(0, min((g["spare"] for g in groups.values() if g["seen"]), default=0)),
        "groups": list(groups.values()),
        "groups_coming": list(coming.values()),
        "stores": sorted(stores.values(), key=lambda store: store["store"]),
        "regions": regions,
    }


@click.command()
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def status(output: str, watch: bool, at: str | None) -> None:
    """Show the fleet on one page: leaders, groups, nodes, stores.

    CAN LOSE is how many more stores a group can do without before it stops taking writes. Without
    --at, one node of each region is asked, since each knows best the stores that it uses.

    \b
    Examples:
      leadplane status
      leadplane status --at eu-central-1 -o json
    """
    access = access_at(at)
    show(
        lambda: merged([access.get("/v1/status")]) if at else whole_fleet(access),
        draw_status,
        output,
        watch,
    )
