"""The global leader knows what clients ask for and where, and so does the next one, soon."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.node.directory import SYSTEM
from controlplane.node.load_reports import REPORT_EVERY_MS, ROWS_MAX, Gathered
from shards.load import Rates
from tests.node.rig import Rig, Seat
from tests.node.test_global_leader import fleet, leader


def global_leader(rig: Rig) -> Seat:
    seat = leader(rig, SYSTEM)
    assert seat is not None
    return seat


def gathered(rig: Rig) -> Gathered:
    found = global_leader(rig).node.reports.gathered
    assert found is not None
    return found


def ask(rig: Rig, node: str, shard: str, reads: int) -> None:
    rig.seats[node].node.reports.load.of(shard).reads += reads


def knows_all(rig: Rig, nodes: int) -> bool:
    seat = leader(rig, SYSTEM)
    found = None if seat is None else seat.node.reports.gathered
    return found is not None and [r[4] for r in found.load.reporters()] == [0] * nodes


def test_what_came_in_at_any_node_is_known_to_the_global_leader() -> None:
    rig = fleet("n1", "n2", "n3")
    for node, reads in (("n1", 100), ("n2", 20), ("n3", 3)):
        ask(rig, node, "a", reads)
    rig.run(2 * REPORT_EVERY_MS)
    known = gathered(rig)
    assert known.load.shards() == {"a"}
    assert [(node, region) for node, region, *_ in known.load.reporters()] == [
        ("n1", "eu"), ("n2", "eu"), ("n3", "eu"),
    ]  # fmt: skip
    assert known.load.of("a")["eu"].reads == pytest.approx(123 * 0.011, rel=0.15)


def test_the_next_global_leader_knows_all_of_it_after_one_look() -> None:
    rig = fleet("n1", "n2", "n3")
    rig.step_ms = 20
    for node in ("n1", "n2", "n3"):
        ask(rig, node, "a", 50)
        ask(rig, node, "b", 5)
    rig.run(2 * REPORT_EVERY_MS)
    gone = global_leader(rig)
    gone.asleep = True
    rig.until(lambda: leader(rig, SYSTEM) not in (None, gone))
    led_ms = rig.now_ms
    rig.until(lambda: knows_all(rig, 2))
    assert rig.now_ms - led_ms <= 2 * REPORT_EVERY_MS
    assert gathered(rig).load.shards() == {"a", "b"}
    gone.asleep = False
    rig.run(2 * REPORT_EVERY_MS)
    assert gone.node.reports.gathered is None  # it gathers nothing any more
    assert knows_all(rig, 3)


def test_a_message_that_was_lost_is_made_up_for_when_it_is_said_again() -> None:
    rig = fleet("n1", "n2")
    rig.step_ms = 100
    other = next(name for name in rig.seats if name != global_leader(rig).plan.node)
    rig.untold.add(global_leader(rig).plan.node)
    for _ in range(40):
        ask(rig, other, "a", 500)
        rig.run(1_000)
    rig.untold.clear()
    assert gathered(rig).load.of("a") == {}
    for _ in range(150):
        ask(rig, other, "a", 500)
        rig.run(1_000)
    assert gathered(rig).load.of("a")["eu"].reads == pytest.approx(500, rel=0.25)


def said(seat: Seat, since: int) -> list[dict[str, Any]]:
    messages = [getattr(effect, "message", {}) for effect in seat.effects[since:]]
    return [message for message in messages if message.get("kind") == "load"]


def test_many_shards_are_said_in_pieces_and_what_stays_the_same_is_not_said() -> None:
    rig = fleet("n1", "n2")
    rig.step_ms = 100
    other = next(s for s in rig.seats.values() if s is not global_leader(rig))
    load = other.node.reports.load
    since = len(other.effects)
    for second in range(300):
        if second == 200:
            assert max(len(message["rows"]) for message in said(other, since)) == ROWS_MAX
            since = len(other.effects)
        for shard in range(2 * ROWS_MAX + 10):
            load.of(f"s{shard:05}").reads += 100
        rig.run(1_000)
    assert len(gathered(rig).load.shards()) == 2 * ROWS_MAX + 10
    rows = sum(len(message["rows"]) for message in said(other, since))
    assert rows <= 2 * ROWS_MAX + 10  # in twenty looks: only to repeat them


def test_nonsense_is_not_gathered() -> None:
    rig = fleet("n1", "n2")
    reports = global_leader(rig).node.reports
    good: dict[str, Any] = {"region": "eu", "behind": 0, "rows": [], "trips": []}
    rows = [["a", 1, 2, 3], ["b", "1", 2, 3, 4], [7, 1, 2, 3, 4], ["c", -1, 2, 3, 4], "d"]
    reports.heard("n9", good | {"rows": [*rows, ["e", 1, 2, 3, 4.5]]}, rig.now_ms)
    reports.heard("n8", good | {"trips": [["us", "x", 1, 2], ["us", 1, 2], 5]}, rig.now_ms)
    reports.heard("n7", good | {"behind": None}, rig.now_ms)
    reports.heard("n6", {}, rig.now_ms)
    known = gathered(rig)
    assert known.load.of("e") == {"eu": Rates(1, 2, 3, 4.5)}
    assert known.load.shards() == {"e"}
    assert {"n8", "n9"} <= {r[0] for r in known.load.reporters()}
    assert not {"n6", "n7"} & {r[0] for r in known.load.reporters()}
    assert replace(known, load=known.load) == known
