"""`leadplane nodes`: who is there, who renews, who leads how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at, fleet_access
from controlplane.cli.drains import drain_node, stoppable, undrain_node
from controlplane.cli.output import format_option, list_unless_more, output_options, show, table
from controlplane.cli.status import NODES

if TYPE_CHECKING:
    from rich.console import RenderableType


def draw_nodes(document: Any, wide: bool) -> RenderableType:
    """One line for each node."""
    return table(NODES, document["items"], wide)


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def nodes(context: click.Context, output: str, watch: bool) -> None:
    """Show nodes; without a further word, list them."""
    list_unless_more(context, list_nodes, output, watch)


@nodes.command("list")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def list_nodes(output: str = "table", watch: bool = False, at: str | None = None) -> None:
    """List nodes: where they are, whether they renew, how many shards they lead.

    \b
    Example:
      leadplane nodes list --watch
    """
    access = access_at(at)
    show(lambda: access.items("/v1/nodes"), draw_nodes, output, watch)


@nodes.command("get")
@click.argument("node")
@format_option
def get_node(node: str, output: str) -> None:
    """Show one node.

    \b
    Example:
      leadplane nodes get eu-central-1-n1
    """
    show(
        lambda: fleet_access().get(f"/v1/nodes/{node}"),
        lambda document, wide: table(NODES, [document], wide),
        output,
    )


for command in (drain_node, undrain_node, stoppable):
    nodes.add_command(command)
