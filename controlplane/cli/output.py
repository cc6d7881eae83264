"""How the command line shows things: one table style, four formats, one way to watch.

A listing is a document (what the API answered) and the columns to show of it. `-o json` and
`-o yaml` print the document as it came, so a script sees exactly what the API says. Rich is
imported only when a table is drawn, which keeps `--help` and `-o json` fast.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

FORMATS = ("table", "wide", "json", "yaml")
NOTHING = "-"
UNBOUNDED_COLUMNS = 500
WATCH_SECONDS = 1.0

Row = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a listing: its title, what it shows of a row, and in which colour.

    A `wide` column is shown by `-o wide` only, a `sparse` one when some row has something to say
    there. What colour says is always said in words too.
    """

    title: str
    cell: Callable[[Row], Any]
    style: Callable[[Row], str] | None = None
    right: bool = False
    wide: bool = False
    sparse: bool = False


def output_options(command: Command) -> Command:
    """Add `-o/--output` and `--watch` to a listing."""
    command = click.option(
        "--watch", "-w", is_flag=True, help="Show it again whenever it changes, until Ctrl-C."
    )(command)
    return format_option(command)


def format_option(command: Command) -> Command:
    """Add `-o/--output` to a command that shows one thing."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print it.",
    )(command)


def list_unless_more(
    context: click.Context, listing: click.Command, output: str, watch: bool
) -> None:
    """List, when a group was typed without a further word; `leadplane nodes -o json` works so.

    Before a further word the options mean nothing, so they are refused rather than ignored.
    """
    if context.invoked_subcommand is None:
        context.invoke(listing, output=output, watch=watch)
    elif watch or output != "table":
        raise click.UsageError(f"put -o and --watch behind {context.invoked_subcommand!r}")


def show(
    fetch: Callable[[], Any],
    draw: Callable[[Any, bool], RenderableType],
    output: str,
    watch: bool = False,
) -> None:
    """Fetch a document and print it; with `watch`, again whenever it has changed.

    `draw` makes something rich can print of the document; its second argument is true for `wide`.
    """
    if not watch:
        print_document(fetch(), draw, output)
        return
    try:
        if output in ("json", "yaml") or not sys.stdout.isatty():
            _watch_by_printing(fetch, draw, output)
        else:
            _watch_in_place(fetch, draw, output)
    except KeyboardInterrupt:
        return


def print_document(document: Any, draw: Callable[[Any, bool], RenderableType], output: str) -> None:
    """Print one document in the format asked for."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
    else:
        wide = output == "wide"
        console(unbounded=wide).print(draw(document, wide))


def _watch_by_printing(
    fetch: Callable[[], Any], draw: Callable[[Any, bool], RenderableType], output: str
) -> None:
    last: Any = None
    while True:
        document = fetch()
        if document != last:
            if output == "json":
                click.echo(json.dumps(document, ensure_ascii=False))
            else:
                if output == "yaml" and last is not None:
                    click.echo("---")
                print_document(document, draw, output)
            sys.stdout.flush()
        last = document
        time.sleep(WATCH_SECONDS)


def _watch_in_place(
    fetch: Callable[[], Any], draw: Callable[[Any, bool], RenderableType], output: str
) -> None:
    from rich.live import Live

    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(draw(fetch(), output == "wide"), refresh=True)
            time.sleep(WATCH_SECONDS)


def console(unbounded: bool = False, to_stderr: bool = False) -> Console:
    """A console that never guesses: no emoji, no highlighting, nothing cut short in a pipe."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    fits = not unbounded and (stream.isatty() or "COLUMNS" in os.environ)
    width = None if fits else UNBOUNDED_COLUMNS
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def table(columns: Sequence[Column], rows: Iterable[Row], wide: bool) -> Table:
    """Draw rows as plain columns; in a narrow terminal the last one is folded."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    rows = list(rows)
    shown = [
        column
        for column in columns
        if (wide or not column.wide)
        and (not column.sparse or any(column.cell(row) not in (None, "") for row in rows))
    ]
    for column in shown:
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column is not shown[-1],
            overflow="fold" if column is shown[-1] else "ellipsis",
        )
    for row in rows:
        drawn.add_row(
            *(
                Text(text_of(column.cell(row)), style=column.style(row) if column.style else "")
                for column in shown
            )
        )
    return drawn


def text_of(value: Any) -> str:
    """A cell: nothing is a dash, a list is joined, a flag is yes or no."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(each) for each in value) or NOTHING
    return str(value)


def moment_text(wall_ms: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str | None:
    """Day and second in this place's own time; None for no moment. `-o json` has milliseconds."""
    from datetime import datetime

    return datetime.fromtimestamp(wall_ms / 1000).astimezone().strftime(form) if wall_ms else None


def ms_text(value: float | None) -> str:
    """A duration for people: `12 ms`, `1.4 s`, `3.5 min`."""
    if value is None:
        return NOTHING
    if value < 1_000:
        return f"{value:.0f} ms"
    if value < 120_000:
        return f"{value / 1_000:.1f} s"
    return f"{value / 60_000:.1f} min"


def bytes_text(value: int | None) -> str:
    """A size for people: `512 B`, `1.5 KiB`."""
    if value is None:
        return NOTHING
    size = float(value)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
