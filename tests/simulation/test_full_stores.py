"""Stores that run full: what they refuse, and that a fleet loses nothing and goes on after."""

from collections import Counter
from dataclasses import replace
from typing import Any

from controlplane.machine import Headroom
from controlplane.simulator.fleet import LOOK_MS, Fleet
from controlplane.simulator.runner import simulate
from controlplane.simulator.scenario import preset
from controlplane.simulator.stores import SimulatedStore
from controlplane.simulator.world import World
from regions.codec import FORMAT, pack, unpack_reply
from shards.entry import Entry, write_entry
from tests.simulation.fakes import FakeNode, small_scenario

SID = "p/1"


def small_fleet() -> tuple[World, Fleet]:
    world = World(3)
    fleet = Fleet(world, small_scenario(), FakeNode)
    fleet.start_all()
    world.run_until(500)
    return world, fleet


def code_of(store: SimulatedStore, world: World, *words: Any) -> str:
    """What the call of one command is answered, or the code of the call that was refused."""
    header = [FORMAT, store.twin.state.incarnation, "p", 1]
    replies: list[bytes] = []
    store.submit(pack([header, [[words[0], "global", 1, *words[1:]]]]), replies.append)
    world.run_until(world.now_ms + 5)
    reply = unpack_reply(replies[0])
    return str(reply.results[0][0]) if reply.code == "OK" else reply.code


def test_a_full_store_refuses_pages_and_takes_what_order_rests_on() -> None:
    world, fleet = small_fleet()
    store = fleet.stores["s1"]
    first = write_entry(0, 0, 1, [["p", "p", "k", b"v", 1]])
    nothing = Entry(0, 0, 0, b"")
    append = ["append", "a", "1", SID, nothing.sequence, "0", nothing.chain, [first.blob], 1, 0]
    page = ["stage", "a", "1", SID, 1, "kv", [["p\0k", b"1 v"]]]
    assert code_of(store, world, "register", SID, "n", "eu", "") == "OK"
    assert code_of(store, world, "prepare", "a", "1", SID, ["free"]) == "OK"
    fleet.fill_store("s1", 99)
    assert code_of(store, world, *page) == "OK"
    fleet.fill_store("s1", 100)
    assert code_of(store, world, *page) == "OOM"
    assert code_of(store, world, *append) == "OK"
    assert code_of(store, world, "range", "a", 1, 100) == "OK"
    assert code_of(store, world, "unstage", "a", "1", SID, 1) == "OK"
    assert store.refused == 1
    fleet.fill_store("s1", 0)
    assert code_of(store, world, *page) == "STALE"


def test_nodes_see_how_full_a_store_is_and_that_it_has_room_again() -> None:
    world, fleet = small_fleet()
    for percent in (96, 0):
        fleet.fill_store("s2", percent)
        world.run_until(world.now_ms + 2 * LOOK_MS)
        for process in fleet.processes.values():
            seen = [e for _, e in process.node.events if isinstance(e, Headroom)]  # type: ignore[attr-defined]
            assert seen[-1] == Headroom("s2", percent, 100, None, None)


def test_stores_that_run_full_again_and_again_lose_nothing() -> None:
    scenario = replace(
        preset("bulky", minutes=0.4),
        faults=("full store", "full store", "crash store", "pause store"),
        faults_per_minute=90.0,
        fault_ttl=(0.5, 8.0),
    )
    outcomes: Counter[str] = Counter()
    happenings: Counter[str] = Counter()
    refused = 0
    for seed in (1, 4):
        report = simulate(seed, scenario)
        assert not report.violations, "\n".join(report.lines())
        outcomes += report.outcomes
        happenings += report.happenings
        refused += report.refused
    assert refused > 0, "no page was refused by a full store"
    assert outcomes["store-full"] > 20
    assert outcomes["Written"] > 200
    assert happenings["catching-up"] > 5
    assert happenings["low-headroom"] > 5
    assert happenings["headroom-restored"] > 5
