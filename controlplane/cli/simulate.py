"""`leadplane simulate`: the very node of this release in virtual time, with faults and checks."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import click

from controlplane.cli.connection import CommandFailed

FAULTS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")
SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


def seed_range(_: click.Context, __: click.Parameter, value: str) -> range:
    """`7`, or `1-20`, both included."""
    match = SEEDS.fullmatch(value)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise click.BadParameter(f"{value!r} is neither a number nor a range such as 1-20")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def fault_numbers(
    _: click.Context, __: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """`3,17`, or `none`; nothing given is None: all of them."""
    if value is None:
        return None
    if value == "none":
        return ()
    if FAULTS.fullmatch(value) is None:
        raise click.BadParameter(f"{value!r} is neither none nor numbers such as 3,17")
    return tuple(int(number) for number in value.split(","))


@click.command()
@click.option(
    "--seeds", callback=seed_range, default="1-10", show_default=True, metavar="FIRST-LAST"
)
@click.option("--scenario", default="zone", show_default=True, help="A wrong name lists them all.")
@click.option("--minutes", type=click.FloatRange(min=0.01), help="Of virtual time with faults.")
@click.option("--until-caught", is_flag=True, help="Stop at the first seed with a violation.")
@click.option(
    "--faults",
    "only_faults",
    callback=fault_numbers,
    metavar="3,17|none",
    help="Of the schedule, only these; the others are left out.",
)
@click.option(
    "--shrink", "shrinks", is_flag=True, help="Leave out faults while a seed still fails."
)
def simulate(
    seeds: range,
    scenario: str,
    minutes: float | None,
    until_caught: bool,
    only_faults: tuple[int, ...] | None,
    shrinks: bool,
) -> None:
    """Run whole fleets in virtual time, with faults and load, and check what must hold.

    A seed names a run: the same seed is the same run, to the last message. The exit status is 1
    when a seed had a violation; the line below it says how to run it again. With --shrink, the
    same seed is run again and again with ever fewer faults, and what still breaks it is told.

    \b
    Examples:
      leadplane simulate --seeds 1-20 --scenario zone
      leadplane simulate --seeds 7-7 --minutes 1 --shrink
    """
    from controlplane.simulator.runner import simulate as run
    from controlplane.simulator.scenario import PRESETS, preset
    from controlplane.simulator.shrinking import shrink

    if scenario not in PRESETS:
        known = f"one of: {', '.join(sorted(PRESETS))}"
        raise CommandFailed(f"there is no scenario {scenario!r}", hint=known)
    wanted = replace(preset(scenario, minutes), only_faults=only_faults)
    caught = False
    for seed in seeds:
        report = run(seed, wanted)
        click.echo("\n".join(report.lines()))
        if report.violations:
            caught = True
            if shrinks:
                click.echo("\n".join(shrink(report).lines()))
            if until_caught:
                break
    if caught:
        sys.exit(1)
