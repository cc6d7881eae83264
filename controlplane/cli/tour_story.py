"""How the tour tells what it does: chapters, short sentences, tables, and a verdict for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

COLUMNS = 92
INDENT = "   "


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a chapter showed, and whether it is as promised."""

    chapter: str
    holds: bool
    sentence: str


@dataclass
class Story:
    """Tells on standard output. `verdicts` is what is left of it for scripts."""

    chapters: int
    verdicts: list[Verdict] = field(default_factory=list)
    _title: str = ""
    _number: int = 0

    @property
    def holds(self) -> bool:
        """True while every verdict was as promised."""
        return all(verdict.holds for verdict in self.verdicts)

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._number += 1
        self._title = title
        heading = f"{self._number} of {self.chapters}  {title}"
        click.echo(f"\n{click.style(heading, bold=True)}")

    def say(self, *sentences: str) -> None:
        """Tell something, as one paragraph."""
        text = " ".join(sentences)
        click.echo(
            textwrap.fill(
                text,
                COLUMNS,
                initial_indent=INDENT,
                subsequent_indent=INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show rows under a header, columns aligned, numbers as they come."""
        cells = [[str(cell) for cell in row] for row in (header, *rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
        for number, row in enumerate(cells):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo(INDENT + click.style(line.rstrip(), dim=number == 0))

    def verdict(self, holds: bool, sentence: str) -> None:
        """Close a chapter: what it showed, and whether that is as promised."""
        self.verdicts.append(Verdict(self._title, holds, sentence))
        mark = click.style(" ok ", fg="green", bold=True)
        if not holds:
            mark = click.style("FALSE", fg="red", bold=True)
        click.echo(f"{mark} {sentence}")


def ms(value: float) -> str:
    """A measured duration: tenths of a millisecond while they matter."""
    if value < 100:
        return f"{value:.1f} ms"
    return f"{value:,.0f} ms"


def count(number: int, noun: str) -> str:
    """`1 store`, `3 stores`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
