"""A bucket of tokens: how much may be done now, of what may be done in a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_MS: Final = 60_000
BURST_MS: Final = 5_000
"""What nobody took is kept for so long; at least one token always fits."""


@dataclass(slots=True)
class Bucket:
    """Tokens that come with time, up to a few; it begins empty."""

    at_ms: int
    tokens: float = 0.0

    def fill(self, per_minute: float, now_ms: int) -> float:
        """What there is now, at this rate."""
        passed_ms = max(0, now_ms - self.at_ms)
        full = max(1.0, per_minute * BURST_MS / MINUTE_MS)
        self.tokens = min(full, self.tokens + per_minute * passed_ms / MINUTE_MS)
        self.at_ms = max(self.at_ms, now_ms)
        return self.tokens

    def take(self, cost: float = 1.0) -> None:
        """Use so many; what is not there is a debt, at most of what this costs."""
        self.tokens = max(self.tokens - cost, -cost)
