"""`leadplane tour`: see a fleet write, read nearby, lose its leader, and lose nothing else.

Everything that is told is measured, and every chapter ends with a verdict that can be false. The
tour kills and stops processes of the fleet it visits: it visits only fleets of `leadplane up`, on
this machine, whose supervisor starts again what was killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.connection import LOCAL_FOLDER, FleetAccess, local_fleet
from controlplane.command_name import to_find_it

if TYPE_CHECKING:
    from controlplane.cli.tour_scene import Scene
    from controlplane.cli.tour_story import Story

CHAPTERS = 7


@click.command()
@click.option("--start", is_flag=True, help="Start a fleet for it, and stop that at the end.")
@click.option(
    "--dir",
    "folder",
    default=LOCAL_FOLDER,
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The fleet to visit, as given to `leadplane up`.",
)
@click.option("--latency", help="With --start: none, real, or a scale; as for `leadplane up`.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def tour(start: bool, folder: Path, latency: str | None, output: str) -> None:
    """Show what a fleet does, in seven chapters and about a minute.

    Where a key lives; a write; reads in every region; then a leader killed, a leader asleep, a
    store killed, and a planned transfer, each while a client writes. The exit status is 1 when
    something was not as promised.

    \b
    Examples:
      leadplane tour
      leadplane tour --start --latency real
    """
    if start:
        _start_with_tour(latency)
    state = local_fleet(folder)
    from controlplane.cli.tour_scene import open_scene
    from controlplane.cli.tour_story import Story

    story = Story(CHAPTERS)
    began = time.monotonic()
    urls = tuple(str(node["url"]) for node in state["nodes"])
    scene = open_scene(folder, FleetAccess(urls))
    _welcome(story, state)
    _chapters(scene, story)
    _farewell(scene, story, time.monotonic() - began, ephemeral=bool(state.get("ephemeral")))
    if output == "json":
        click.echo(json.dumps([asdict(verdict) for verdict in story.verdicts], indent=2))
    if not story.holds:
        sys.exit(1)


def _start_with_tour(latency: str | None) -> None:
    """Become `leadplane up --ephemeral --tour`: it starts a fleet, runs this command, stops it."""
    command = [sys.executable, "-m", "controlplane.cli.main", "up", "--ephemeral", "--tour"]
    if latency is not None:
        command += ["--latency", latency]
    os.execv(sys.executable, command)


def _welcome(story: Story, state: dict[str, object]) -> None:
    nodes, stores = state["nodes"], state["stores"]
    assert isinstance(nodes, list)
    assert isinstance(stores, list)
    regions = len({node["region"] for node in nodes})
    latency = state.get("latency")
    far = f" The traffic between regions takes {latency:g} of the real time." if latency else ""
    story.say(
        f"This fleet has {regions} regions, {len(nodes)} nodes and {len(stores)} stores, each a",
        f"process of this machine.{far} All figures below are measured as you read.",
    )


def _chapters(scene: Scene, story: Story) -> None:
    from controlplane.cli.tour_faults import kill_a_store, kill_the_leader, wake_an_old_leader
    from controlplane.cli.tour_steps import (
        a_write,
        planned_transfer,
        read_everywhere,
        where_it_lives,
    )

    where_it_lives(scene, story)
    written = a_write(scene, story)
    read_everywhere(scene, story, written)
    kill_the_leader(scene, story)
    wake_an_old_leader(scene, story)
    kill_a_store(scene, story)
    planned_transfer(scene, story)


def _farewell(scene: Scene, story: Story, seconds: float, *, ephemeral: bool) -> None:
    acked = sum(len(numbers) for numbers in scene.acked.values())
    lost = sum(len(scene.lost(chapter)) for chapter in scene.acked)
    kept = sum(verdict.holds for verdict in story.verdicts)
    click.echo(
        f"\n{kept} of {len(story.verdicts)} verdicts are as promised. {acked:,} writes were "
        f"acknowledged, {lost} of them lost. The tour took {seconds:.0f} s."
    )
    first = f"   {line}\n" if (line := to_find_it()) else ""
    if ephemeral:
        click.echo(
            "\nThis fleet ends now. To keep one running, and look around:\n"
            f"{first}   leadplane up --detach\n"
            "   leadplane status"
        )
    else:
        click.echo(f"\nLook around:\n{first}   leadplane status")
    click.echo(
        f"   leadplane shards history {scene.shard}\n"
        "   leadplane kv put '{customer42}/name' Ada\n"
        "   leadplane kv get '{customer42}/name' -c any --at us-east-1\n"
        "   leadplane route '{customer42}/name' --region ap-southeast-1"
    )
    if ephemeral:
        click.echo("   leadplane down")
