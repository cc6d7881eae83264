"""`leadplane backup` and `leadplane restore`: all that stores hold in one file, and back again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import LOCAL_FOLDER
from controlplane.cli.output import (
    Column,
    bytes_text,
    format_option,
    moment_text,
    print_document,
    table,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from controlplane.backup.manifest import Manifest
    from controlplane.backup.saving import Progress
    from regions.topology import Topology

TELL_EVERY_S = 1.0

SHARDS = (
    Column("SHARD", lambda s: s["shard"]),
    Column("GROUP", lambda s: s["group"]),
    Column("POSITION", lambda s: s["position"][1], right=True),
    Column("EPOCH", lambda s: s["position"][0], right=True),
    Column("RECORDS", lambda s: s["records"], right=True),
    Column("ENTRIES", lambda s: s["entries"], right=True),
    Column("SIZE", lambda s: bytes_text(s["bytes"]), right=True),
    Column("FROM", lambda s: s["store"], wide=True),
    Column("NOT COMMITTED", lambda s: s["tail"] or None, right=True, sparse=True),
    Column("SHA256", lambda s: s["sha256"], wide=True),
)

regions_option = click.option(
    "--regions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The topology document that says where the stores are.",
)


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@regions_option
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Of a fleet of `leadplane up`, without --regions.  [default: {LOCAL_FOLDER}]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@format_option
def backup(
    file: Path, regions: Path | None, directory: Path | None, force: bool, output: str
) -> None:
    """Write all that is committed, shard by shard, into FILE, while the fleet goes on.

    The stores themselves are asked, not nodes: their addresses are in a topology document, or in
    the directory of a fleet of `leadplane up`. Sessions and leases are not in a backup.

    \b
    Example:
      leadplane backup monday.leadplane
      leadplane backup monday.leadplane --regions topology.yaml -o json
      leadplane restore monday.leadplane --check
    """
    import asyncio
    from importlib.metadata import version

    from controlplane.backup.archive import new_backup
    from controlplane.backup.saving import save
    from controlplane.store_lanes import lane_maker

    topology = _topology(regions, directory)
    told = _Told("saved")
    with new_backup(file, force) as writer:
        saving = save(topology, lambda at: lane_maker(at, {}), writer, version("leadplane"), told)
        manifest = asyncio.run(saving)
        writer.finish(manifest)
    told.end()
    document = _document(manifest) | {"file": str(file), "file_bytes": file.stat().st_size}
    print_document(document, _draw_made, output)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@regions_option
@click.option("--check", is_flag=True, help="Only read all of FILE, and say what is in it.")
@format_option
def restore(file: Path, regions: Path | None, check: bool, output: str) -> None:
    """Fill new, empty stores with what is in FILE: a fleet with the same names, and a new identity.

    Nodes, groups and stores keep their names; --regions says where the stores are now. What was
    led, by whom and in which epoch, begins anew: old nodes and sessions are refused. On one
    machine, `leadplane up --restore FILE` starts the stores and the nodes as well.

    \b
    Example:
      leadplane restore monday.leadplane --check
      leadplane restore monday.leadplane --regions new-topology.yaml
    """
    import asyncio

    from controlplane.backup import restoring
    from controlplane.backup.archive import open_backup
    from controlplane.store_lanes import lane_maker

    if check == (regions is not None):
        raise click.UsageError("give --regions, which says where the new stores are, or --check")
    with open_backup(file) as found:
        document = _document(found.manifest) | {"file": str(file)}
        if check:
            found.verify()
            print_document(document | {"whole": True}, _draw_checked, output)
            return
        topology = _topology(regions, None)
        told = _Told("restored")
        lanes = lambda at: lane_maker(at, {}, may_be_empty=True)  # noqa: E731
        done = asyncio.run(restoring.restore(found, topology, lanes, told))
    told.end()
    versions = {name: group.version for name, group in done.groups.items()}
    document |= {"new_cluster": done.cluster, "versions": versions}
    print_document(document, _draw_restored, output)


def _topology(regions: Path | None, directory: Path | None) -> Topology:
    """Where the stores are. Raises UsageError, TopologyInvalid."""
    from regions.topology_file import load_topology

    if regions is not None and directory is not None:
        raise click.UsageError("--regions and --dir are two ways to say the same: give one")
    if regions is None:
        regions = (directory or Path(LOCAL_FOLDER)) / "topology.yaml"
        if not regions.exists():
            message = f"there is no {regions}: give the topology of the fleet with --regions"
            raise click.UsageError(message)
    return load_topology(regions)


class _Told:
    """Says on standard error how far it is: in place in a terminal, else once in a while."""

    def __init__(self, done: str) -> None:
        self._done = done
        self._began_s = self._told_s = time.monotonic()
        self._in_place = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        last = progress.shards == progress.of
        if not last and now_s - self._told_s < (0.1 if self._in_place else TELL_EVERY_S):
            return
        self._told_s = now_s
        size, spent = bytes_text(progress.bytes), now_s - self._began_s
        line = f"{progress.shards} of {progress.of} shards {self._done}, {size}, {spent:.1f} s"
        click.echo(f"\r\x1b[K{line}" if self._in_place else line, err=True, nl=not self._in_place)

    def end(self) -> None:
        """What comes next begins on a line of its own."""
        if self._in_place:
            click.echo(err=True)


def _document(manifest: Manifest) -> dict[str, Any]:
    from dataclasses import asdict

    from controlplane.backup.manifest import VERSION

    return {"version": VERSION, **asdict(manifest)}


def _summary(document: Any) -> str:
    shards, groups = document["shards"], document["groups"]
    size = bytes_text(sum(shard["bytes"] for shard in shards))
    stores = {s for group in groups for s in (*group["voters"], *group["followers"])}
    held = f"{len(shards)} shards of {len(groups)} groups at {len(stores)} stores, {size}"
    return f"{held}, begun {moment_text(document['made_ms'])} by {document['release']}"


def _drawn(head: str, document: Any, wide: bool, tail: str = "") -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rows = table(SHARDS, document["shards"], wide)
    return Group(Text(head), Text(), rows, *([Text(), Text(tail)] if tail else []))


def _draw_made(document: Any, wide: bool) -> RenderableType:
    head = f"{document['file']}: {bytes_text(document['file_bytes'])}; {_summary(document)}"
    return _drawn(head, document, wide)


def _draw_checked(document: Any, wide: bool) -> RenderableType:
    return _drawn(f"{document['file']} is whole: {_summary(document)}", document, wide)


def _draw_restored(document: Any, wide: bool) -> RenderableType:
    head = f"Restored as cluster {document['new_cluster']}: {_summary(document)}"
    tail = "Start the nodes now, with the same topology: `leadplane serve`."
    return _drawn(head, document, wide, tail)
