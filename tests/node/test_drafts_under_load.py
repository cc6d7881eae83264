"""A shard that is written while its drafts are filled: what they lack is not trimmed away."""

from __future__ import annotations

import pytest

from controlplane.requests import Written
from shards import drafting, trimming
from shards import log as shard_log
from tests.node.resharding_rig import KEYS, SHARD, answer, fleet, leader, put, served_by, split
from tests.node.rig import Rig, Seat

WRITES_MAX = 400
VALUE = b"v" * 200


def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are trimmed behind every second entry, and drafts are filled by small steps."""
    for module in (trimming, shard_log):
        monkeypatch.setattr(module, "STEP_ENTRIES", 2)
    monkeypatch.setattr(drafting, "STEP_BYTES", 1)


def write(rig: Rig, seat: Seat, number: int) -> None:
    key = KEYS[number % len(KEYS)]
    done = answer(rig, seat, seat.ask(put(key, VALUE + b"%d" % number)))
    assert isinstance(done, Written), done


def test_a_shard_is_split_while_it_is_written_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    few_are_kept(monkeypatch)
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    for number in range(40):
        write(rig, seat, number)
    split(rig)
    wrote = 0
    while leader(rig, SHARD) is not None and not seat.led(SHARD).is_closed:
        assert wrote < WRITES_MAX, "drafts never come near the log that they follow"
        write(rig, seat, wrote)
        wrote += 1
        rig.run(rig.step_ms)
    rig.until(lambda: leader(rig, "s01") is not None and leader(rig, "s02") is not None)
    assert wrote > 8, "it was written meanwhile"


def test_what_drafts_lack_is_kept_as_long_as_they_are_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few_are_kept(monkeypatch)
    rig = fleet("n1")
    seat = served_by(rig, SHARD)
    parents = seat.node.reshardings.parents
    assert parents.drafted_to(seat.led(SHARD)) is None
    split(rig)
    rig.until(lambda: parents.drafted_to(seat.led(SHARD)) is not None)
    for number in range(12):
        drafted_to = parents.drafted_to(seat.led(SHARD))
        write(rig, seat, number)
        if drafted_to is None or SHARD not in seat.group.led:
            break
        bases = [rig.log(store, SHARD).bs for store in rig.stores]
        assert max(bases) <= drafted_to, "entries that a draft lacks are trimmed"
