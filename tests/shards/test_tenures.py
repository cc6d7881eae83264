"""Tenures that cannot be are found: those that overlap, and those whose log branches off."""

from __future__ import annotations

from typing import Any

from shards.tenures import overlaps


def tenure(epoch: int, sequence: int, goes_on: int, **more: Any) -> dict[str, Any]:
    """One line of history: its epoch, and the entry that it goes on behind."""
    return {
        "shard": "a", "epoch": epoch, "node": "n1", "before_epoch": goes_on,
        "previous": [sequence, goes_on, 77],
    } | more  # fmt: skip


GOOD = [tenure(1, 0, 0), tenure(3, 12, 1), tenure(4, 13, 3), tenure(9, 40, 4)]


def test_a_history_in_which_each_follows_the_one_before_is_good() -> None:
    assert overlaps(GOOD) == []
    assert overlaps(GOOD[2:]) == []  # what was before is not kept
    assert overlaps([]) == overlaps(GOOD[:1]) == []


def test_two_leaders_beside_each_other_are_found() -> None:
    found = overlaps([*GOOD[:2], tenure(4, 12, 1), GOOD[3]])
    assert len(found) == 1
    assert found[0].startswith("epoch 4 goes on behind an entry of epoch 1, not of 3: both led")


def test_a_tenure_that_is_missing_is_found() -> None:
    (found,) = overlaps([GOOD[0], GOOD[2]])
    assert "epoch 4 goes on behind an entry of epoch 3, not of 1" in found


def test_a_log_that_ends_before_the_tenure_began_is_found() -> None:
    assert overlaps([*GOOD[:2], tenure(4, 11, 3)]) == [
        "epoch 4 goes on behind entry 11, before epoch 3 opened"
    ]


def test_epochs_that_do_not_rise_are_found() -> None:
    assert overlaps([GOOD[1], GOOD[1]]) == ["epoch 3 comes behind epoch 3"]
    assert overlaps([GOOD[0], tenure(3, 12, 1, before_epoch=5)]) == [
        "epoch 3 says it came after epoch 5"
    ]


def test_a_history_that_goes_on_in_another_shard_is_not_held_against_its_log() -> None:
    assert overlaps([GOOD[0], tenure(3, 0, 0, shard="b")]) == []
    assert overlaps([{"epoch": 1}, {"epoch": 2}]) == []
