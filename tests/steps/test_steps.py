"""Changes go on when the global leader is struck at a step of them; `make steps` strikes at all.

Each run of the tests takes the first trial of every kind and the last.
"""

from __future__ import annotations

import pytest

from controlplane.simulator.collection import collecting_seldom
from tests.steps.changes import CHANGES, Change
from tests.steps.run_steps import SEED, trials
from tests.steps.trial import disturbed, undisturbed

TRIALS = 2
SEEDS = {"apply": 9}  # there nothing comes home just before, and has to stay then


@pytest.mark.timeout(300)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name.replace(" ", "-"))
def test_a_change_ends_as_without_a_fault_and_nothing_is_done_twice(change: Change) -> None:
    seed = SEEDS.get(change.name, SEED)
    with collecting_seldom():
        plain = undisturbed(change, seed)
        every = list(trials(change, plain))
        assert plain.steps
        for number in range(TRIALS):
            trial = every[number * (len(every) - 1) // (TRIALS - 1)]
            verdict = disturbed(change, seed, plain, *trial)
            assert verdict.faults == [], trial
            assert verdict.struck
