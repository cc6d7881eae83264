"""What answers about rollouts look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.document import Kind
from config.feed import Feed
from config.freezes import Freezes, freezes_of, held
from config.gate import Gate, GateLook
from config.rollout import RegionStep, Rollout
from config.strategy import Strategy

APPLYING_MS = 1_000
"""What a wave takes to reach its regions, in a preview."""


@dataclass(frozen=True, slots=True)
class WaveDocument:
    """Regions that change together. `expected_ms`: when it would begin, after the rollout did.

    The first wave that meets a freeze waits until `frozen_until_wall_ms`; null for all others. By
    its end, so many percent of the nodes of its regions have the version.
    """

    regions: tuple[str, ...]
    expected_ms: int
    needs_approval: bool
    nodes_percent: int
    frozen_until_wall_ms: int | None


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


def freezes_in(feed: Feed) -> Freezes:
    """What the document `rollouts` says where this is answered."""
    found = feed.get(Kind.ROLLOUTS.value)
    return Freezes() if found is None else freezes_of(found.content)


def rollout_document(
    rollout: Rollout, freezes: Freezes, *, dry_run: bool = False
) -> RolloutDocument:
    """A rollout, as people are shown it; these windows hold its waves up."""
    strategy, pause = rollout.strategy, rollout.pause
    waves = tuple(_waves(rollout, Freezes() if rollout.is_over else freezes))
    last_ms = waves[-1].expected_ms + APPLYING_MS + strategy.bake_ms if waves else 0
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
        expected_ms=last_ms + strategy.final_bake_ms,
        dry_run=dry_run,
    )


def _waves(rollout: Rollout, freezes: Freezes) -> Iterator[WaveDocument]:
    """When each would begin. Beyond the first freeze nothing is foretold of others: it costs much,
    and means little."""
    expected_ms, strategy = 0, rollout.strategy
    for number, wave in enumerate(rollout.waves):
        windows = freezes.of(rollout.document, strategy.name, wave)
        hold = held(windows, rollout.began_ms + expected_ms)
        until_ms = None
        if hold is not None:
            freezes, until_ms = Freezes(), hold.until_ms
            expected_ms = until_ms - rollout.began_ms
        approval = number in strategy.approvals
        yield WaveDocument(wave, expected_ms, approval, rollout.percent(number), until_ms)
        expected_ms += APPLYING_MS + strategy.bake_ms
