"""How the load of each region goes through the day, learnt from past days; what it will be by then.

Theory of operation. A day has 24 hours (UTC), and each region a mean rate for each of them. While
an hour goes on its rates are averaged; when it is over, the average is folded into that hour's
mean, so that recent days weigh more. A forecast is a factor: the mean of an hour to come over that
of the present one. It is the shape of a region's day that is learnt, which all its shards share;
how much each is asked for is measured live. No factor is given before both hours were seen whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

HOURS: Final = 24
HOUR_MS: Final = 3_600_000
RECENT_SHARE: Final = 0.3
"""How much the latest day counts in an hour's mean."""
RATE_MIN: Final = 0.1
"""Requests a second: where there is less, nothing is foretold."""
FACTOR_MAX: Final = 10.0
WHOLE_NOTES: Final = 30
"""Times that an hour must have been looked at before its average counts."""


@dataclass(slots=True)
class DailyProfile:
    """The day of every region: requests a second by hour, None where no such hour was seen."""

    means: dict[str, list[float | None]] = field(default_factory=dict)
    _hour: int | None = None
    _sums: dict[str, float] = field(default_factory=dict)
    _notes: int = 0

    def note(self, rates: Mapping[str, float], wall_ms: int) -> bool:
        """Take the present rates by region of origin; says whether another hour was learnt."""
        hour = wall_ms // HOUR_MS
        learnt = self._hour is not None and hour != self._hour and self._fold(self._hour)
        if hour != self._hour:
            self._hour, self._sums, self._notes = hour, {}, 0
        self._notes += 1
        for region, rate in rates.items():
            self._sums[region] = self._sums.get(region, 0.0) + rate
        return learnt

    def factor(self, region: str, wall_ms: int, ahead_ms: int) -> float | None:
        """By how much the region's load of that hour differs from the present one's; to two digits,
        the same for the whole of an hour. None: nobody knows."""
        means = self.means.get(region)
        if means is None:
            return None
        now = means[wall_ms // HOUR_MS % HOURS]
        then = means[(wall_ms + ahead_ms) // HOUR_MS % HOURS]
        if now is None or then is None or now < RATE_MIN:
            return None
        return round(min(FACTOR_MAX, max(then / now, 1.0 / FACTOR_MAX)), 2)

    def packed(self) -> list[Any]:
        """What was learnt, as plain data."""
        return [[region, list(means)] for region, means in sorted(self.means.items())]

    @classmethod
    def read(cls, document: Any) -> DailyProfile:
        """From plain data; raises ValueError when it is no profile."""
        profile = cls()
        for row in document if isinstance(document, list) else [None]:
            match row:
                case [str() as region, list() as means] if len(means) == HOURS:
                    profile.means[region] = [None if m is None else float(m) for m in means]
                case _:
                    raise ValueError("this is no profile of regions' days")
        return profile

    def _fold(self, hour: int) -> bool:
        if self._notes < WHOLE_NOTES:
            return False
        at = hour % HOURS
        for region in self.means.keys() | self._sums.keys():
            mean = self._sums.get(region, 0.0) / self._notes
            means = self.means.setdefault(region, [None] * HOURS)
            old = means[at]
            means[at] = mean if old is None else old + RECENT_SHARE * (mean - old)
        return True
