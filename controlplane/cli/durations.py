"""Durations as people type them: `90s`, `10m`, `1h30m`, `250ms`; `0` is none. Moments, too."""

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


def moment_ms(text: str | None, option: str) -> int | None:
    """Milliseconds since 1970 of a moment in ISO 8601. Raises click.UsageError for what is none."""
    if text is None:
        return None
    from datetime import datetime

    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise click.UsageError(f"{option}: {text!r} is no moment; 2026-03-01T12:00 is") from None


def ago_or_moment_ms(text: str | None, option: str, now_ms: int) -> int | None:
    """The same, also of how long ago it was: `1h`. Raises click.UsageError for what is neither."""
    if text is None:
        return None
    try:
        return max(0, now_ms - duration_ms(text))
    except click.BadParameter:
        complaint = f"{option}: {text!r} is neither a duration, such as 90s or 1h30m, nor a moment"
    try:
        return moment_ms(text, option)
    except click.UsageError:
        raise click.UsageError(f"{complaint}, such as 2026-03-01T12:00") from None
