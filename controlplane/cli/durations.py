"""Durations as people type them: `90s`, `10m`, `1h30m`, `250ms`; `0` is none."""

from __future__ import annotations

import re
from typing import Final

import click

UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
METAVAR: Final = "DURATION"

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")


def duration_ms(text: str) -> int:
    """A duration in whole milliseconds. Raises click.BadParameter for what is none."""
    text = text.strip()
    if text == "0":
        return 0
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise click.BadParameter(f"{text!r} is no duration; it is written as 90s, 10m or 1h30m")
    return round(sum(float(part[1]) * UNITS_MS[part[2]] for part in parts))


def duration_text(ms: int) -> str:
    """A duration as it is typed: `10m`, `1h30m`, `0`."""
    left, parts = ms, []
    for unit, unit_ms in UNITS_MS.items():
        count, left = divmod(left, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"
