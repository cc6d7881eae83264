"""The simulated driver, driven with fakes: batches, pauses, crashes, lanes that break."""

from itertools import pairwise
from typing import cast

import pytest

from controlplane.machine import (
    Answered,
    Connected,
    Disconnected,
    Drained,
    Fetch,
    Fetched,
    Probe,
    Probed,
)
from controlplane.requests import Found, Outcome, Read, Transfer
from controlplane.simulator.fleet import Fleet
from controlplane.simulator.lanes import LATE_MS
from controlplane.simulator.process import Process
from controlplane.simulator.world import World
from regions.codec import FORMAT, pack
from tests.simulation.fakes import EVERY_MS, FakeNode, small_scenario


class Stage:
    """A fleet of fakes that has run for a second."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.fleet = Fleet(self.world, small_scenario(), FakeNode)
        self.fleet.start_all()
        self.run(1_000)

    def run(self, ms: int) -> None:
        self.world.run_until(self.world.now_ms + ms)

    def process(self, name: str = "n1") -> Process:
        return self.fleet.processes[name]

    def node(self, name: str = "n1") -> FakeNode:
        return cast(FakeNode, self.process(name).node)

    def sessions(self, store: str = "s1") -> set[str]:
        return set(self.fleet.stores[store].twin.state.groups["global"].sessions)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_node_is_connected_and_answered_in_order(stage: Stage) -> None:
    node = stage.node()
    for store in ("s1", "s2", "s3"):
        events = [e for _, e in node.events if getattr(e, "store", "") == store]
        assert events[0] == Connected(store, 1)
        replies = [e.reply.opseq for e in events[1:] if isinstance(e, Answered)]
        assert len(replies) > 10
        assert replies == sorted(replies)
    assert set(node.codes("s1")) == {"OK"}


def test_timers_are_seldom_late_and_never_early(stage: Stage) -> None:
    times = stage.node().advanced_ms
    steps = [b - a for a, b in pairwise(times)]
    assert min(steps) >= EVERY_MS
    assert max(steps) <= EVERY_MS + 15


def test_a_paused_process_handles_nothing_until_it_resumes(stage: Stage) -> None:
    stage.process().pause()
    handled, clock = len(stage.node().events), stage.process().clock.now_ms()
    stage.process().deliver(Disconnected("none", 0, "something to handle"))
    stage.run(500)
    assert len(stage.node().events) == handled
    assert stage.process().clock.now_ms() == clock + 500
    stage.process().resume()
    stage.run(1)
    assert len(stage.node().events) > handled
    assert stage.node().advanced_ms[-1] >= clock + 500


def test_a_process_frozen_before_it_sends_sends_when_it_resumes(stage: Stage) -> None:
    stage.process().freeze()
    stage.run(500)
    assert stage.process().paused
    before = stage.sessions()
    decided = stage.node().sent
    stage.process().resume()
    stage.run(3)
    assert stage.node().sent >= decided
    assert any(sid.startswith("n1") for sid in stage.sessions() - before)


def test_a_process_freezes_before_it_sends_a_certain_command(stage: Stage) -> None:
    stage.process("n1").freeze("prepare")
    stage.process("n2").freeze("register")
    stage.run(500)
    assert not stage.process("n1").paused
    assert stage.process("n2").paused
    before = stage.sessions()
    stage.process("n2").resume()
    stage.run(3)
    assert any(sid.startswith("n2") for sid in stage.sessions() - before)


def test_a_broken_lane_is_told_and_opened_again_with_a_greater_generation(stage: Stage) -> None:
    stage.process().lines["s1"].snap("cable")
    stage.run(1_000)
    events = [e for _, e in stage.node().events if isinstance(e, Connected | Disconnected)]
    about_s1 = [e for e in events if e.store == "s1"]
    assert about_s1 == [Connected("s1", 1), Disconnected("s1", 1, "cable"), Connected("s1", 2)]


def test_an_unnoticed_break_is_silence_until_the_process_drops_the_lane(stage: Stage) -> None:
    stage.process().lines["s1"].snap("cable", silent=True)
    answered = len(stage.node().codes("s1"))
    stage.run(1_000)
    assert len(stage.node().codes("s1")) == answered
    stage.process().lines["s1"].drop(1, "no answer")
    stage.run(1_000)
    assert len(stage.node().codes("s1")) > answered


def test_calls_of_a_broken_lane_may_be_executed_late_and_the_guard_refuses_them() -> None:
    late = refused = 0
    for seed in range(30):
        stage = Stage(seed)
        node, store = stage.node(), stage.fleet.stores["s1"]
        codes: list[str] = []
        store.watcher = lambda _store, _commands, reply, codes=codes: codes.append(reply.code)  # type: ignore[misc]
        node.register("s1")
        stage.process().deliver(Disconnected("none", 0, "so that it runs"))
        stage.world.run_until(stage.world.now_ms)
        wanted = f"{node.plan.process}/{node.sent}"
        stage.process().lines["s1"].snap("cable")
        before = wanted in stage.sessions()
        stage.run(LATE_MS[1] + 100)
        late += wanted in stage.sessions() and not before
        refused += "OLD_GENERATION" in codes
        assert "OLD_GENERATION" not in node.codes("s1")
    assert late
    assert refused


def test_a_store_that_crashes_loses_its_queue_and_keeps_its_data(stage: Stage) -> None:
    before = stage.sessions()
    stage.fleet.crash_store("s1")
    stage.run(2_000)
    assert stage.sessions() == before
    assert "s1" not in stage.node().generations
    stage.fleet.restart_store("s1")
    stage.run(1_000)
    assert stage.sessions() > before
    assert {e.reply.run_id for _, e in stage.node().events if isinstance(e, Answered)} > {
        "s1-run-0"
    }


def test_a_restarted_node_is_another_process(stage: Stage) -> None:
    stage.fleet.crash_node("n1")
    stage.run(1_000)
    assert "n1" not in stage.fleet.processes
    stage.fleet.start_node("n1")
    stage.run(1_000)
    assert stage.node().plan.process == "n1-2"
    assert Connected("s1", 1) in [e for _, e in stage.node().events]
    assert any(sid.startswith("n1-2/") for sid in stage.sessions())


def test_requests_are_answered_unless_the_front_door_is_deaf(stage: Stage) -> None:
    answers: list[Outcome] = []
    stage.fleet.ask("eu", "n1", Read("global-0", ()), lambda o, _ms: answers.append(o), bool)
    stage.run(100)
    assert isinstance(answers[0], Found)
    stage.fleet.deaf.add("n1")
    stage.fleet.ask("eu", "n1", Transfer("global-0", "n2"), lambda o, _ms: answers.append(o), bool)
    stage.run(5_000)
    assert len(answers) == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_probes_ask_through_the_front_door(stage: Stage, deaf: bool) -> None:
    if deaf:
        stage.fleet.deaf.add("n2")
    stage.fleet.probe(stage.process(), Probe("n2", "sim://n2", "global-0", 300))
    stage.run(400)
    probed = [e for _, e in stage.node().events if isinstance(e, Probed)]
    assert probed == [Probed("n2", "global-0", not deaf)]


def test_a_fetch_is_answered_once_with_none_when_the_store_is_down(stage: Stage) -> None:
    header = [FORMAT, stage.fleet.stores["s1"].twin.state.incarnation, "", 0]
    hello = [["hello", "", 0]]
    stage.process().lines["s1"].fetch(Fetch("s1", 1, header, hello, 200))
    stage.run(300)
    stage.fleet.crash_store("s1")
    stage.process().lines["s1"].fetch(Fetch("s1", 2, header, hello, 200))
    stage.run(300)
    fetched = [e for _, e in stage.node().events if isinstance(e, Fetched)]
    assert [e.token for e in fetched] == [1, 2]
    assert fetched[0].reply is not None
    assert fetched[1].reply is None


def test_one_seed_gives_one_trace() -> None:
    traces = {seed: {Stage(seed).world.trace_hash for _ in range(2)} for seed in (1, 2)}
    assert all(len(both) == 1 for both in traces.values())
    assert traces[1] != traces[2]


@pytest.mark.parametrize(("flushed", "done"), [(0, 0), (2, 2), (9, 3)])
def test_a_crash_may_have_flushed_the_first_of_the_calls_in_hand(
    stage: Stage, flushed: int, done: int
) -> None:
    store = stage.fleet.stores["s1"]
    store.slowness_ms = 100
    answers: list[bytes] = []
    incarnation = store.twin.state.incarnation
    for number in range(3):
        command = ["register", "global", 1, f"late/{number}", "n", "eu", ""]
        store.submit(pack([[FORMAT, incarnation, "late", 1], [command]]), answers.append)
    assert not {sid for sid in stage.sessions() if sid.startswith("late/")}
    stage.fleet.crash_store("s1", flushed)
    stage.run(1_000)
    late = {sid for sid in stage.sessions() if sid.startswith("late/")}
    assert late == {f"late/{number}" for number in range(done)}
    assert answers == []


def test_who_has_drained_ends_when_all_of_its_last_turn_is_done(stage: Stage) -> None:
    answers: list[Outcome] = []
    node = stage.node()
    node.effects = [Drained()]
    stage.process().request(Read("global-0", ()), lambda outcome, _ms: answers.append(outcome))
    stage.run(1)
    assert "n1" not in stage.fleet.processes
    assert len(answers) == 1
