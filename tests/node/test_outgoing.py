"""What a node says to a store that is slow, or away: no more than it bears."""

from typing import Any

import pytest

from controlplane.machine import Call
from controlplane.node import outgoing
from tests.node.rig import Rig, Seat

SHARDS = ("a", "b", "c")


def led_rig() -> tuple[Rig, Seat]:
    """One node leads three shards, and every store vouches for its copies."""
    rig = Rig(("n1",), shards=SHARDS)
    n1 = rig.seats["n1"]
    rig.until(lambda: all(n1.serves(shard) for shard in SHARDS))
    rig.run(rig.ttl_ms)
    return rig, n1


def write_everywhere(rig: Rig, n1: Seat) -> None:
    for shard in SHARDS:
        n1.put(shard, "k")
    rig.turn(n1)


def said_to_s3(rig: Rig, n1: Seat, ms: int) -> list[list[Any]]:
    """The commands of a while for the third store, which answers none of them."""
    n1.effects.clear()
    rig.run(ms)
    calls = [effect for effect in n1.effects if isinstance(effect, Call) and effect.store == "s3"]
    return [command for call in calls for command in call.commands]


def test_a_renewal_vouches_and_confirms_what_is_under_way() -> None:
    rig, n1 = led_rig()
    rig.mute("n1", "s3")
    write_everywhere(rig, n1)
    said = said_to_s3(rig, n1, rig.ttl_ms // 5)
    assert [command[6] for command in said if command[0] == "renew"] != []
    assert all(command[6] > 0 for command in said if command[0] == "renew")
    assert sum(command[0] == "append" for command in said) >= len(SHARDS)


def test_with_more_under_way_than_a_lane_bears_it_vouches_for_nothing_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outgoing, "CONFIRM_MIN", 1)
    rig, n1 = led_rig()
    _, seen = rig.is_fresh("s3")
    n1.node.lanes["s3"].pace.allowance = 1
    rig.mute("n1", "s3")
    write_everywhere(rig, n1)
    said = said_to_s3(rig, n1, rig.ttl_ms // 5)
    assert {command[6] for command in said if command[0] == "renew"} == {0}
    rig.run(0)
    assert rig.is_fresh("s3")[1] <= max(seen, n1.node.lanes["s3"].opseq)
    assert all(n1.serves(shard) for shard in SHARDS)
    rig.let("n1", "s3")
    rig.run(rig.ttl_ms // 2)
    assert n1.group.outgoing[2].unanswered == {}
    assert rig.is_fresh("s3")[1] > seen  # it vouches again


def test_nothing_is_kept_for_a_lane_that_is_down() -> None:
    rig, n1 = led_rig()
    rig.disconnect("n1", "s3")
    write_everywhere(rig, n1)
    rig.run(50)
    assert n1.group.outgoing[2].urgent == {}
    rig.connect("n1", "s3")
    rig.until(lambda: all(rig.is_fresh("s3", shard)[0] for shard in SHARDS))


def test_without_a_lease_nothing_is_vouched_for_or_named_until_it_is_served_again() -> None:
    rig, n1 = led_rig()
    rig.disconnect("n1", "s1")
    rig.mute("n1", "s2")
    rig.until(lambda: not n1.serves("a"))  # of three stores one is within reach
    commands: list[list[Any]] = []
    rig.on_call = lambda store, asked: commands.extend(asked if store == "s3" else [])
    rig.disconnect("n1", "s3")
    rig.connect("n1", "s3")
    rig.run(rig.ttl_ms)
    renewals = [command[6:8] for command in commands if command[0] == "renew"]
    assert renewals.count([0, []]) == len(renewals) > 1
    seen = rig.is_fresh("s3", "a")[1]
    rig.let("n1", "s2")
    rig.until(lambda: all(rig.is_fresh("s3", shard)[0] for shard in SHARDS))
    rig.until(lambda: rig.is_fresh("s3", "a")[1] > seen)
    assert not n1.group.outgoing[2].unmarked
