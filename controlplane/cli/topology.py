"""`leadplane topology`: the places of a fleet as a tree, with what stands there and how it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at
from controlplane.cli.output import Row, ms_text, output_options, show
from controlplane.cli.status import (
    BAD,
    merged,
    node_style,
    region_style,
    store_style,
    verdict,
    whole_fleet,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

NO_ZONE = ""
"""Of a node of which the topology does not say where in its region it stands."""


def topology_of(status: Row) -> dict[str, Any]:
    """Regions, their zones, and the nodes and stores in each, as a page of status tells of them."""
    leader = status["global_leader"]
    return {
        "verdict": verdict(status).sentence,
        "global_leader": leader["node"] if leader else None,
        "shards_total": status["shards_total"],
        "shards_led": status["shards_led"],
        "regions": [_region(region, status) for region in status["regions"]],
    }


def _region(region: Row, status: Row) -> dict[str, Any]:
    name = region["region"]
    nodes = [node for node in status["nodes"] if node["region"] == name]
    stores = [store for store in status["stores"] if store["region"] == name]
    zones = dict.fromkeys(
        [*region["zones"], *(store["zone"] for store in stores), *map(_zone_of, nodes)]
    )
    return {
        "region": name,
        "location": region["location"],
        "nodes": region["nodes"],
        "nodes_alive": region["nodes_alive"],
        "stores": len(stores),
        "stores_up": sum(store["state"] == "up" for store in stores),
        "leads": region["leads"],
        "zones": [
            {
                "zone": zone,
                "nodes": [node for node in nodes if _zone_of(node) == zone],
                "stores": [store for store in stores if store["zone"] == zone],
            }
            for zone in zones
        ],
    }


def _zone_of(node: Row) -> str:
    return str(node.get("zone") or NO_ZONE)


def draw_topology(document: Any, wide: bool) -> RenderableType:
    """The tree, under one sentence that says how the fleet is."""
    from rich.console import Group
    from rich.text import Text
    from rich.tree import Tree

    led = f"{document['shards_led']} of {document['shards_total']} shards are led"
    leader = document["global_leader"] or "nobody"
    head = Text(document["verdict"], style="bold")
    trees: list[Tree] = []
    for region in document["regions"]:
        tree = Tree(_region_line(region, wide), guide_style="dim")
        for zone in region["zones"]:
            things = [*_node_lines(zone["nodes"], leader), *_store_lines(zone["stores"], wide)]
            if zone["zone"] == NO_ZONE:
                place = tree
            elif things or wide:
                place = tree.add(Text(f"zone {zone['zone']}"))
            else:
                place = tree.add(Text(f"zone {zone['zone']}: nothing is here", style="dim"))
            for line in things:
                place.add(line)
        trees.append(tree)
    return Group(head, Text(f"{led}; the global leader is {leader}.\n"), *trees)


def _region_line(region: Row, wide: bool) -> Text:
    from rich.text import Text

    nodes = f"{region['nodes_alive']}/{region['nodes']} nodes"
    stores = f"{region['stores_up']}/{region['stores']} stores"
    where = f" ({region['location']})" if wide and region["location"] else ""
    is_down = region["stores_up"] < region["stores"]
    style = BAD if is_down else region_style(region)
    line = Text(f"{region['region']}{where}  ", style="bold")
    line.append(f"{nodes}, {stores}", style=style)
    return line.append(f", leads {region['leads']}", style="not bold")


def _node_lines(nodes: Iterable[Row], leader: str) -> Iterable[Text]:
    from rich.text import Text

    for node in nodes:
        state = "alive" if node["alive"] else f"silent for {ms_text(node['silent_ms'])}"
        notes = [word for word in ("drained", "suspect", "draining") if node.get(word)]
        notes += ["global leader"] if node["node"] == leader else []
        line = Text(f"node  {node['node']}  ").append(state, style=node_style(node))
        line.append(f", leads {node['leads']}")
        yield line.append(f", {', '.join(notes)}") if notes else line


def _store_lines(stores: Iterable[Row], wide: bool) -> Iterable[Text]:
    from rich.text import Text

    for store in stores:
        line = Text(f"store {store['store']}  ").append(store["state"], style=store_style(store))
        if store["why"]:
            line.append(f": {store['why']}")
        if wide and store["round_trip_ms"] is not None:
            line.append(f", {ms_text(store['round_trip_ms'])} away")
        yield line.append(f", {', '.join(store['groups'])}") if wide else line


@click.command("topology")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def topology(output: str, watch: bool, at: str | None) -> None:
    """Show regions, their zones, nodes and stores as a tree: who leads how much, what is down.

    Without --at, one node of each region is asked, since each knows best the stores that it uses.

    \b
    Example:
      leadplane topology
      leadplane topology -o json
    """
    access = access_at(at)
    show(
        lambda: topology_of(merged([access.get("/v1/status")]) if at else whole_fleet(access)),
        draw_topology,
        output,
        watch,
    )
