"""A run is seldom searched for garbage, and leaves Python's own settings as they were."""

from __future__ import annotations

import gc

import pytest

from controlplane.simulator.collection import YOUNG_MAX, collecting_seldom


def test_python_goes_on_as_before_whatever_becomes_of_a_run() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    def run() -> None:
        with collecting_seldom():
            assert gc.get_threshold()[0] == YOUNG_MAX
            assert gc.get_freeze_count() > frozen
            raise LookupError

    with pytest.raises(LookupError):
        run()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_a_run_leaves_is_found_when_the_next_begins() -> None:
    with collecting_seldom():
        ring: list[object] = []
        ring.append(ring)
        thrown_away = id(ring)
        del ring
    with collecting_seldom():
        assert all(id(each) != thrown_away for each in gc.get_objects())
