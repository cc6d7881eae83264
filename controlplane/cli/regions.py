"""`leadplane regions`: what each region has, whether it can lead by itself, and its stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at, fleet_access
from controlplane.cli.document_text import yaml_text
from controlplane.cli.drains import drain_region, undrain_region
from controlplane.cli.output import format_option, list_unless_more, output_options, show, table
from controlplane.cli.region_edits import (
    create_region,
    delete_region,
    patch_region,
    put_region,
)
from controlplane.cli.status import REGIONS
from controlplane.cli.store_sets import (
    change_lease,
    drop_group,
    force_recover,
    list_groups,
    make_group,
    stores,
)

if TYPE_CHECKING:
    from rich.console import RenderableType


def draw_regions(document: Any, wide: bool) -> RenderableType:
    """One line for each region."""
    return table(REGIONS, document["items"], wide)


def draw_region(document: Any, wide: bool) -> RenderableType:
    """One region, then what its document says."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [table(REGIONS, [document], wide)]
    if document.get("document"):
        parts.append(Text("\n" + yaml_text(document["document"]).rstrip()))
    return Group(*parts)


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def regions(context: click.Context, output: str, watch: bool) -> None:
    """Show regions; without a further word, list them."""
    list_unless_more(context, list_regions, output, watch)


@regions.command("list")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def list_regions(output: str = "table", watch: bool = False, at: str | None = None) -> None:
    """List regions: nodes that renew, stores that answer, shards led there.

    \b
    Example:
      leadplane regions list --watch
    """
    access = access_at(at)
    show(lambda: access.items("/v1/regions"), draw_regions, output, watch)


@regions.command("get")
@click.argument("region")
@format_option
def get_region(region: str, output: str) -> None:
    """Show one region, with its document.

    \b
    Example:
      leadplane regions get eu-central-1
    """
    show(lambda: fleet_access().get(f"/v1/regions/{region}"), draw_region, output)


for command in (
    create_region,
    put_region,
    patch_region,
    delete_region,
    drain_region,
    undrain_region,
):
    regions.add_command(command)
regions.add_command(list_groups)
regions.add_command(make_group)
regions.add_command(drop_group)
regions.add_command(stores)
regions.add_command(change_lease)
regions.add_command(force_recover)
