"""A fleet with one shard of all slots, and what is asked of it when it is split."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.node.following import SYSTEM
from controlplane.node_plan import ShardSeed
from controlplane.requests import Found, Outcome, Put, Read, Reshard, Write, Written
from shards.keyspace import SLOTS
from shards.resharding import Kind
from tests.node.rig import Rig, Seat

SHARD = "s00"
KEYS = tuple(f"{{p{n}}}/k" for n in range(8))
SEEDS = (ShardSeed(SHARD, "global", 0, SLOTS, ("eu",)),)


def fleet(*nodes: str) -> Rig:
    """A fleet that runs until its shard is led, and every key has a value."""
    rig = Rig(nodes or ("n1", "n2"), shards=(), group="global", seeds=SEEDS)
    rig.until(lambda: leader(rig, SHARD) is not None and leader(rig, SYSTEM) is not None)
    rig.run(rig.ttl_ms)
    for key in KEYS:
        assert isinstance(written(rig, key, b"before"), Written)
    return rig


def leader(rig: Rig, shard: str) -> Seat | None:
    """The node that serves a shard."""
    return next((seat for seat in rig.seats.values() if seat.serves(shard)), None)


def served_by(rig: Rig, shard: str) -> Seat:
    """The same, where there must be one."""
    seat = leader(rig, shard)
    assert seat is not None, f"nobody serves {shard}"
    return seat


def answer(rig: Rig, seat: Seat, number: int) -> Outcome:
    """What a node answers, however long it takes."""
    rig.until(lambda: number in seat.answers)
    return seat.answers[number]


def put(key: str, value: bytes) -> Write:
    """A write of one key by whoever knows no shards."""
    partition = key[1 : key.index("}")]
    return Write("", (Put(partition, key, value),), (), f"{key} {value!r}", "digest")


def written(rig: Rig, key: str, value: bytes) -> Outcome:
    """Write a key at whichever node leads the shard that has it."""
    seat = _leader_of(rig, key)
    return answer(rig, seat, seat.ask(put(key, value)))


def values(rig: Rig, keys: Iterable[str] = KEYS) -> list[bytes | None]:
    """Strong reads of keys, each at whichever node leads its shard."""
    found: list[bytes | None] = []
    for key in keys:
        seat = _leader_of(rig, key)
        outcome = answer(rig, seat, seat.ask(Read("", (key,))))
        assert isinstance(outcome, Found), outcome
        found.append(None if outcome.values[0] is None else outcome.values[0].data)
    return found


def _leader_of(rig: Rig, key: str) -> Seat:
    any_seat = next(iter(rig.seats.values()))
    shard = any_seat.node.reshardings.addressed(Read("", (key,)), {}).shard
    return served_by(rig, shard)


def split(rig: Rig) -> Outcome:
    """Order to split the shard in the middle."""
    seat = served_by(rig, SYSTEM)
    return answer(rig, seat, seat.ask(Reshard(Kind.SPLIT, SHARD)))


def close(seat: Seat) -> None:
    """Have the leader of the shard close it, as if some resharding said so."""
    log = seat.led(SHARD).log
    assert log is not None, "what leads has a log"
    log.close(1)
    seat.group.dirty(seat.led(SHARD))


def rows(seat: Seat) -> set[str]:
    """The shards of the map as one node knows it."""
    return set(seat.node.directory.rows)
