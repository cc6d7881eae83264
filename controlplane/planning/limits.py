"""How carefully leaders are moved on purpose: what the document `placement` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.builtin import builtin_content
from config.document import Kind
from controlplane.planning.reasons import MoveKind

SECONDS_A_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """All of them. By dimension: `node`, `region`, `group`, `kind`."""

    in_flight_max: Mapping[str, int]
    per_minute_max: Mapping[str, float]
    plan_per_minute_max: float
    drain_per_minute_max: float
    bulk_in_flight_max: Mapping[str, int]
    bulk_bytes_per_s_max: float
    residence_ms: int
    begin_ms_max: int
    finish_ms_max: int
    bulk_finish_ms_max: int
    cool_down_ms: int
    suspect_ms: int
    cold_start_ms: int
    brake_share: float
    brake_window_ms: int

    def finish_ms(self, kind: MoveKind) -> int:
        """How long a move of a kind may take once it has begun."""
        return self.bulk_finish_ms_max if kind is MoveKind.BULK else self.finish_ms_max

    def kind_per_minute(self, kind: MoveKind) -> float | None:
        """How many moves of a kind, or bytes of bulk, there may be in a minute; None: as many as
        needed."""
        match kind:
            case MoveKind.SAFETY | MoveKind.OPERATOR | MoveKind.PREFERENCE:
                return None
            case MoveKind.DRAIN:
                return self.drain_per_minute_max
            case MoveKind.BULK:
                return self.bulk_bytes_per_s_max * SECONDS_A_MINUTE
            case _:
                return self.plan_per_minute_max


def limits_of(content: Mapping[str, Any]) -> Limits:
    """From the document; what it leaves out is as it is built in."""
    known = builtin_content(Kind.PLACEMENT)
    moves = known["moves"] | content.get("moves", {})
    rate = content.get("move_rate", {})
    return Limits(
        known["moves"]["in_flight_max"] | moves["in_flight_max"],
        known["moves"]["per_minute_max"] | moves["per_minute_max"],
        rate.get("leaders_per_minute_max", known["move_rate"]["leaders_per_minute_max"]),
        moves["drain_per_minute_max"],
        known["moves"]["bulk_in_flight_max"] | moves["bulk_in_flight_max"],
        rate.get("bytes_per_s_max", known["move_rate"]["bytes_per_s_max"]),
        content.get("hysteresis", {}).get("residence_min_ms", 0),
        moves["begin_ms_max"],
        moves["finish_ms_max"],
        moves["bulk_finish_ms_max"],
        moves["cool_down_ms"],
        moves["suspect_ms"],
        moves["cold_start_ms"],
        moves["brake_share"],
        moves["brake_window_ms"],
    )
