"""`leadplane config`: the documents of the fleet, their versions, and what each region runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.config_follow import follow
from controlplane.cli.connection import access_at, fleet_access
from controlplane.cli.document_apply import apply_document, roll_document_back
from controlplane.cli.document_editor import edit_document
from controlplane.cli.document_edits import (
    CHANGES,
    delete_document,
    document_path,
    put_document,
)
from controlplane.cli.document_sync import sync_documents
from controlplane.cli.document_text import yaml_text
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
)
from controlplane.cli.sync_plan import effective_in

if TYPE_CHECKING:
    from rich.console import RenderableType

DIGEST_SHOWN = 12


def _when(row: Row) -> str | None:
    return moment_text(row["wall_ms"])


DOCUMENTS = (
    Column("NAME", lambda d: d["name"]),
    Column("KIND", lambda d: d["kind"]),
    Column("VERSION", lambda d: d["version"], right=True),
    Column("SINCE", _when),
    Column("BY", lambda d: d["principal"]),
    Column("SCHEMA", lambda d: d["schema"], sparse=True),
    Column("SIZE", lambda d: bytes_text(d["size_bytes"]), right=True, wide=True),
    Column("DIGEST", lambda d: d["digest"][:DIGEST_SHOWN], wide=True),
    Column("REASON", lambda d: d["reason"], sparse=True),
)
VERSIONS = (
    Column("VERSION", lambda d: d["version"], right=True),
    Column("SINCE", _when),
    Column("BY", lambda d: d["principal"]),
    Column("WHAT", lambda d: "deleted" if d["deleted"] else "default" if not d["version"] else ""),
    Column("SIZE", lambda d: bytes_text(d["size_bytes"]), right=True),
    Column("DIGEST", lambda d: d["digest"][:DIGEST_SHOWN]),
    Column("SCHEMA", lambda d: d["schema"], sparse=True),
    Column("AFTER", lambda d: (d["before"] or "")[:DIGEST_SHOWN], wide=True),
    Column("REVISION BEFORE", lambda d: (d["previous"] or "")[:DIGEST_SHOWN], wide=True),
    Column("REASON", lambda d: d["reason"]),
)


def _version(row: Row, which: str) -> Any:
    record = row.get(which)
    return record["version"] if record else None


def _drift(row: Row) -> str:
    return f"not known: {row['problem']}" if "problem" in row else str(row["drift"])


def _drift_style(row: Row) -> str:
    return "" if row.get("drift") == "none" else "yellow"


EFFECTIVE = (
    Column("REGION", lambda e: e["region"]),
    Column("NODE", lambda e: e.get("node")),
    Column("RUNS", lambda e: _version(e, "applied"), right=True),
    Column("IS TO RUN", lambda e: _version(e, "target"), right=True),
    Column("NEWEST", lambda e: _version(e, "newest"), right=True),
    Column("DRIFT", _drift, _drift_style),
    Column("BY ROLLOUT", lambda e: (e.get("target") or {}).get("rollout"), right=True),
    Column("COPY IS BEHIND", lambda e: ms_text(e.get("staleness_ms")), right=True),
    Column("DIGEST", lambda e: (e.get("applied") or {"digest": ""})["digest"][:DIGEST_SHOWN]),
)


@click.group("config", invoke_without_command=True)
@output_options
@click.pass_context
def config(context: click.Context, output: str, watch: bool) -> None:
    """Show and edit the fleet's documents; without a further word, list them."""
    list_unless_more(context, list_documents, output, watch)


@config.command("list")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.option("--nearby", is_flag=True, help="As the region's copy has it: needs no leader.")
def list_documents(
    output: str = "table", watch: bool = False, at: str | None = None, nearby: bool = False
) -> None:
    """List documents: kind, version, since when, by whom.

    \b
    Examples:
      leadplane config list
      leadplane config list --nearby
    """
    access = access_at(at)
    show(
        lambda: access.items("/v1/config", consistency="any" if nearby else None),
        lambda document, wide: table(DOCUMENTS, document["items"], wide),
        output,
        watch,
    )


@config.command("get")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=0), help="An older one; see `history`.")
@click.option("--content", "only_content", is_flag=True, help="The content alone, to be edited.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.option("--nearby", is_flag=True, help="As the region's copy has it: needs no leader.")
@format_option
def get_document(
    name: str,
    version: int | None,
    only_content: bool,
    at: str | None,
    nearby: bool,
    output: str,
) -> None:
    """Show a document and what it holds.

    With --content it is printed as YAML that `put` takes back: its first line says which version it
    is, so that nobody's change in between is overwritten.

    \b
    Examples:
      leadplane config get placement --content > placement.yaml
      leadplane config get placement --version 3
    """
    path = document_path(name)
    if version is not None:
        path += f"/versions/{version}"
    document = access_at(at).get(path, consistency="any" if nearby else None)
    if only_content:
        click.echo(yaml_text(document), nl=False)
        return
    show(lambda: document, _draw_document, output)


def _draw_document(document: Any, wide: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(table(DOCUMENTS, [document], wide), Text("\n" + yaml_text(document).rstrip()))


@config.command("history")
@click.argument("name")
@output_options
def history(name: str, output: str, watch: bool) -> None:
    """Show the versions of a document that are kept: since when, by whom, why.

    \b
    Example:
      leadplane config history placement
    """
    access = fleet_access()
    show(
        lambda: access.items(f"{document_path(name)}/versions"),
        lambda document, wide: table(VERSIONS, document["items"], wide),
        output,
        watch,
    )


@config.command("diff")
@click.argument("name")
@click.option("--from", "older", type=click.IntRange(min=0), help="The one before, if not given.")
@click.option("--to", "newer", type=click.IntRange(min=0), help="The present one, if not given.")
@format_option
def show_diff(name: str, older: int | None, newer: int | None, output: str) -> None:
    """Show how two versions of a document differ.

    \b
    Example:
      leadplane config diff placement --from 3
    """
    query = {"from": older, "to": newer}
    document = fleet_access().get(f"{document_path(name)}/diff", **query)
    show(lambda: document, lambda d, wide: table(CHANGES, d["diff"], wide), output)


@config.command("effective")
@click.argument("name")
@click.option("--region", "only", help="Only this region.")
@output_options
def effective(name: str, only: str | None, output: str, watch: bool) -> None:
    """Show which version each region runs, which one it is to run, and which is the newest.

    The newest is in force where a rollout brought it; a region that is cut off is told as that.

    \b
    Example:
      leadplane config effective placement --watch
    """
    access = fleet_access()

    def fetch() -> dict[str, Any]:
        nodes = access.items("/v1/nodes")["items"]
        regions = [only] if only else sorted({node["region"] for node in nodes})
        return {"items": [effective_in(access, name, region) for region in regions]}

    show(fetch, lambda document, wide: table(EFFECTIVE, document["items"], wide), output, watch)


for command in (
    apply_document, edit_document, put_document, delete_document, roll_document_back,
    sync_documents, follow,
):  # fmt: skip
    config.add_command(command)
