"""Markdown as these documents need it: tables whose cells hold what anybody may have written.

Times are UTC, since such a document is read in many places.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

NOTHING: Final = "–"
CELL_MAX: Final = 300
_SPECIAL: Final = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;", "`": "\\`", "*": "\\*"})


def plain(value: Any) -> str:
    """Somebody's words as they are, on one line: nothing in them is a mark of Markdown."""
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    return (text if len(text) <= CELL_MAX else text[: CELL_MAX - 1] + "…").translate(_SPECIAL)


def table(head: Sequence[str], rows: Sequence[Sequence[str | None]], right: str = "") -> list[str]:
    """A table; a column is aligned to the right where `right` has an `r`."""
    marks = ["--:" if right[at : at + 1] == "r" else "---" for at in range(len(head))]
    lines = [_row(head), "|" + "|".join(marks) + "|"]
    return [*lines, *(_row([cell or NOTHING for cell in row]) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def moment(wall_ms: int) -> str:
    """Day and second."""
    return _utc(wall_ms).strftime("%Y-%m-%d %H:%M:%S")


def to_the_ms(wall_ms: int) -> str:
    """Day, second and millisecond: what happened first is to be seen."""
    return f"{moment(wall_ms)}.{wall_ms % 1_000:03}"


def clock(wall_ms: int, with_day: bool) -> str:
    """As short as a picture wants it."""
    return _utc(wall_ms).strftime("%m-%d %H:%M" if with_day else "%H:%M:%S")


def _utc(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1_000, UTC)


def span(ms: float | None) -> str:
    """A duration: `12 ms`, `1.4 s`, `3.5 min`, `2.1 h`."""
    if ms is None:
        return NOTHING
    for unit, unit_ms, below_ms in (("s", 1_000, 120_000), ("min", 60_000, 7_200_000)):
        if ms < 1_000:
            return f"{ms:.0f} ms"
        if ms < below_ms:
            return f"{ms / unit_ms:.1f} {unit}"
    return f"{ms / 3_600_000:.1f} h"


def share(value: float | None) -> str:
    """A part of one, as percent with as many digits as promises have."""
    return NOTHING if value is None else f"{100 * value:.4f} %"
