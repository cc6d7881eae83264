"""`leadplane events`: what happened in the fleet, as its system shard keeps it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import FleetAccess, access_at
from controlplane.cli.durations import ago_or_moment_ms
from controlplane.cli.output import Column, Row, moment_text, ms_text, output_options, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

PAGE = 1_000
SINCE = "1h"
MOMENT = "DURATION|MOMENT"
SHOWN_MAX = 100


def _about(row: Row) -> str:
    """What an event is about: a shard, or a group."""
    return str(row["shard"] or row["group"])


def _detail(row: Row) -> str:
    """What it says besides, on one line."""
    said = ", ".join(
        f"{name} {_plain(name, value)}"
        for name, value in row["detail"].items()
        if name not in ("row", "group")
    )
    return said if len(said) <= SHOWN_MAX else said[: SHOWN_MAX - 1] + "…"


def _plain(name: str, value: Any) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return ms_text(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


COLUMNS = (
    Column("WHEN", lambda e: moment_text(e["wall_ms"], "%m-%d %H:%M:%S")),
    Column("KIND", lambda e: e["kind"]),
    Column("ABOUT", _about),
    Column("EPOCH", lambda e: e["epoch"] or None, right=True),
    Column("NODE", lambda e: e["node"]),
    Column("GROUP", lambda e: e["group"], wide=True),
    Column("REGION", lambda e: e["region"], wide=True),
    Column("NUMBER", lambda e: e["sequence"], right=True, wide=True),
    Column("KEPT AT", lambda e: moment_text(e["recorded_ms"]), wide=True),
    Column("DETAIL", _detail),
)


@click.command("events")
@click.option("--since", metavar=MOMENT, help=f"Only from then on, or so long ago; {SINCE} unless "
              "it is said.")  # fmt: skip
@click.option("--until", metavar=MOMENT, help="Only before that.")
@click.option("--shard", help="Only of this shard.")
@click.option("--kind", help="Only of this kind: elected, transferred, evicted, lease-expired, ...")
@click.option("--node", help="Only what happened at this node.")
@click.option("--summary", is_flag=True, help="Instead, counts of what is not kept any more.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@output_options
def events(
    since: str | None,
    until: str | None,
    shard: str | None,
    kind: str | None,
    node: str | None,
    summary: bool,
    at: str | None,
    output: str,
    watch: bool,
) -> None:
    """Show life-cycle events of the whole fleet, the oldest first: elections, handovers, evictions,
    leases that ran out, changes of stores.

    A duration counts from now; a moment is 2026-03-01T12:00, this place's time.

    \b
    Examples:
      leadplane events --since 1h --shard s17
      leadplane events --since 2026-03-01T12:00 --kind elected -o json
      leadplane events --summary
    """
    wanted = {"shard": shard, "kind": kind, "node": node}
    if summary:
        said = [f"--{name}" for name, value in wanted.items() if value is not None]
        said += [f"--{n}" for n, value in (("since", since), ("until", until)) if value is not None]
        if said:
            raise click.UsageError(f"--summary excludes {said[0]}")
    now_ms = time.time_ns() // 1_000_000
    before_ms = ago_or_moment_ms(until, "--until", now_ms)
    from_ms = ago_or_moment_ms(SINCE if since is None else since, "--since", now_ms)
    if from_ms is not None and from_ms >= min(now_ms + 1, before_ms or now_ms + 1):
        later = "now" if before_ms is None else "--until"
        raise click.UsageError(f"--since has to be before {later}")
    access = access_at(at)
    if summary:
        show(lambda: access.items("/v1/events/summary", limit=PAGE), draw_summary, output, watch)
        return

    def fetch() -> dict[str, Any]:
        start_ms = ago_or_moment_ms(since or SINCE, "--since", time.time_ns() // 1_000_000)
        return _all(access, {**wanted, "since": start_ms, "until": before_ms})

    show(fetch, draw_events, output, watch)


def _all(access: FleetAccess, query: Mapping[str, Any]) -> dict[str, Any]:
    """Every page of what is asked for, as old as the oldest of them."""
    pages = list(access.pages("/v1/events/kept", limit=PAGE, **query))
    ages = [page["staleness_ms"] for page in pages]
    return {
        **pages[-1],
        "since_ms": query["since"],
        "items": [item for page in pages for item in page["items"]],
        "staleness_ms": None if None in ages else max(ages),
    }


def draw_events(document: Any, wide: bool) -> RenderableType:
    """One line for each event; below them, what is not known of the time asked for."""
    from rich.console import Group
    from rich.text import Text

    lines: list[Text] = []
    if not document["items"]:
        lines.append(Text("No such event is kept."))
    dropped_ms = document["summarised_before"]["wall_ms"]
    if dropped_ms is not None and document["since_ms"] <= dropped_ms:
        moment = moment_text(dropped_ms)
        lines.append(Text(f"Of what was kept until {moment} there are only counts: see --summary."))
    age_ms = document["staleness_ms"]
    if age_ms is None:
        lines.append(Text("How old this copy is, nobody vouches for: the newest may be missing."))
    elif age_ms >= 1_000:
        lines.append(Text(f"This copy is up to {ms_text(age_ms)} old."))
    if not document["items"]:
        return Group(*lines)
    return Group(table(COLUMNS, document["items"], wide), *lines)


def _span(row: Row) -> str:
    if row["since_ms"] is None:
        return f"before {moment_text(row['until_ms'])}"
    return str(moment_text(row["since_ms"]))


SUMMARY = (
    Column("HOUR FROM", _span),
    Column("KIND", lambda c: c["kind"]),
    Column("GROUP", lambda c: c["group"]),
    Column("COUNT", lambda c: c["count"], right=True),
)


def draw_summary(document: Any, wide: bool) -> RenderableType:
    """One line for each hour, kind and group."""
    from rich.text import Text

    if not document["items"]:
        return Text("Every event there ever was is kept.")
    rows = [{**hour, **count} for hour in document["items"] for count in hour["counts"]]
    return table(SUMMARY, rows, wide)
