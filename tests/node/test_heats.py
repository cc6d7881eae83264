"""Leaders tell the global leader how hot their shards are, if a document wants it."""

from __future__ import annotations

from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.node.following import SYSTEM
from controlplane.node.heats import LOOK_MS, WARM_MS, Heats
from controlplane.requests import Read, Transfer, Transferred
from shards.heat import Heat
from shards.key_in_slot import key_in_slot
from tests.config.sample_fleet import put as put_document
from tests.node.resharding_rig import KEYS, SHARD, answer, fleet, leader, put, served_by
from tests.node.rig import Rig

REQUESTS = 64


def want_splits(rig: Rig) -> None:
    """Every node knows a document that has shards split by load."""
    policy = {"requests_per_s": 10, "after_ms": 5_000, "cool_down_ms": 60_000}
    for seat in rig.seats.values():
        content = builtin_content(Kind.PLACEMENT) | {"split_by_load": policy}
        assert isinstance(put_document(seat.node.feed, "placement", content), Revision)


def collector(rig: Rig) -> Heats:
    return served_by(rig, SYSTEM).node.heats


def load(rig: Rig) -> None:
    """As many writes as strong reads, of all keys alike, at the leader."""
    seat = served_by(rig, SHARD)
    for number in range(REQUESTS // 2):
        key = KEYS[number % len(KEYS)]
        answer(rig, seat, seat.ask(put(key, b"12345678%d" % number)))
        answer(rig, seat, seat.ask(Read("", (key,))))


def test_nothing_is_counted_or_told_unless_a_document_wants_it() -> None:
    rig = fleet()
    load(rig)
    rig.run(2 * LOOK_MS)
    assert all(not seat.node.heats._gauges for seat in rig.seats.values())
    assert collector(rig).of(SHARD, rig.now_ms) is None


def test_the_global_leader_knows_what_a_leader_carries_and_where_it_would_be_split() -> None:
    rig = fleet()
    want_splits(rig)
    rig.run(LOOK_MS + 100)  # the looks of all nodes are behind
    load(rig)
    rig.run(LOOK_MS)
    heat = collector(rig).of(SHARD, rig.now_ms)
    assert heat is not None
    assert heat.by_requests is not None
    assert heat.requests_per_s == REQUESTS * 1_000 / LOOK_MS
    assert heat.write_bytes_per_s > 8 * REQUESTS / 2 * 1_000 / LOOK_MS
    assert heat.size_bytes > 0
    assert heat.by_requests.larger_share == 0.5


def test_nodes_that_ask_whether_a_shard_is_served_are_no_load() -> None:
    rig = fleet()
    want_splits(rig)
    rig.run(LOOK_MS + 100)
    seat = served_by(rig, SHARD)
    for _ in range(REQUESTS):
        answer(rig, seat, seat.ask(Read("", (key_in_slot(77),))))
    rig.run(LOOK_MS)
    heat = collector(rig).of(SHARD, rig.now_ms)
    assert heat is not None
    assert heat.requests_per_s == 0


def test_a_row_of_a_leader_that_is_none_any_more_says_nothing() -> None:
    rig = fleet()
    want_splits(rig)
    rig.run(LOOK_MS + 100)
    assert collector(rig).of(SHARD, rig.now_ms) is not None
    seat = served_by(rig, SHARD)
    other = next(name for name in rig.seats if name != seat.plan.node)
    moved = answer(rig, seat, seat.ask(Transfer(SHARD, other)))
    assert isinstance(moved, Transferred)
    rig.until(lambda: leader(rig, SHARD) is rig.seats[other])
    rig.run(100)
    assert collector(rig).of(SHARD, rig.now_ms) is None
    rig.run(LOOK_MS)
    assert collector(rig).of(SHARD, rig.now_ms) is not None


def test_a_warm_row_does_not_outlive_a_few_looks() -> None:
    rig = fleet()
    want_splits(rig)
    node = served_by(rig, SYSTEM).node
    led = served_by(rig, SHARD)
    row = [SHARD, led.led(SHARD).epoch, 99.0, 0.0, 0, None, None]
    now_ms = node.now_ms
    node.heats.heard(led.plan.node, {"kind": "heat", "rows": [row]}, now_ms)
    assert node.heats.of(SHARD, now_ms + WARM_MS) == Heat(99.0, 0.0)
    assert node.heats.of(SHARD, now_ms + WARM_MS + 1) is None


def test_what_has_not_the_shape_of_a_row_is_ignored() -> None:
    rig = fleet("n1")
    want_splits(rig)
    heats = collector(rig)
    for rows in (None, "rows", [[]], [[SHARD]], [[SHARD, 1, "hot", 0, 0, None, None]]):
        heats.heard("n1", {"kind": "heat", "rows": rows}, rig.now_ms)
    heats.heard("n1", {"kind": "heat"}, rig.now_ms)
    assert heats.of(SHARD, rig.now_ms) is None
