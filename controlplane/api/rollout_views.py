"""What answers about rollouts look like."""

from __future__ import annotations

from dataclasses import dataclass

from config.gate import Gate, GateLook
from config.rollout import RegionStep, Rollout
from config.strategy import Strategy

APPLYING_MS = 1_000
"""What a wave takes to reach its regions, in a preview."""


@dataclass(frozen=True, slots=True)
class WaveDocument:
    """Regions that change together. `expected_ms`: when it would begin, after the rollout did."""

    regions: tuple[str, ...]
    expected_ms: int
    needs_approval: bool


@dataclass(frozen=True, slots=True)
class RolloutPause:
    """Why nothing begins, and until when (wall clock); null: until somebody says so."""

    why: str
    by: str
    detail: str
    until_wall_ms: int | None


@dataclass(frozen=True, slots=True)
class RolloutDocument:
    """A rollout as the answering node knows it; times are of the wall clock.

    `wave` counts from 1. Of the present bake `baked_ms` are over, as far as it was written down.
    """

    rollout: int
    document: str
    version: int
    digest: str
    phase: str
    over: bool
    wave: int
    waves: tuple[WaveDocument, ...]
    regions: tuple[RegionStep, ...]
    pause: RolloutPause | None
    why: str
    principal: str
    reason: str
    began_wall_ms: int
    ended_wall_ms: int | None
    baked_ms: int
    good: int
    bad: int
    silent: int
    sequence: int
    strategy: Strategy
    gates: tuple[Gate, ...]
    looks: tuple[GateLook, ...]
    related: tuple[str, ...]
    expected_ms: int
    dry_run: bool = False


def rollout_document(rollout: Rollout, *, dry_run: bool = False) -> RolloutDocument:
    """A rollout, as people are shown it."""
    strategy, pause = rollout.strategy, rollout.pause
    each_ms = APPLYING_MS + strategy.bake_ms
    waves = tuple(
        WaveDocument(wave, number * each_ms, number in strategy.approvals)
        for number, wave in enumerate(rollout.waves)
    )
    return RolloutDocument(
        rollout=rollout.id,
        document=rollout.document,
        version=rollout.version,
        digest=rollout.digest,
        phase="paused" if pause is not None else rollout.phase.value,
        over=rollout.is_over,
        wave=rollout.wave + 1,
        waves=waves,
        regions=rollout.regions,
        pause=None
        if pause is None
        else RolloutPause(pause.why.value, pause.by, pause.detail, pause.until_ms or None),
        why=rollout.why,
        principal=rollout.principal,
        reason=rollout.reason,
        began_wall_ms=rollout.began_ms,
        ended_wall_ms=rollout.ended_ms or None,
        baked_ms=rollout.baked_ms,
        good=rollout.good,
        bad=rollout.bad,
        silent=rollout.silent,
        sequence=rollout.sequence,
        strategy=strategy,
        gates=rollout.gates,
        looks=rollout.looks,
        related=tuple(sorted(rollout.related)),
        expected_ms=len(waves) * each_ms + strategy.final_bake_ms,
        dry_run=dry_run,
    )
