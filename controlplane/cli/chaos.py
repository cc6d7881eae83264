"""`leadplane chaos`: break a real fleet on purpose, under load, and have what came of it judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.connection import CommandFailed

if TYPE_CHECKING:
    from controlplane.chaos.runner import MakeFleet, Run
    from controlplane.chaos.scenario import Scenario

ALL = "all"
REPORTS = Path("chaos-reports")


@click.group("chaos")
def chaos() -> None:
    """Kill, freeze, cut off and fill up parts of a real fleet, and check what clients saw."""


@chaos.command("list")
def list_scenarios() -> None:
    """The scenarios that come along, and what each shows.

    \b
    Example:
      leadplane chaos list
    """
    from controlplane.chaos.local_fleet import why_not
    from controlplane.chaos.scenario_file import shipped

    scenarios = list(shipped())
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        reason = why_not(scenario)
        cannot = f" (not here: {reason})" if reason else ""
        click.echo(f"{scenario.name.ljust(width)}  {scenario.shows}{cannot}")


@chaos.command("run")
@click.argument("names", nargs=-1, required=True, metavar="SCENARIO ...")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    default=REPORTS,
    show_default=True,
    help="Where reports go, each into a folder named after its scenario and load.",
)
@click.option("--seed", help="Repeats what the clients of a run drew, though not their timing.")
@click.option(
    "--reads", type=click.FloatRange(0, 1), help="Another share of reads than the scenario's."
)
@click.option("--lasts", type=click.FloatRange(min=1), help="Seconds of load, if not as it says.")
@click.option("--missing", is_flag=True, help="Only those without a report of this commit.")
@click.option(
    "--compose",
    metavar="PROJECT",
    help="Break the containers of this compose project instead, through the Docker Engine.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write FILE.md and FILE.json about all reports of this commit.",
)
def run(
    names: tuple[str, ...],
    report: Path,
    seed: str | None,
    reads: float | None,
    lasts: float | None,
    missing: bool,
    compose: str | None,
    record: Path | None,
) -> None:
    """Run each SCENARIO, by name or from a file, on a fleet of its own; `all` are all that can be.

    With --compose the fleet is a deployment that LEADPLANE_URL leads to, and goes on afterwards.
    The exit status is 1 when a verdict does not hold: something was not as promised, or the run
    proved nothing.

    \b
    Examples:
      leadplane chaos run leader-killed
      leadplane chaos run all --missing --record results
    """
    import asyncio

    from controlplane.chaos.report import write_report
    from controlplane.chaos.results import record_reports, report_of_this_commit
    from controlplane.chaos.runner import run_scenario

    scenarios, left_out = _wanted(names)
    make_fleet = _fleet_maker(compose)
    holds = True
    for scenario in [each.with_load(reads, lasts) for each in scenarios]:
        folder = report / _folder(scenario.name, reads, lasts)
        before = report_of_this_commit(folder) if missing else None
        if before is not None:
            click.echo(f"{folder}: this commit has been here", err=True)
            holds = holds and before["holds"]
            continue
        done = asyncio.run(run_scenario(scenario, make_fleet, _tell, seed))
        _show(done, write_report(done, folder))
        holds = holds and done.holds
    if record is not None:
        click.echo(f"recorded in {record_reports(report, left_out, record)}", err=True)
    if not holds:
        sys.exit(1)


def _folder(name: str, reads: float | None, lasts: float | None) -> str:
    """What the report of a scenario is called: by its name, and its load if that is another."""
    load = [
        "" if reads is None else f"reads-{reads:g}",
        "" if lasts is None else f"lasts-{lasts:g}",
    ]
    return ".".join([name, *filter(None, load)])


def _wanted(names: tuple[str, ...]) -> tuple[list[Scenario], dict[str, str]]:
    """The scenarios to run; of `all`, those that cannot be run here are left out, and why."""
    from controlplane.chaos.local_fleet import why_not
    from controlplane.chaos.scenario_file import load_scenario, shipped

    if ALL not in names:
        return [load_scenario(name) for name in names], {}
    scenarios = list(shipped())
    left_out = {s.name: reason for s in scenarios if (reason := why_not(s))}
    for name, reason in left_out.items():
        click.echo(f"{name} is left out: {reason}", err=True)
    return [s for s in scenarios if s.name not in left_out], left_out


def _fleet_maker(compose: str | None) -> MakeFleet:
    if compose is None:
        from controlplane.chaos.local_fleet import local_fleet

        return local_fleet
    try:
        from controlplane.chaos.docker_fleet import compose_fleet
    except ModuleNotFoundError as missing:
        raise CommandFailed(
            f"the Python package {missing.name!r} is not installed",
            hint="install leadplane[docker]",
        ) from missing
    from controlplane.cli.connection import fleet_access

    status = fleet_access().get("/v1/status")
    return compose_fleet(compose, status)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _show(done: Run, page: Path) -> None:
    for verdict in done.verdicts:
        mark = click.style(" ok ", fg="green", bold=True)
        if not verdict.holds:
            mark = click.style(" NO ", fg="red", bold=True)
        click.echo(f"{mark} {verdict.name}: {verdict.told}")
    click.echo(f"     {page}")
