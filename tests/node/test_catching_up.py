"""Stores that lag: a leader brings them along, before it serves if it needs them, and after."""

import pytest

from shards import catch_up
from shards.leadership import State
from shards.scripts.state import Data
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str, **shape: int) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a` and holds it everywhere."""
    rig = Rig(nodes or ("n1",), **shape)  # type: ignore[arg-type]
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    return rig, seat


def write(rig: Rig, seat: Seat, count: int) -> None:
    """So many keys, one after the other, each acknowledged."""
    for number in range(count):
        asked = seat.put("a", f"k{number}", bytes(100))
        rig.until(lambda asked=asked: asked in seat.answers)  # type: ignore[misc]


def same_everywhere(rig: Rig, *stores: str) -> bool:
    """Whether these stores have applied the same to the same position."""
    first, *others = [rig.log(store) for store in stores]
    return all((s.ap, s.data.kv) == (first.ap, first.data.kv) for s in others)


def lose_the_store_and_the_leader_that_know_more(rig: Rig) -> Seat:
    """s2 misses writes; then the leader dies, s3 is lost, and s2 is back: n2 has s1 and s2."""
    for node in ("n1", "n2"):
        rig.disconnect(node, "s2")
    write(rig, rig.seats["n1"], 8)
    rig.run(rig.ttl_ms // 2)
    assert rig.log("s1").cm > rig.log("s2").ts
    del rig.seats["n1"]
    rig.disconnect("n2", "s3")
    rig.connect("n2", "s2")
    return rig.seats["n2"]


def test_a_majority_opens_its_epoch_though_one_of_it_lags_behind_what_is_committed() -> None:
    rig, _ = led_rig("n1", "n2")
    n2 = lose_the_store_and_the_leader_that_know_more(rig)
    rig.until(lambda: n2.serves("a"), ms_max=4 * rig.ttl_ms)
    rig.run(rig.ttl_ms)
    assert same_everywhere(rig, "s1", "s2")
    assert len(rig.log("s2").data.kv) == 8


@pytest.mark.parametrize("trimmed", [False, True], ids=["far", "trimmed"])
def test_the_same_where_only_a_snapshot_helps(
    monkeypatch: pytest.MonkeyPatch, trimmed: bool
) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 50_000 if trimmed else 3)
    rig, n1 = led_rig("n1", "n2")
    if trimmed:
        rig.disconnect("n1", "s2")
        write(rig, n1, 5)
        rig.run(100)
        sid = n1.led("a").session.sid
        for store in ("s1", "s3"):
            assert rig.do(store, "trim", "a", "1", sid, 4) == ["OK", 4]
    n2 = lose_the_store_and_the_leader_that_know_more(rig)
    rig.until(lambda: n2.serves("a"), ms_max=4 * rig.ttl_ms)
    rig.run(rig.ttl_ms)
    assert same_everywhere(rig, "s1", "s2")


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_store_that_comes_back_is_brought_along(
    monkeypatch: pytest.MonkeyPatch, snapshot: bool
) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 3 if snapshot else 50_000)
    monkeypatch.setattr(catch_up, "CHUNK_BYTES", 300)
    rig, n1 = led_rig()
    rig.disconnect("n1", "s3")
    write(rig, n1, 20)
    log = n1.led("a").log
    assert log is not None
    assert log.floor.sequence > rig.log("s3").ts  # its leader does not remember what it lacks
    rig.connect("n1", "s3")
    rig.until(lambda: same_everywhere(rig, "s1", "s3") and rig.is_fresh("s3")[0], 3 * rig.ttl_ms)
    assert "catching-up" in n1.kinds("a")
    assert rig.log("s3").stage == Data()


def test_a_copy_that_is_interrupted_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 3)
    monkeypatch.setattr(catch_up, "CHUNK_BYTES", 300)
    rig, n1 = led_rig()
    rig.disconnect("n1", "s3")
    write(rig, n1, 20)
    rig.connect("n1", "s3")
    rig.step_until(n1, lambda: bool(rig.log("s3").stage.kv))
    rig.disconnect("n1", "s3")
    rig.run(100)
    write(rig, n1, 3)
    rig.connect("n1", "s3")
    rig.until(lambda: same_everywhere(rig, "s1", "s3") and rig.is_fresh("s3")[0], 3 * rig.ttl_ms)
    assert n1.led("a").state is State.LEADING


def test_what_a_dead_leader_had_staged_goes_with_its_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catch_up, "SNAPSHOT_FROM_ENTRIES", 3)
    monkeypatch.setattr(catch_up, "CHUNK_BYTES", 300)
    rig, n1 = led_rig("n1", "n2")
    rig.disconnect("n1", "s3")
    write(rig, n1, 20)
    rig.connect("n1", "s3")
    rig.step_until(n1, lambda: bool(rig.log("s3").stage.kv))
    del rig.seats["n1"]
    n2 = rig.seats["n2"]
    rig.until(lambda: n2.serves("a"), ms_max=4 * rig.ttl_ms)
    rig.until(lambda: same_everywhere(rig, "s1", "s3") and rig.is_fresh("s3")[0], 3 * rig.ttl_ms)
    assert rig.log("s3").stage == Data()
