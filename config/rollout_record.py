"""How the record of a rollout is kept.

Keys lie in the shard `system`, partition `rollouts`: the record of each under its number, and one
counter, which every beginning compares and raises: so rollouts begin one after the other, and that
none of a document, or of a related one, goes on meanwhile holds when it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from config.gate import gate_of, look_of
from config.gate_samples import before_of
from config.rollout import Pause, Phase, Reached, RegionStep, Rollout, Why
from config.strategy import strategy_of
from regions.codec import as_bytes, pack, unpack

PARTITION: Final = "rollouts"
COUNT_KEY: Final = "{rollouts}/count"
PREFIX: Final = "{rollouts}/rollout/"
FORMAT: Final = 1
KEPT_MAX: Final = 200
"""Rollouts that are remembered when they are over."""


def rollout_key(number: int) -> str:
    """Where a record lies; keys sort as numbers do."""
    return f"{PREFIX}{number:012}"


def packed(rollout: Rollout) -> bytes:
    """A record as it is kept: by the names of its fields, so that later releases can add some."""
    found = asdict(rollout)
    found["format"] = FORMAT
    found["approved"] = sorted(rollout.approved)
    found["related"] = sorted(rollout.related)
    return pack(_plain(found))


def _plain(value: Any) -> Any:
    """Without enumerations and tuples: as any reader of MessagePack has it."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def read_rollout(value: bytes | str) -> Rollout:
    """A record as it was kept. Raises ValueError when it is none of a known format."""
    found = unpack(as_bytes(value))
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise ValueError("this is not a rollout of a format that is known here")
    try:
        return _rollout(found)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"this is not a rollout: {problem}") from None


def _rollout(found: dict[str, Any]) -> Rollout:
    pause, before = found["pause"], found.get("before")
    named = {
        "strategy": strategy_of(found["strategy"]),
        "waves": tuple(tuple(wave) for wave in found["waves"]),
        "regions": tuple(
            RegionStep(**{**each, "reached": Reached(each["reached"])}) for each in found["regions"]
        ),
        "phase": Phase(found["phase"]),
        "approved": frozenset(found["approved"]),
        "related": frozenset(found["related"]),
        "gates": tuple(gate_of(each) for each in found["gates"]),
        "looks": tuple(look_of(each) for each in found.get("looks", ())),
        "before": None if before is None else before_of(before),
        "percents": tuple(found.get("percents", ())),
        "pause": None if pause is None else Pause(**{**pause, "why": Why(pause["why"])}),
    }
    return Rollout(**{**found, **named})
