"""A rollout with its leader, in a fleet in memory whose nodes do what their targets say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from config.document import canonical
from config.effect import EVERYWHERE, read_target, target_key
from config.gate import Look, Verdict
from config.revision import Revision
from config.rollout import Rollout
from config.rollout_record import read_rollout, rollout_key
from config.rollout_step import Ack
from config.strategy import DEFAULTS, Strategy, StrategyName
from controlplane.rollouts.beginning import Beginnings, Wish
from controlplane.rollouts.leading import Gates, RolloutLeader
from tests.api.fake_service import FakeFleet

NOON_MS = 1_764_417_600_000
"""Saturday, 29 November 2025, 12:00 UTC."""
OLD, NEW = (Revision("flags", n, canonical({"n": n})) for n in (1, 2))


class GatesOnTest:
    """Say the same of everything, when there is something to be asked."""

    def __init__(self) -> None:
        self.verdict = Verdict.PASS

    async def look(self, rollout: Rollout, now_ms: int) -> Look | None:
        return Look(self.verdict)

    def forget(self, numbers: Collection[int]) -> None:
        """There is nothing to be forgotten."""

    def noted(self, rollout: Rollout) -> Rollout:
        return rollout


def strategy(name: StrategyName, **more: Any) -> Strategy:
    """A strategy whose bakes take ten seconds."""
    return replace(DEFAULTS[name], **{"bake_ms": 10_000, "final_bake_ms": 10_000, **more})


class Stage:
    """Nodes in the regions eu, us and ap; the one in eu is the global leader."""

    def __init__(self, gates: Gates | None = None, nodes: int = 1) -> None:
        self.fleet = FakeFleet()
        for region in ("eu", "us", "ap"):
            for number in range(1, nodes + 1):
                self.fleet.add(f"{region}-{number}", region)
        self.fleet.lead("eu-1")
        self.service = self.fleet.nodes["eu-1"]
        self.wall_ms = NOON_MS
        self.own = GatesOnTest()
        self.gates: Gates = gates or self.own
        self.leader = self.another_leader()
        self.deaf: set[str] = set()  # nodes that do not hear of their targets

    def another_leader(self) -> RolloutLeader:
        """A process that knows what was written, and nothing else."""
        return RolloutLeader(self.service, self.gates, lambda: self.wall_ms / 1_000)

    def edit(self, name: str, content: Any) -> None:
        """Have a document in force at the leader."""
        before = self.service.feed.latest(name)
        version = 1 if before is None else before.version + 1
        gone = content is None
        data = b"" if gone else canonical(content)
        self.service.feed.apply(Revision(name, version, data, deleted=gone))

    async def begin(self, revision: Revision, how: Strategy, **more: Any) -> int:
        """A rollout is ordered."""
        gathered = self.service.gathered()
        assert gathered is not None
        wish = Wish(how, "ann", "a test", self.wall_ms, **more)
        return (await Beginnings(self.service, gathered).begin(revision, wish)).id

    async def turn(self, seconds: float = 0.25) -> None:
        """Time passes, nodes do what they are told, and the leader goes on."""
        self.wall_ms += round(seconds * 1_000)
        self._obey()
        await self.leader.turn(seconds)

    async def until(self, number: int, done: Callable[[Rollout], bool], turns: int = 400) -> int:
        """Turns of a quarter of a second until a rollout is so; how many it took."""
        for count in range(turns):
            if done(self.rollout(number)):
                return count
            await self.turn()
        raise AssertionError(self.rollout(number))

    def rollout(self, number: int) -> Rollout:
        """Its record."""
        return read_rollout(self.fleet.shards["system"].values[rollout_key(number)][1].data)

    def runs(self, node: str) -> int:
        """The version of flags that a node is to run."""
        values, region = self.fleet.shards["system"].values, self.fleet.nodes[node].region
        for place in (region, EVERYWHERE):
            if (found := values.get(target_key("flags", place))) is not None:
                return read_target(found[1].data).at("flags", node).version
        return 0

    def _obey(self) -> None:
        values = self.fleet.shards["system"].values
        for node, each in self.fleet.nodes.items():
            for name in ("flags", "rollouts", "other"):
                found = values.get(target_key(name, each.region))
                if found is not None and each.alive and node not in self.deaf:
                    at = read_target(found[1].data).at(name, node)
                    ack = Ack(at.version, at.digest, at.step)
                    self.service.said[name, at.rollout, node] = ack


async def breathe() -> None:
    """Let tasks that nobody waits for go on."""
    for _ in range(5):
        await asyncio.sleep(0)
