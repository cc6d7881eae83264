"""`leadplane bench`: measure, with the peer beside us in the same run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.output import Column, Row, format_option, print_document, table
from controlplane.survival import SHARDS_MAX

if TYPE_CHECKING:
    from rich.console import RenderableType

ALL = "all"
NAMES = (
    "writes",
    "http-writes",
    "resolve",
    "http-edge",
    "lookups",
    "flags",
    "simulator",
    "transfer",
    "evict",
    "failover",
    "mass-failover",
    "region-loss",
    "drain",
    "idle",
    "memory",
    "scrape",
    "overwrites",
    "catch-up",
    "move",
    "scale",
    "split",
    "backup",
    "rollouts",
    "placement",
)
"""As in the suite, which is imported only when it runs."""


def _number(value: Any) -> str:
    from controlplane.bench.report import number_text

    return number_text(value)


def _reached(figure: Row) -> str:
    return {True: "yes", False: "NO"}.get(figure["reached"], "")


def _reached_style(figure: Row) -> str:
    return {True: "green", False: "red"}.get(figure["reached"], "")


FIGURES = (
    Column("MEASURED", lambda f: f["what"]),
    Column("OURS", lambda f: f"{_number(f['ours'])} {f['unit']}", right=True),
    Column("PEER", lambda f: _number(f["peer"]), right=True),
    Column("RATIO", lambda f: _number(f["ratio"]), right=True),
    Column("REACHED", _reached, _reached_style),
    Column("TARGET", lambda f: f["target"]),
)


def draw_report(report: Any, wide: bool) -> RenderableType:
    """The figures of each benchmark under its method."""
    from rich.console import Group
    from rich.text import Text

    machine = report["machine"]
    parts: list[RenderableType] = []
    for each in report["findings"]:
        peer = f", beside {each['peer']}" if each["peer"] else ""
        parts.append(Text(f"{each['name']}{peer}", style="bold"))
        if wide:
            parts.append(Text(each["method"]))
        if each["unfinished"]:
            parts.append(Text(f"NOT MEASURED: {each['unfinished']}", style="red"))
            continue
        parts += [table(FIGURES, each["figures"], wide), Text("")]
    parts.append(
        Text(
            f"{machine['processor']}, {machine['cores']} cores, {machine['filesystem']}, "
            f"fdatasync {machine['fsync_p50_ms']} ms; commit {machine['commit']}"
        )
    )
    return Group(*parts)


@click.command()
@click.argument("what", nargs=-1, type=click.Choice([*NAMES, ALL]))
@click.option(
    "--runs",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Changes of leader to measure.",
)
@click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rounds beside the peer, in turn.",
)
@click.option(
    "--seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Length of a round.",
)
@click.option(
    "--group", default="region/eu-central-1", show_default=True, help="Whose shards change leader."
)
@click.option(
    "--shards",
    default=12,
    show_default=True,
    type=click.IntRange(min=3, max=1_000),
    help="Shards of the fleet in which leaders change.",
)
@click.option(
    "--many",
    default=100_000,
    show_default=True,
    type=click.IntRange(min=100, max=SHARDS_MAX),
    help="Shards of the fleet of `scale`.",
)
@click.option(
    "--leaders",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=10, max=SHARDS_MAX // 3),
    help="Leaders of each region of `drain`.",
)
@click.option(
    "--seeds",
    default=5,
    show_default=True,
    type=click.IntRange(min=1, max=100),
    help="Problems of each size of `placement`.",
)
@click.option(
    "--placed",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(min=10_000),
    help="Shards of the largest problem of `placement`.",
)
@click.option(
    "--megabytes",
    default=1_000,
    show_default=True,
    type=click.IntRange(min=1, max=100_000),
    help="Size of the shard of `split`, and of the fleet of `backup`.",
)
@click.option(
    "--revisions",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=10),
    help="Of all documents of `rollouts`; a document has about ten.",
)
@click.option(
    "--etcd", default="etcd", show_default=True, metavar="PROGRAM", help="The etcd to compare with."
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write FILE.md and FILE.json.",
)
@format_option
def bench(
    what: tuple[str, ...],
    runs: int,
    rounds: int,
    seconds: float,
    group: str,
    shards: int,
    many: int,
    leaders: int,
    seeds: int,
    placed: int,
    megabytes: int,
    revisions: int,
    etcd: str,
    record: Path | None,
    output: str,
) -> None:
    """Measure WHAT (all, unless named), and say which promises are kept.

    Starts fleets, and the peers, of its own on loopback; whatever runs here is left alone.
    The exit status is 1 when something was not measured, or a promise not kept.

    \b
    Examples:
      leadplane bench lookups
      leadplane bench evict --runs 30 --record evictions
    """
    from controlplane.bench import report as reports
    from controlplane.bench.backup import Saving
    from controlplane.bench.machine_facts import machine_facts
    from controlplane.bench.placement import Placing
    from controlplane.bench.resharding import Splitting
    from controlplane.bench.rollouts import rolling
    from controlplane.bench.suite import Extent, run_benchmarks

    names = set(NAMES) if not what or ALL in what else set(what)
    extent = Extent(
        rounds=rounds,
        seconds=seconds,
        runs=runs,
        group=group,
        shards=shards,
        many_shards=many,
        leaders=leaders,
        etcd=etcd,
        placing=Placing(seeds, placed),
        rolling=rolling(runs, revisions),
        saving=Saving(megabytes * 1_000_000),
        splitting=Splitting(shard_bytes=megabytes * 1_000_000, rounds=rounds),
    )
    found = run_benchmarks(sorted(names), extent, lambda line: click.echo(line, err=True))
    sizes = f"--runs {runs} --shards {shards} --many {many}"
    if names == {"drain"}:
        sizes = f"--leaders {leaders}"
    if names == {"placement"}:
        sizes = f"--seeds {seeds} --placed {placed}"
    if names == {"split"}:
        sizes = f"--megabytes {megabytes} --rounds {rounds}"
    if names == {"backup"}:
        sizes = f"--megabytes {megabytes}"
    if names == {"rollouts"}:
        sizes = f"--runs {runs} --revisions {revisions}"
    command = " ".join(["leadplane bench", *what, sizes])
    report = reports.Report(command, machine_facts(), found)
    print_document(report.document(), draw_report, output)
    if record is not None:
        page, data = reports.record(report, record)
        click.echo(f"recorded in {page} and {data}", err=True)
    if not report.kept():
        sys.exit(1)
