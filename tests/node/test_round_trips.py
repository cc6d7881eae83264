"""Ways between regions are measured by whoever is awake, and by nobody who sleeps."""

import json
from dataclasses import dataclass, field, replace

from controlplane.machine import Tell, Told
from controlplane.node import Node
from controlplane.node.round_trips import ANSWER_MS_MAX, ASK_EVERY_MS, SAMPLES_KEPT
from controlplane.node_plan import NodePlan, PeerPlan
from regions.latency import SAMPLES_TRUSTED

REGIONS = {"n-eu": "eu", "n-us": "us", "n-ap": "ap"}


@dataclass
class Ways:
    """Nodes without stores, and messages that take their time between them."""

    now_ms: int = 1_000
    one_way_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    flying: list[tuple[int, str, Told]] = field(default_factory=list)
    asleep_until_ms: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {name: self._node(name) for name in REGIONS}

    def _node(self, name: str) -> Node:
        peers = tuple(PeerPlan(n, r, f"//{n}") for n, r in REGIONS.items() if n != name)
        rtt_ms = {(a, b): 60.0 for a in REGIONS.values() for b in REGIONS.values()}
        plan = NodePlan(name, REGIONS[name], "", f"{name}-1", (), peers, ())
        return Node(replace(plan, region_rtt_ms=rtt_ms), lambda: 0.5, self.now_ms)

    def run(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms += 1
            for name, node in self.nodes.items():
                if self.now_ms >= self.asleep_until_ms.get(name, 0):
                    self._turn(name, node)

    def _turn(self, name: str, node: Node) -> None:
        due = [f for f in self.flying if f[1] == name and f[0] <= self.now_ms]
        self.flying = [f for f in self.flying if f not in due]
        for _, _, told in due:
            node.step(told, self.now_ms)
        if node.deadline_ms <= self.now_ms:
            node.advance(self.now_ms)
        for effect in node.take(self.now_ms):
            if isinstance(effect, Tell):
                ways = (REGIONS[name], REGIONS[effect.node])
                at_ms = self.now_ms + self.one_way_ms.get(ways, 20)
                message = json.loads(json.dumps(effect.message))
                self.flying.append((at_ms, effect.node, Told(name, message)))

    def p50(self, node: str, region: str) -> float:
        return self.nodes[node].round_trips.measured()[region].p50_ms


def test_every_region_is_measured_there_and_back() -> None:
    ways = Ways(one_way_ms={("eu", "us"): 45, ("us", "eu"): 55, ("eu", "ap"): 110})
    ways.run(20 * ASK_EVERY_MS)
    assert (ways.p50("n-eu", "us"), ways.p50("n-us", "eu")) == (100, 100)
    assert ways.p50("n-eu", "ap") == 130
    assert ways.p50("n-us", "ap") == 40


def test_too_few_samples_say_nothing() -> None:
    ways = Ways()
    ways.run((SAMPLES_TRUSTED - 1) * ASK_EVERY_MS)
    assert ways.nodes["n-eu"].round_trips.measured() == {}


def test_a_way_that_became_longer_is_seen_within_half_a_minute() -> None:
    ways = Ways()
    ways.run(60 * ASK_EVERY_MS)
    ways.one_way_ms = {("eu", "us"): 95, ("us", "eu"): 95}
    ways.run(SAMPLES_KEPT // 2 * ASK_EVERY_MS + 2_000)
    assert ways.p50("n-eu", "us") == 190


def test_whoever_sleeps_does_not_count_its_pause_and_nor_do_the_others() -> None:
    """Both are paused again and again, for longer than they are awake."""
    ways = Ways()
    for at in range(120):
        sleeper = ("n-eu", "n-us")[at % 2]
        ways.asleep_until_ms[sleeper] = ways.now_ms + 700
        ways.run(1_013)
    for node, region in (("n-eu", "us"), ("n-us", "eu"), ("n-ap", "eu"), ("n-ap", "us")):
        measured = ways.nodes[node].round_trips.measured().get(region)
        assert measured is None or measured.p99_ms == 40, (node, region, measured)
    assert ways.p50("n-ap", "eu") == 40


def test_an_answer_that_comes_too_late_or_from_another_is_none() -> None:
    ways = Ways()
    ways.run(20 * ASK_EVERY_MS)
    ways.one_way_ms = {("eu", "us"): ANSWER_MS_MAX, ("us", "eu"): ANSWER_MS_MAX}
    ways.run(40 * ASK_EVERY_MS)
    assert ways.nodes["n-eu"].round_trips.measured()["us"].p99_ms == 40
    trips = ways.nodes["n-eu"].round_trips
    before = trips.measured()["us"].samples
    for number in range(200):
        trips.answered("n-ap", {"number": number, "late": False}, ways.now_ms)
        trips.answered("n-us", {"number": str(number), "late": False}, ways.now_ms)
    assert trips.measured()["us"].samples == before
