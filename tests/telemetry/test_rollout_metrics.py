"""How long rollouts take, with the time apart in which people were waited for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controlplane.machine import Happened
from controlplane.telemetry.rollouts import RolloutMetrics


def test_waiting_for_people_is_counted_apart() -> None:
    registry, now = CollectorRegistry(), [0.0]
    metrics = RolloutMetrics(registry, lambda: now[0])
    course = [
        (0, "applying", ""),
        (4, "baking", ""),
        (34, "baking", "operator"),  # somebody paused it after 30 s of its bake
        (134, "baking", ""),
        (144, "gating", ""),
        (146, "gating", "no-data"),
        (196, "gating", ""),
        (196, "succeeded", ""),
        (200, "succeeded", ""),  # told once more: it is over
    ]
    for at_s, phase, paused in course:
        now[0] = float(at_s)
        detail = {"rollout": "1", "phase": phase, "paused": paused}
        metrics.happened(Happened("rollout", "system", 0, detail))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("leadplane_rollout_step_seconds_sum", phase="applying") == 4
    assert value("leadplane_rollout_step_seconds_sum", phase="baking") == 40
    assert value("leadplane_rollout_step_seconds_sum", phase="gating") == 2
    assert value("leadplane_rollout_paused_seconds_total", by="people") == 100
    assert value("leadplane_rollout_paused_seconds_total", by="fleet") == 50
    assert value("leadplane_rollouts_ended_total", phase="succeeded") == 1


def test_a_rollout_that_was_over_before_is_not_counted_as_ended_now() -> None:
    registry = CollectorRegistry()
    metrics = RolloutMetrics(registry)
    detail = {"rollout": "1", "phase": "succeeded", "paused": ""}
    metrics.happened(Happened("rollout", "system", 0, detail))
    ended = registry.get_sample_value("leadplane_rollouts_ended_total", {"phase": "succeeded"})
    assert ended is None
