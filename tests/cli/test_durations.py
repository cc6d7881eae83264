"""Durations, as they are typed and as they are shown."""

from __future__ import annotations

import click
import pytest

from controlplane.cli.durations import duration_ms, duration_text


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("250ms", 250),
        ("90s", 90_000),
        ("1.5s", 1_500),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
    ],
)
def test_a_duration_is_read_in_its_units(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "10", "soon", "10 m", "-5m", "5m soon", "m5", "1h-30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90s, 10m or 1h30m"):
        duration_ms(text)


@pytest.mark.parametrize("ms", [0, 1, 999, 1_000, 61_000, 601_000, 5_400_000, 90_061_001])
def test_what_is_shown_can_be_typed(ms: int) -> None:
    assert duration_ms(duration_text(ms)) == ms
