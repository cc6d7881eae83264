"""Nodes are started anew one after the other: in order, once each, and whoever carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from controlplane.rolling.sequence import (
    Action,
    Drain,
    DrainSight,
    Finished,
    GiveUp,
    LetLead,
    LetLeadFew,
    Limits,
    NodeSight,
    Progress,
    Sequence,
    Sight,
    Step,
    Stop,
    Wait,
    read_progress,
)

LOOK_MS = 1_000
RISE_MS = 5_000


@dataclass
class MadeUpFleet:
    """Nodes that take their time, and a clock."""

    names: tuple[str, ...] = ("a", "b", "c")
    now_ms: int = 0
    leader: str = "b"
    process: dict[str, int] = field(default_factory=dict)
    leads: dict[str, int] = field(default_factory=dict)
    drains: dict[str, DrainSight] = field(default_factory=dict)
    up_at_ms: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    is_unsteady: bool = False

    def __post_init__(self) -> None:
        self.process = dict.fromkeys(self.names, 1)
        self.leads = {name: 4 + number for number, name in enumerate(self.names)}

    def began(self) -> Progress:
        return Progress({name: f"{name}-1" for name in self.names})

    def is_up(self, name: str) -> bool:
        return self.now_ms >= self.up_at_ms.get(name, 0)

    def sight(self) -> Sight:
        nodes = tuple(
            NodeSight(n, f"{n}-{self.process[n]}", self.is_up(n), self.leads[n], self.is_up(n))
            for n in self.names
        )
        return Sight(nodes, dict(self.drains), self.leader, 15, 15)

    def do(self, action: Action, sequence: Sequence) -> None:
        """What is asked for, and a second passes."""
        self.now_ms += LOOK_MS
        match action:
            case Drain(node):
                self.log.append(f"drain {node}")
                assert len(self.drains) == 0, "one after the other"
                self.drains[node] = DrainSight("drained", 0, self.leads[node], 0)
                heir = next(n for n in self.names if n not in self.drains)
                self.leads[heir] += self.leads[node]
                self.leads[node] = 0
                self.leader = heir if self.leader == node else self.leader
            case Stop(node):
                self.log.append(f"stop {node}")
                assert self.leads[node] == 0
                assert all(self.is_up(name) for name in self.names)
                sequence.stopped()
                self.process[node] += 1
                self.up_at_ms[node] = self.now_ms + RISE_MS
            case LetLeadFew(node):
                self.log.append(f"few {node}")
                sequence.leads_few()
                self.drains[node] = DrainSight("drained", 1, 4, 1)
                self.leads[node] = 1
            case LetLead(node):
                self.log.append(f"lead {node}")
                assert self.is_up(node)
                del self.drains[node]
            case Wait() if self.is_unsteady and sequence.progress.few_seen:
                node = str(sequence.progress.at)
                self.drains[node] = DrainSight("drained", 0, 4, 0, "canary handed back: losses")

    def run(self, limits: Limits, chance: Random | None = None) -> Action:
        """To its end; with chance, another one goes on with it now and then."""
        sequence = Sequence(limits, self.began())
        for _ in range(1_000):
            action = sequence.decide(self.sight(), self.now_ms)
            if isinstance(action, Finished | GiveUp):
                return action
            self.do(action, sequence)
            if chance is not None and chance.random() < 0.3:
                sequence = Sequence(limits, read_progress(sequence.progress.document()))
        raise AssertionError("it does not end")


def test_who_leads_least_comes_first_and_the_global_leader_last() -> None:
    fleet = MadeUpFleet()
    assert isinstance(fleet.run(Limits()), Finished)
    assert fleet.log == [
        f"{act} {node}" for node in ("a", "c", "b") for act in ("drain", "stop", "lead")
    ]
    assert fleet.process == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("seed", range(50))
def test_whoever_goes_on_with_it_nothing_is_done_twice(seed: int) -> None:
    fleet = MadeUpFleet()
    limits = Limits(canary_share=0.01, bake_ms=3_000)
    assert isinstance(fleet.run(limits, Random(seed)), Finished)
    stops = [line for line in fleet.log if line.startswith("stop")]
    assert stops == ["stop a", "stop c", "stop b"]
    assert fleet.drains == {}


def test_the_first_node_leads_a_few_shards_for_a_while_before_it_gets_more() -> None:
    fleet = MadeUpFleet()
    assert isinstance(fleet.run(Limits(canary_share=0.01, bake_ms=60_000)), Finished)
    assert fleet.log[:4] == ["drain a", "stop a", "few a", "lead a"]
    assert [line for line in fleet.log if line.startswith("few")] == ["few a"]
    assert fleet.now_ms > 60_000


def test_a_canary_that_hands_back_ends_it_and_the_node_stays_drained() -> None:
    fleet = MadeUpFleet(is_unsteady=True)
    ended = fleet.run(Limits(canary_share=0.01, bake_ms=60_000))
    assert ended == GiveUp("a: canary handed back: losses")
    assert fleet.log == ["drain a", "stop a", "few a"]
    assert [*fleet.drains] == ["a"]


def test_it_goes_on_with_another_version_after_a_canary_handed_back() -> None:
    fleet = MadeUpFleet(is_unsteady=True)
    limits = Limits(canary_share=0.01, bake_ms=60_000)
    sequence = Sequence(limits, fleet.began())
    while not isinstance(action := sequence.decide(fleet.sight(), fleet.now_ms), GiveUp):
        fleet.do(action, sequence)
    fleet.is_unsteady = False
    again = Sequence(limits, read_progress(sequence.progress.document()))
    while not isinstance(action := again.decide(fleet.sight(), fleet.now_ms), Finished):
        assert not isinstance(action, GiveUp), action
        fleet.do(action, again)
    assert fleet.log[3:5] == ["few a", "lead a"]


def test_nothing_is_begun_while_somebody_else_is_down() -> None:
    fleet = MadeUpFleet(up_at_ms={"c": 30_000})
    sequence = Sequence(Limits(patience_ms=60_000), fleet.began())
    assert sequence.decide(fleet.sight(), 0) == Wait("c not alive")
    assert sequence.decide(fleet.sight(), 60_000) == GiveUp("c not alive, for 60 s")
    fleet.now_ms = 30_000
    assert sequence.decide(fleet.sight(), 60_000) == Drain("a")


def test_shards_without_a_leader_keep_the_next_step_waiting() -> None:
    fleet = MadeUpFleet()
    sight = fleet.sight()
    unled = Sight(sight.nodes, {}, sight.leader, 15, 13)
    assert Sequence(Limits(), fleet.began()).decide(unled, 0) == Wait("2 shards without a leader")
    risen = Progress({"a": "a-0"}, at="a", step=Step.RISE)
    assert isinstance(Sequence(Limits(), risen).decide(unled, 0), Wait)


def test_a_node_that_may_not_be_stopped_is_waited_for_so_long_and_no_longer() -> None:
    sequence = Sequence(Limits(patience_ms=10_000), Progress({"a": "a-1"}, at="a", step=Step.STOP))
    assert sequence.held("the last of its region", 0) == Wait("the last of its region")
    assert sequence.held("the last of its region", 9_999) == Wait("the last of its region")
    assert isinstance(sequence.held("the last of its region", 10_000), GiveUp)


def test_a_process_that_does_not_end_is_not_waited_for_for_ever() -> None:
    fleet = MadeUpFleet()
    fleet.drains["a"] = DrainSight("drained", 0, 4, 0)
    progress = Progress({"a": "a-1"}, at="a", step=Step.STOP, told_stop=True)
    sequence = Sequence(Limits(patience_ms=10_000), progress)
    assert sequence.decide(fleet.sight(), 0) == Wait("its process ends")
    assert sequence.decide(fleet.sight(), 10_000) == GiveUp("a: its process ends, for 10 s")
    assert sequence.decide(fleet.sight(), 10_000) == Stop("a"), "whoever goes on tells it again"
