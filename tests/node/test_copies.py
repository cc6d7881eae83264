"""Copies while others write: they get to the end, they do not try for ever, and cost little."""

from __future__ import annotations

from typing import Any

import pytest

from regions.codec import Reply
from regions.scripts.model import StoreModel
from shards import catch_up
from shards.log import Stream
from tests.node.rig import STEP_MS, Rig, Seat

KEYS = 10


def led_rig() -> tuple[Rig, Seat]:
    rig = Rig()
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    return rig, seat


class Writer:
    """Writes with every step of the clock, whatever happens."""

    def __init__(self, rig: Rig, seat: Seat) -> None:
        self.rig, self.seat, self.number = rig, seat, 0

    def run(self, ms: int) -> None:
        for _ in range(ms // STEP_MS):
            self.seat.put("a", f"k{self.number % KEYS}", bytes(100))
            self.number += 1
            self.rig.run(STEP_MS)


class Slow:
    """A store whose every answer to a copy comes after the others have written again."""

    def __init__(self, twin: StoreModel, rig: Rig, writer: Writer) -> None:
        self.twin, self.state = twin, twin.state
        self.rig, self.writer = rig, writer

    def call(self, header: list[Any], commands: list[list[Any]]) -> Reply:
        if any(command[0] == "range" for command in commands):
            for _ in range(3):
                self.writer.seat.put("a", "between", bytes(100))
        return self.twin.call(header, commands)


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_copy_gets_to_the_end_while_others_write(
    monkeypatch: pytest.MonkeyPatch, snapshot: bool
) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 20 if snapshot else 50_000)
    rig, n1 = led_rig()
    writer = Writer(rig, n1)
    rig.disconnect("n1", "s3")
    writer.run(200)
    for store in ("s1", "s2"):
        rig.stores[store] = Slow(rig.stores[store], rig, writer)  # type: ignore[assignment]
    rig.connect("n1", "s3")
    begun = len(n1.happened)
    writer.run(200)
    follower = n1.led("a").log.followers[2]  # type: ignore[union-attr]
    assert follower.stream is Stream.FLOWING
    copies = [e for e in n1.happened[begun:] if e.kind == "catching-up"]
    assert len(copies) <= 2, "one copy after the other, and none comes to the end"
    rig.run(200)
    assert rig.log("s3").data.kv == rig.log("s1").data.kv
    assert follower.awaited is None


class Refusing:
    """A store that has no room for copies."""

    def __init__(self, twin: StoreModel) -> None:
        self.twin, self.state = twin, twin.state
        self.refused = 0

    def call(self, header: list[Any], commands: list[list[Any]]) -> Reply:
        if commands[0][0] == "stage":
            self.refused += 1
            return Reply("OOM", "", "", "", 0, [])
        return self.twin.call(header, commands)


def test_a_copy_that_is_refused_is_tried_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 3)
    rig, n1 = led_rig()
    writer = Writer(rig, n1)
    rig.disconnect("n1", "s3")
    writer.run(100)
    full = Refusing(rig.stores["s3"])
    rig.stores["s3"] = full  # type: ignore[assignment]
    rig.connect("n1", "s3")
    writer.run(10_000)
    assert 3 <= full.refused <= 8
    assert n1.serves("a")
    rig.stores["s3"] = full.twin
    rig.until(lambda: rig.is_fresh("s3")[0], 40_000)
    assert rig.log("s3").data.kv == rig.log("s1").data.kv


def test_while_a_snapshot_is_copied_the_leader_keeps_nothing_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 3)
    rig, n1 = led_rig()
    writer = Writer(rig, n1)
    rig.disconnect("n1", "s3")
    writer.run(100)
    rig.stores["s3"] = silent = Silent(rig.stores["s3"])  # type: ignore[assignment]
    rig.connect("n1", "s3")
    rig.until(lambda: silent.asked > 0)
    log = n1.led("a").log
    assert log is not None
    floor = log.floor.sequence
    writer.run(200)
    assert log.floor.sequence > floor, "the leader remembers all that is written during a copy"


class Silent:
    """A store that never answers a copy."""

    def __init__(self, twin: StoreModel) -> None:
        self.twin, self.state = twin, twin.state
        self.asked = 0

    def call(self, header: list[Any], commands: list[list[Any]]) -> Reply | None:
        if commands[0][0] == "stage":
            self.asked += 1
            return None
        return self.twin.call(header, commands)
