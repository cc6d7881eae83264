"""How late timers were, as the benchmark reads it from what a node counts."""

from controlplane.bench.plan_lag import within


def test_the_limit_named_is_the_least_that_so_many_timers_kept() -> None:
    counted = {0.01: 90.0, 0.05: 98.0, 0.1: 99.0, float("inf"): 100.0}
    assert within(counted, 0.9) == 0.01
    assert within(counted, 0.99) == 0.1
    assert within(counted, 1.0) == float("inf")
