"""`leadplane placement`: where shards should be led, and what that rests on."""

from __future__ import annotations

import click

from controlplane.cli.placement_inputs import show_latency, show_load
from controlplane.cli.placement_plans import (
    apply_plan,
    list_orders,
    make_plan,
    pause,
    release,
    resume,
    show_placement,
)


@click.group("placement")
def placement() -> None:
    """Plan where shards are led, and see what that rests on.

    The global leader knows the load of all regions and the ways between them, and plans; the moves
    of a plan are made when you say so. After it has changed, what it knows is whole again within
    seconds; until then it says so.
    """


for command in (
    make_plan,
    apply_plan,
    show_placement,
    list_orders,
    pause,
    resume,
    release,
    show_load,
    show_latency,
):
    placement.add_command(command)
