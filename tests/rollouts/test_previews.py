"""When the waves of a rollout are expected to begin, beside freezes."""

from __future__ import annotations

import pytest

from config.freezes import DAYS, Weekly, freezes_of
from config.rollout import RegionStep, Rollout
from config.strategy import DEFAULTS, StrategyName
from controlplane.api.rollout_views import APPLYING_MS, rollout_document
from tests.rollouts.stage import NOON_MS

REGIONS = tuple(f"r{number}" for number in range(5))
LINEAR = DEFAULTS[StrategyName.LINEAR]
HOUR_MS = 3_600_000


def rollout() -> Rollout:
    """It begins on a Saturday at noon, one region after the other."""
    steps = tuple(RegionStep(region, 0) for region in REGIONS)
    waves = tuple((region,) for region in REGIONS)
    return Rollout(1, "flags", 1, "new", LINEAR, waves, steps, "ann", began_ms=NOON_MS)


def test_freezes_of_a_waves_regions_that_follow_each_other_are_one() -> None:
    both = Rollout(
        1, "flags", 1, "new", LINEAR, (("r0", "r1"),), (), "ann", began_ms=NOON_MS
    )  # fmt: skip
    shut = [
        {"name": region, "regions": [region], "weekly": {"days": ["sat"], "from": at, "until": to}}
        for region, at, to in (("r0", "11:00", "15:00"), ("r1", "15:00", "18:00"))
    ]
    (wave,) = rollout_document(both, freezes_of({"freezes": shut})).waves
    assert (wave.expected_ms, wave.frozen_until_wall_ms) == (6 * HOUR_MS, NOON_MS + 6 * HOUR_MS)


def test_a_preview_looks_no_further_than_the_first_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    until_ms = Weekly.until_ms

    def counted(window: Weekly, at_ms: int) -> int:
        asked.append(at_ms)
        return until_ms(window, at_ms)

    monkeypatch.setattr(Weekly, "until_ms", counted)
    always = {"name": "always", "weekly": {"days": list(DAYS), "from": "00:00", "until": "00:00"}}
    freezes = freezes_of({"freezes": [{**always, "regions": ["r1", "r2", "r3", "r4"]}]})
    waves = rollout_document(rollout(), freezes).waves
    assert [wave.frozen_until_wall_ms is None for wave in waves] == [True, False] + 3 * [True]
    second, third = waves[1:3]
    assert third.expected_ms == second.expected_ms + APPLYING_MS + LINEAR.bake_ms
    assert len(asked) == 30, "as many as are told as one"
