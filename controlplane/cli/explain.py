"""`leadplane shards explain`: why a shard is where a plan has it, and what would move it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import fleet_access
from controlplane.cli.output import Column, format_option, show, table
from controlplane.cli.placement_plans import patient, usd_text

if TYPE_CHECKING:
    from rich.console import RenderableType


def draw_explanation(found: Any, wide: bool) -> RenderableType:
    """What was chosen and the runner-up, term by term, and what would tip it."""
    from rich.console import Group
    from rich.text import Text

    options = {"chosen": found["chosen"], "runner-up": found["runner_up"]}
    present = {name: option for name, option in options.items() if option is not None}
    rows = [
        {"term": term} | {name: option[kind][term] for name, option in present.items()}
        for kind in ("terms", "limits")
        for term in found["chosen"][kind]
        if any(option[kind][term] for option in present.values())
    ]
    rows.append({"term": "all"} | {n: option["usd_per_month"] for n, option in present.items()})
    columns = [Column("USD/MONTH", lambda row: row["term"])]
    for name, option in present.items():
        title = f"{name}: {option['leader']}"
        columns.append(Column(title, lambda row, name=name: usd_text(row[name]), right=True))  # type: ignore[misc]
    return Group(table(columns, rows, wide), *(Text(line) for line in _reasons(found)))


def _reasons(found: Any) -> list[str]:
    chosen, tipping = found["chosen"], found["tipping"]
    voters = ", ".join(chosen["voters"])
    now = found["now"] or "nowhere"
    lines = [f"Led from {now}; best from {chosen['leader']}, with voters in {voters}."]
    if not found["by_itself"]:
        lines.append("It is not the cheapest for this shard alone: limits, or too small a gain.")
    lines += [
        f"Limit {each['limit']}{' of ' + each['region'] if each['region'] else ''}: one more unit "
        f"would save {usd_text(each['usd_per_unit'])} USD a month."
        for each in found["binding"]
    ]
    lines += [
        f"The copy in {each['region']} {'rests' if each['rests'] else 'follows'}: at "
        f"{each['reads_per_s']:,.2f} reads/s from there it saves {usd_text(each['saves_usd'])} and "
        f"costs {usd_text(each['costs_usd'])} USD a month."
        for each in found.get("followers", ())
    ]
    if tipping is not None:
        lines.append(
            f"{tipping['then_leader']} would lead it if {tipping['load']} from "
            f"{tipping['region']} went from {tipping['now_per_s']:,.2f} to "
            f"{tipping['at_per_s']:,.2f}."
        )
    return lines


@click.command("explain")
@format_option
@click.argument("shard")
def explain_shard(output: str, shard: str) -> None:
    """Say why SHARD is best led where a plan has it, and what would move it.

    \b
    Example:
      leadplane shards explain s17
    """
    from urllib.parse import quote

    access = patient(fleet_access())
    show(
        lambda: access.get(f"/v1/shards/{quote(shard, safe='')}/explain"), draw_explanation, output
    )
