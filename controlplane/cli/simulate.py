"""`leadplane simulate`: the very node of this release in virtual time, with faults and checks."""

from __future__ import annotations

import re
import sys

import click

from controlplane.cli.connection import CommandFailed

SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


def seed_range(_: click.Context, __: click.Parameter, value: str) -> range:
    """`7`, or `1-20`, both included."""
    match = SEEDS.fullmatch(value)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise click.BadParameter(f"{value!r} is neither a number nor a range such as 1-20")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


@click.command()
@click.option(
    "--seeds", callback=seed_range, default="1-10", show_default=True, metavar="FIRST-LAST"
)
@click.option("--scenario", default="zone", show_default=True, help="A wrong name lists them all.")
@click.option("--minutes", type=click.FloatRange(min=0.01), help="Of virtual time with faults.")
@click.option("--until-caught", is_flag=True, help="Stop at the first seed with a violation.")
def simulate(seeds: range, scenario: str, minutes: float | None, until_caught: bool) -> None:
    """Run whole fleets in virtual time, with faults and load, and check what must hold.

    A seed names a run: the same seed is the same run, to the last message. The exit status is 1
    when a seed had a violation; the line below it says how to run it again.
    """
    from controlplane.simulator.runner import run_seeds
    from controlplane.simulator.scenario import PRESETS

    if scenario not in PRESETS:
        known = f"one of: {', '.join(sorted(PRESETS))}"
        raise CommandFailed(f"there is no scenario {scenario!r}", hint=known)
    caught = 0
    for seed in seeds:
        caught += run_seeds([seed], scenario, minutes, click.echo)
        if caught and until_caught:
            break
    if caught:
        sys.exit(1)
