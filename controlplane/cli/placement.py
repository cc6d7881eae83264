"""`leadplane placement`: where shards should be led, and what that rests on."""

from __future__ import annotations

import click

from controlplane.cli.placement_inputs import show_latency, show_load


@click.group("placement")
def placement() -> None:
    """Show what placement rests on: load by region of origin, and round trips between regions.

    The global leader gathers both from all nodes, in memory. After it has changed, what it knows is
    whole again within seconds; until then it says so.
    """


placement.add_command(show_load)
placement.add_command(show_latency)
