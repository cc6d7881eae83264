"""Rollouts as this node's copy of the system shard shows them: where they are, how long they took.

Every node counts the same of each, as it learns of it. Time in which people were waited for is
counted apart: it says nothing of how fast a rollout is.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from config.rollout import OVER, Phase, Rollout, Why
from controlplane.machine import Happened
from controlplane.telemetry.families import gauges

ROLLOUT: Final = "rollout"
STEP_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0)
PEOPLE: Final = frozenset({Why.OPERATOR.value, Why.APPROVAL.value})
KNOWN_MAX: Final = 1_000


@dataclass(slots=True)
class _Step:
    """Where a rollout was last, since when, and for how long it was not paused there."""

    phase: str
    paused: str
    since_s: float
    went_s: float = 0.0


class RolloutMetrics:
    """Counters of rollouts, and a collector of those that are on."""

    def __init__(
        self, registry: CollectorRegistry, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock_s = clock_s
        self._known: dict[str, _Step] = {}
        self._steps = Histogram(
            "leadplane_rollout_step_seconds",
            "For how long rollouts were in a phase, pauses left out.",
            ["phase"],
            buckets=STEP_S,
            registry=registry,
        )
        self._paused = Counter(
            "leadplane_rollout_paused_seconds_total",
            "For how long rollouts were paused: people were waited for, or the fleet.",
            ["by"],
            registry=registry,
        )
        self._ended = Counter(
            "leadplane_rollouts_ended_total",
            "Rollouts that came to an end, by how.",
            ["phase"],
            registry=registry,
        )

    def happened(self, event: Happened) -> None:
        """A rollout has gone on, or was paused; or is learnt of."""
        if event.kind != ROLLOUT:
            return
        rollout, phase, paused = (event.detail[name] for name in ("rollout", "phase", "paused"))
        now_s, step = self._clock_s(), self._known.get(rollout)
        if step is not None:
            self._pass(step, phase, now_s)
        if phase in OVER:
            if self._known.pop(rollout, None) is not None:
                self._ended.labels(phase).inc()
        elif step is None or step.phase != phase:
            self._known[rollout] = _Step(phase, paused, now_s)
        else:
            step.paused, step.since_s = paused, now_s
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _pass(self, step: _Step, phase: str, now_s: float) -> None:
        """Count the time since the last transition."""
        passed_s = now_s - step.since_s
        if step.paused:
            by = "people" if step.paused in PEOPLE else "fleet"
            self._paused.labels(by).inc(passed_s)
        else:
            step.went_s += passed_s
        if phase != step.phase:
            self._steps.labels(step.phase).observe(step.went_s)


class RolloutStates:
    """A collector, as the Prometheus client calls it: how many rollouts are in each phase."""

    def __init__(self, rollouts: Callable[[], Iterable[tuple[Rollout, int]]]) -> None:
        self._rollouts = rollouts

    def describe(self) -> Iterable[Metric]:
        """Nothing: the node may not be ready when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All phases in which a rollout goes on."""
        found = Tally(each.phase for each, _ in self._rollouts())
        yield gauges(
            "leadplane_rollouts",
            "Rollouts that are not over, by phase.",
            ["phase"],
            {(phase.value,): found[phase] for phase in Phase if phase not in OVER},
        )
