"""`leadplane status`: the whole fleet on one page, with a verdict in the first line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, Unreachable, access_at
from controlplane.cli.output import (
    Column,
    Row,
    ms_text,
    output_options,
    print_document,
    show,
    table,
)
from controlplane.doctor.looks import DIFFERS, drained_regions, lone_regions

if TYPE_CHECKING:
    from rich.console import RenderableType

GOOD, POOR, BAD = "green", "yellow", "red"
RUNBOOKS = "docs/runbooks"


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the fleet is, in one sentence; `runbook` is the page that goes on from there."""

    sentence: str
    colour: str
    runbook: str | None = None

    @property
    def page(self) -> str | None:
        """Where to read on."""
        return f"{RUNBOOKS}/{self.runbook}.md" if self.runbook else None


def verdict(fleet: Row) -> Verdict:
    """Say how the fleet is: first what takes service away, then what may."""
    return _stops(fleet) or _is_at_risk(fleet) or _healthy(fleet)


def _stops(fleet: Row) -> Verdict | None:
    unled = fleet["shards_total"] - fleet["shards_led"]
    stopped = [g["group"] for g in _seen(fleet) if g["reachable"] < g["quorum"]]
    lost = [group["group"] for group in fleet["groups"] if group.get("lost")]
    full = [group["group"] for group in fleet["groups"] if group.get("full")]
    gone = lone_regions(fleet)
    if lost:
        forgotten = f"Lost: too few stores remember {', '.join(lost)}."
        next_step = f"see `leadplane regions force-recover {lost[0]} --dry-run`"
        sentence = f"{forgotten} If none has its data any more, {next_step}."
        return Verdict(sentence, BAD, "store-lost")
    if stopped:
        page = "region-lost" if gone else "store-lost"
        return Verdict(f"Unavailable: no quorum in {', '.join(stopped)}.", BAD, page)
    if full:
        sentence = f"Full: {', '.join(full)} can only be read, and deleted from."
        return Verdict(sentence, BAD, "store-full")
    if unled:
        alone = "global-leader-lost" if (unled, fleet["global_leader"]) == (1, None) else None
        page = "region-lost" if gone else alone or "stuck-election"
        sentence = f"Degraded: {unled} of {fleet['shards_total']} shards have no leader."
        return Verdict(sentence, BAD, page)
    if gone:
        return Verdict(f"Degraded: no node is left in {', '.join(gone)}.", BAD, "region-lost")
    return None


def _is_at_risk(fleet: Row) -> Verdict | None:
    on_the_edge = [g["group"] for g in _seen(fleet) if g["spare"] <= 0]
    if on_the_edge:
        sentence = f"At risk: {', '.join(on_the_edge)} cannot lose another store."
        return Verdict(sentence, POOR, "store-lost")
    low = [store["why"] for store in fleet["stores"] if store["state"] == "up" and store["why"]]
    if low:
        need = "needs" if len(low) == 1 else "need"
        sentence = f"At risk: {len(low)} of {len(fleet['stores'])} stores {need} looking after"
        differs = any(why.startswith(DIFFERS) for why in low)
        return Verdict(f"{sentence}; see WHY.", POOR, "store-lost" if differs else "store-full")
    if drained := drained_regions(fleet):
        sentence = f"At risk: all nodes of {', '.join(drained)} are drained."
        return Verdict(sentence, POOR, "region-lost")
    if restless := fleet.get("restless"):
        sentence = f"At risk: leaders of {', '.join(restless)} change again and again."
        return Verdict(sentence, POOR, "flapping")
    return None


def _healthy(fleet: Row) -> Verdict:
    spare = min((g["spare"] for g in _seen(fleet)), default=0)
    stores = "store" if spare == 1 else "stores"
    sentence = f"Healthy: every shard is led, any group can lose {spare} more {stores}."
    return Verdict(sentence, GOOD)


def _seen(fleet: Row) -> list[Row]:
    return [group for group in fleet["groups"] if is_seen(group)]


def draw_status(fleet: Any, wide: bool) -> RenderableType:
    """Lay the page out: verdict, facts, then one listing for each kind of thing."""
    from rich.console import Group
    from rich.text import Text

    found = verdict(fleet)
    leader = fleet["global_leader"]
    where = f"{leader['node']} ({leader['region']}), epoch {leader['epoch']}" if leader else "none"
    facts = (
        f"Global leader  {where}\n"
        f"Shards         {fleet['shards_led']} of {fleet['shards_total']} led\n"
        f"Map            version {fleet['map_version']}\n"
        f"Seen from      {', '.join(fleet.get('asked', [fleet['node']]))}\n"
    )
    parts: list[RenderableType] = [Text(found.sentence, style=f"bold {found.colour}")]
    if found.page:
        parts.append(Text(f"Read on in {found.page}"))
    parts.append(Text(facts))
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

    `asked` names the nodes. A region where nobody answers is left to what the others know. Raises
    Unreachable when nobody answers at all.
    """
    try:
        page: dict[str, Any] = access.get("/v1/status")
    except Unreachable as failure:
        failure.hint += f"; then read {RUNBOOKS}/control-plane-down.md"
        raise
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
            full = group.get("full") or (known or group).get("full", "")
            if known is None or group["reachable"] > known["reachable"]:
                known = {**group, "seen": used.issuperset(group["voters"])}
            groups[group["group"]] = {**known, "full": full}
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
        "restless": sorted({shard for page in pages for shard in page.get("restless", ())}),
        "stores": sorted(stores.values(), key=lambda store: store["store"]),
        "regions": regions,
    }


@click.command()
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.pass_context
def status(context: click.Context, output: str, watch: bool, at: str | None) -> None:
    """Show the fleet on one page: leaders, groups, nodes, stores.

    CAN LOSE is how many more stores a group can do without before it stops taking writes. Without
    --at, one node of each region is asked, since each knows best the stores that it uses. The exit
    status is 1 when something does not serve; the page to read on in is named below the verdict.

    \b
    Examples:
      leadplane status
      leadplane status --at eu-central-1 -o json
    """
    access = access_at(at)

    def fetch() -> dict[str, Any]:
        fleet = merged([access.get("/v1/status")]) if at else whole_fleet(access)
        found = verdict(fleet)
        return {**fleet, "verdict": found.sentence, "runbook": found.page}

    if watch:
        show(fetch, draw_status, output, watch)
        return
    fleet = fetch()
    print_document(fleet, draw_status, output)
    context.exit(1 if verdict(fleet).colour == BAD else 0)
