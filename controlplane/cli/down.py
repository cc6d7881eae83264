"""`leadplane down`: stop a fleet that runs in the background, or what a crash left of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.connection import LOCAL_FOLDER

if TYPE_CHECKING:
    from controlplane.fleet.stopping import Stopped


@click.command("down")
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    default=LOCAL_FOLDER,
    show_default=True,
    help="The directory of the fleet.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def down(path: Path, output: str) -> None:
    """Stop the fleet of a directory: nodes hand over and end, then the stores.

    Data stays, unless the fleet was ephemeral. After a crash of its supervisor this ends the
    processes that were left, and no others.

    \b
    Examples:
      leadplane down
      leadplane down --dir /tmp/fleet
    """
    # Imported late: `leadplane down --help` need not load any of it.
    import asyncio

    import orjson

    from controlplane.fleet.directory import FleetDirectory
    from controlplane.fleet.stopping import stop_fleet

    directory = FleetDirectory(path)
    stopped = asyncio.run(stop_fleet(directory))
    if output == "json":
        click.echo(
            orjson.dumps(
                {
                    "dir": str(directory.path),
                    "supervisor_pid": stopped.supervisor_pid,
                    "orphan_pids": stopped.orphan_pids,
                    "removed": stopped.removed,
                }
            )
        )
    else:
        click.echo(_told(directory.path, stopped))


def _told(path: Path, stopped: Stopped) -> str:
    if stopped.supervisor_pid is not None:
        text = "stopped: nodes handed over, stores closed"
    else:
        pids = ", ".join(map(str, stopped.orphan_pids)) or "none"
        text = f"its supervisor was gone already; processes it left, now ended: {pids}"
    kept = "removed" if stopped.removed else "kept"
    return f"{text}\ndata in {path}: {kept}"
