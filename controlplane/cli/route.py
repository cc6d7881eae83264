"""`leadplane route KEY`: which shard a key belongs to, who leads it, and where to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at
from controlplane.cli.output import Column, ms_text, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

REPLICAS = (
    Column("REGION", lambda r: r["region"]),
    Column("ROLE", lambda r: r["role"], lambda r: "green" if r["role"] == "leader" else ""),
    Column("NODE", lambda r: r["node"]),
    Column("STALENESS", lambda r: ms_text(r["staleness_ms"]), right=True),
    Column("URL", lambda r: r["url"]),
    Column("POSITION", lambda r: r["position"], wide=True),
)


def draw_route(route: Any, wide: bool) -> RenderableType:
    """The answer in words, then every copy of the shard."""
    from rich.console import Group
    from rich.text import Text

    leader, target = route["leader"], route["target"]
    led = f"{leader['node']} ({leader['region']})" if leader else "nobody: an election is on"
    lines = [
        f"Shard   {route['shard']}, epoch {route['epoch']}",
        f"Leader  {led}",
    ]
    if target:
        lines.append(f"Go to   {target['node']} ({target['region']}) as {target['role']}")
        lines.append(f"        {target['url']}")
    if route.get("valid_for_ms") is not None:
        lines.append(f"Valid   for {ms_text(route['valid_for_ms'])}, then ask again")
    return Group(Text("\n".join(lines) + "\n"), table(REPLICAS, route["replicas"], wide))


@click.command()
@click.argument("key")
@click.option("--intent", type=click.Choice(["read", "write"]), default="read", show_default=True)
@click.option("--region", help="Route for a client in this region.")
@click.option("--max-staleness-ms", type=click.IntRange(min=0), help="How old a read may be.")
@click.option("--position", help="What the client has already seen.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@output_options
def route(
    key: str,
    intent: str,
    region: str | None,
    max_staleness_ms: int | None,
    position: str | None,
    at: str | None,
    output: str,
    watch: bool,
) -> None:
    """Say where a key lives and where a request for it should go.

    \b
    Examples:
      leadplane route orders/7
      leadplane route orders/7 --intent write --region us-east-1
    """
    access = access_at(at)
    query = {
        "key": key,
        "intent": intent,
        "region": region,
        "max_staleness_ms": max_staleness_ms,
        "position": position,
    }
    show(lambda: access.get("/v1/route", **query), draw_route, output, watch)
