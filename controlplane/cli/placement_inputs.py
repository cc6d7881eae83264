"""`leadplane placement load` and `latency`: who asks for which shard, and from how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import access_at
from controlplane.cli.output import NOTHING, Column, Row, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

ORIGINS_SHOWN = 3


def _sum(shard: Row, part: str) -> float:
    return sum(float(origin[part]) for origin in shard["origins"])


def _ms_text(ms: float | None) -> str:
    return NOTHING if ms is None else f"{ms:,.0f} ms"


def _shares_text(shard: Row) -> str:
    """The regions that most requests come from, with their parts."""
    total = shard["requests_per_s"] or 1.0
    parts = [
        f"{origin['region']} {(origin['reads_per_s'] + origin['writes_per_s']) / total:.0%}"
        for origin in shard["origins"][:ORIGINS_SHOWN]
    ]
    return ", ".join(parts)


LOAD = (
    Column("SHARD", lambda s: s["shard"]),
    Column("REQUESTS/S", lambda s: f"{s['requests_per_s']:,.1f}", right=True),
    Column("BYTES/S", lambda s: f"{s['bytes_per_s']:,.0f}", right=True),
    Column("MOSTLY FROM", _shares_text),
    Column("READS/S", lambda s: f"{_sum(s, 'reads_per_s'):,.1f}", right=True, wide=True),
    Column("WRITES/S", lambda s: f"{_sum(s, 'writes_per_s'):,.1f}", right=True, wide=True),
)
LATENCY = (
    Column("FROM", lambda d: d["from_region"]),
    Column("TO", lambda d: d["to_region"]),
    Column("ROUND TRIP", lambda d: _ms_text(d["round_trip_ms"]), right=True),
    Column("SOURCE", lambda d: d["source"]),
    Column("P50", lambda d: _ms_text(d["p50_ms"]), right=True),
    Column("P99", lambda d: _ms_text(d["p99_ms"]), right=True),
    Column("SAMPLES", lambda d: d["samples"], right=True),
    Column("PRIOR", lambda d: _ms_text(d["prior_ms"]), right=True, wide=True),
    Column("OVERRIDE", lambda d: d["override_ms"] and _ms_text(d["override_ms"]), sparse=True),
)


def draw_load(document: Any, wide: bool) -> RenderableType:
    """One line for each shard, and who has not reported yet."""
    from rich.console import Group
    from rich.text import Text

    lines = table(LOAD, document["items"], wide)
    if document["whole"]:
        return lines
    late = [r["node"] for r in document["reporters"] if r["behind"]]
    told = f" {', '.join(late)} go on." if late else ""
    return Group(lines, Text(f"Not every node has said all it knows to {document['node']}.{told}"))


@click.command("load")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.option(
    "--by",
    type=click.Choice(["requests", "reads", "writes", "bytes"]),
    default="requests",
    show_default=True,
    help="What the busiest have the most of.",
)
@click.option("--top", type=click.IntRange(1, 1_000), default=20, show_default=True)
def show_load(output: str, watch: bool, at: str | None, by: str, top: int) -> None:
    """Show the busiest shards, and which regions their clients come in at.

    \b
    Example:
      leadplane placement load --by writes --top 5
    """
    access = access_at(at)
    path = "/v1/placement/load"
    show(lambda: access.get(path, busiest_by=by, limit=top), draw_load, output, watch)


@click.command("latency")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def show_latency(output: str, watch: bool, at: str | None) -> None:
    """Show the round trips between regions: what counts, where it comes from, what was measured.

    \b
    Example:
      leadplane placement latency
    """
    access = access_at(at)
    show(
        lambda: access.items("/v1/placement/latency"),
        lambda document, wide: table(LATENCY, document["items"], wide),
        output,
        watch,
    )
