"""`leadplane regions create`, `put`, `patch` and `delete`: regions as the documents they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from controlplane.cli.connection import CommandFailed, fleet_access
from controlplane.cli.document_edits import (
    Wish,
    condition_options,
    conditions,
    draw_edit,
    dry_run_option,
    edit,
    edit_options,
    present_etag,
)
from controlplane.cli.document_text import Source, read_text
from controlplane.cli.output import show

ZONES = 3


@click.command("create")
@click.argument("region")
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@dry_run_option
@edit_options
def create_region(region: str, file: str | None, wish: Wish, output: str) -> None:
    """Create REGION as FILE describes it, or, without a FILE, by its published figures.

    \b
    Example:
      leadplane regions create ap-south-1 --dry-run
    """
    text = read_text(file) if file else None
    content = text.content if text else _published(region)
    source = Source("#", text) if text else None
    new = {"If-None-Match": "*"}
    document = edit("PUT", f"/v1/regions/{region}", content, new, wish, source)
    show(lambda: document, draw_edit, output)


@click.command("put")
@click.argument("region")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@condition_options
@dry_run_option
@edit_options
def put_region(
    region: str, file: str, create: bool, if_match: str | None, force: bool,
    wish: Wish, output: str,
) -> None:  # fmt: skip
    """Describe REGION anew, as FILE does; - is standard input.

    Begin with `leadplane config get region.REGION --content > FILE`.

    \b
    Example:
      leadplane regions put ap-south-1 ap-south-1.yaml
    """
    text = read_text(file)
    headers = conditions(f"region.{region}", text.etag, create, if_match, force)
    path = f"/v1/regions/{region}"
    document = edit("PUT", path, text.content, headers, wish, Source("#", text))
    show(lambda: document, draw_edit, output)


@click.command("patch")
@click.argument("region")
@click.argument("changes", metavar="FIELD=VALUE...", nargs=-1, required=True)
@click.option("--if-match", metavar="ETAG", help="Only if it is this version.")
@dry_run_option
@edit_options
def patch_region(
    region: str, changes: tuple[str, ...], if_match: str | None,
    wish: Wish, output: str,
) -> None:  # fmt: skip
    """Change some fields of REGION as it is now; a VALUE is JSON or text, none takes it away.

    A field inside another is written with a dot: capacity.leaders=500

    \b
    Example:
      leadplane regions patch eu-central-1 capacity.leaders=500
    """
    patch = _patch_of(changes)
    headers = {"If-Match": if_match or present_etag(fleet_access(), f"region.{region}")}
    document = edit("PATCH", f"/v1/regions/{region}", patch, headers, wish)
    show(lambda: document, draw_edit, output)


@click.command("delete")
@click.argument("region")
@click.option("--if-match", metavar="ETAG", help="Only if it is this version.")
@dry_run_option
@edit_options
def delete_region(region: str, if_match: str | None, wish: Wish, output: str) -> None:
    """Take REGION away, if nothing stands in it that is needed.

    \b
    Example:
      leadplane regions delete ap-south-1 --dry-run
    """
    headers = {"If-Match": if_match or present_etag(fleet_access(), f"region.{region}")}
    document = edit("DELETE", f"/v1/regions/{region}", None, headers, wish)
    show(lambda: document, draw_edit, output)


def _patch_of(changes: Iterable[str]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for change in changes:
        field, is_given, text = change.partition("=")
        if not is_given or not field:
            raise click.UsageError(f"{change!r} is not FIELD=VALUE")
        *outer, last = field.split(".")
        inner = patch
        for name in outer:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise click.UsageError(f"{change!r} is inside a field that is given as a whole")
        inner[last] = _value_of(text)
    return patch


def _value_of(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _published(region: str) -> dict[str, Any]:
    """What is published of a region, with its prices to the regions of this fleet."""
    from config.builtin import builtin_content
    from config.document import Kind
    from regions.errors import UnknownRegion
    from regions.reference import default_topology, egress_usd_per_gb, region_names

    items = fleet_access().items("/v1/regions")["items"]
    known = [row["region"] for row in items if row["region"] in region_names()]
    others = [name for name in known if name != region]
    try:
        place = default_topology([region], zones=ZONES).region(region)
        prices: Mapping[str, float] = egress_usd_per_gb([region, *others])[region]
        everywhere = egress_usd_per_gb(region_names())[region]
    except UnknownRegion as failure:
        hint = "describe it in a file: see `leadplane config get region.NAME --content` of another"
        raise CommandFailed(str(failure), hint=hint) from None
    return {
        "location": place.location,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "zones": list(place.zones),
        "stores": [],
        "egress_usd_per_gb": dict(prices),
        "egress_elsewhere_usd_per_gb": max(everywhere.values()),
        **builtin_content(Kind.REGION),
    }
