"""Spans of time in rules, at a scale: a test breaks a fleet and cannot wait for an hour."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Scale:
    """`times` is 1 in production; at 1/60 what takes an hour takes a minute."""

    times: float = 1.0

    def span(self, seconds: float) -> str:
        """As Prometheus writes it: `5m`, `90s`."""
        left_ms = max(1, round(seconds * self.times * 1_000))
        for unit, ms in UNITS:
            if left_ms % ms == 0:
                return f"{left_ms // ms}{unit}"
        raise AssertionError("every span is so many milliseconds")


def named(seconds: int) -> str:
    """The window as it is in the name of a rule, at whatever scale."""
    return Scale().span(seconds)
