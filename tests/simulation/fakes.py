"""Small nodes for tests of the simulator itself: they do little, and show all they were told."""

from collections.abc import Callable
from typing import Any

from controlplane.machine import (
    Answer,
    Answered,
    Call,
    Connected,
    Disconnected,
    Effect,
    Event,
    Requested,
)
from controlplane.node_plan import NodePlan
from controlplane.requests import ChangeStores, Found, Problem, Provenance, Read, Refused, Role
from controlplane.simulator.process import Claim
from controlplane.simulator.scenario import GroupShape, Scenario
from controlplane.views import ShardView
from regions.codec import FORMAT

EVERY_MS = 50


def small_scenario(**changes: Any) -> Scenario:
    """Two nodes, three stores, one shard, nothing random."""
    fields: dict[str, Any] = {
        "name": "small",
        "nodes": (("n1", "eu"), ("n2", "eu")),
        "stores": (("s1", "eu"), ("s2", "eu"), ("s3", "eu")),
        "groups": (GroupShape("global", ("s1", "s2", "s3"), (), 600, ("eu",), 1),),
        "drift_ppm_max": 0,
        "jitter": 0.0,
        "loss": 0.0,
    }
    return Scenario(**fields | changes)


class FakeNode:
    """Registers one session after the other at every store, and refuses or answers all requests."""

    def __init__(self, plan: NodePlan, draw: Callable[[], float], now_ms: int) -> None:
        self.plan = plan
        self.draw = draw
        self.deadline_ms = now_ms + EVERY_MS
        self.events: list[tuple[int, Event]] = []
        self.effects: list[Effect] = []
        self.advanced_ms: list[int] = []
        self.generations: dict[str, int] = {}
        self.sent = 0
        self.claims: list[Claim] = []
        self.map_version = 0

    def step(self, event: Event, now_ms: int) -> None:
        self.events.append((now_ms, event))
        match event:
            case Connected(store, generation):
                self.generations[store] = generation
            case Disconnected(store):
                self.generations.pop(store, None)
            case Requested(number, Read(shard)):
                origin = Provenance(shard, 1, 0, 0, Role.LEADER, "s1")
                self.effects.append(Answer(number, Found((), origin)))
            case Requested(number):
                self.effects.append(Answer(number, Refused(Problem.NO_LEADER, "a fake")))

    def advance(self, now_ms: int) -> None:
        self.advanced_ms.append(now_ms)
        self.deadline_ms = now_ms + EVERY_MS
        for store in self.generations:
            self.register(store)

    def change_stores(self, order: ChangeStores, now_ms: int, *, begin: bool) -> Refused:
        return Refused(Problem.NOT_CHANGED, "a fake")

    def register(self, store: str, incarnation: str | None = None) -> None:
        """Have a session made known to a store with the next effects."""
        self.sent += 1
        generation = self.generations[store]
        if incarnation is None:
            (incarnation,) = [s.incarnation for s in self.plan.groups[0].voters if s.store == store]
        sid = f"{self.plan.process}/{self.sent}"
        command = ["register", "global", 1, sid, self.plan.node, self.plan.region, ""]
        header = [FORMAT, incarnation, self.plan.process, generation]
        self.effects.append(Call(store, generation, header, [command]))

    def take(self, now_ms: int) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def lease_claims(self, now_ms: int) -> list[Claim]:
        return self.claims

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        return ()

    def codes(self, store: str) -> list[str]:
        """Codes of all answers of a store, as they came."""
        return [
            event.reply.code
            for _, event in self.events
            if isinstance(event, Answered) and event.store == store
        ]
