"""Requests under way are not searched for garbage; what really piles up is."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from controlplane.runtime.collection import YOUNG_MAX, collect_seldom

OBJECTS_A_REQUEST = 40
REQUESTS = 256


@pytest.fixture
def looks() -> Iterator[list[str]]:
    """Every look of the collector, noted as it begins; Python's own settings come back after."""
    before, noted = gc.get_threshold(), list[str]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            noted.append(f"generation {info['generation']}")

    gc.callbacks.append(note)
    try:
        yield noted
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*before)
        gc.unfreeze()


def test_hundreds_of_requests_come_and_go_without_a_look(looks: list[str]) -> None:
    collect_seldom()
    gc.collect()
    looks.clear()
    for _ in range(20):
        under_way = [[number] for number in range(REQUESTS * OBJECTS_A_REQUEST)]
        del under_way
    assert looks == []


def test_garbage_that_piles_up_is_found(looks: list[str]) -> None:
    collect_seldom()
    gc.collect()
    looks.clear()
    for _ in range(2 * YOUNG_MAX):
        ring: list[object] = []
        ring.append(ring)
    assert "generation 0" in looks
