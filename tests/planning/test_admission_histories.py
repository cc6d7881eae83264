"""A thousand random histories of a small fleet: budgets hold, nothing is moved twice without cause,
and once trouble is over every shard comes to rest where it should be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from config.builtin import builtin_content
from config.document import Kind
from controlplane.planning.admission import Admission
from controlplane.planning.bucket import BURST_MS
from controlplane.planning.limits import limits_of
from controlplane.planning.proceedings import (
    Arrived,
    Began,
    Failed,
    Held,
    NodeSeen,
    NodesSeen,
    Reported,
)
from controlplane.planning.reasons import FOR_GOOD, MoveKind, Wanted

HISTORIES = 1_000
BATCHES = 20
STEPS = 40
SETTLE_STEPS_MAX = 400
NODES = tuple((f"{region}{n}", region) for region in ("eu", "us", "ap") for n in (1, 2))
SHARDS = tuple(f"s{n}" for n in range(8))
LIMITS = replace(
    limits_of(builtin_content(Kind.PLACEMENT)),
    in_flight_max={"node": 2, "region": 3, "group": 4, "kind": 3},
    per_minute_max={"node": 30, "region": 40, "group": 50},
    plan_per_minute_max=20.0,
    drain_per_minute_max=60.0,
    bulk_in_flight_max={"node": 1, "region": 2, "group": 2, "kind": 2},
    bulk_bytes_per_s_max=1_000_000.0,
    bulk_finish_ms_max=60_000,
    residence_ms=60_000,
    finish_ms_max=20_000,
    cool_down_ms=10_000,
    suspect_ms=15_000,
    cold_start_ms=20_000,
    brake_window_ms=120_000,
)
COPIED_BYTES = 6_000_000.0
CAUSES = (MoveKind.SAFETY, MoveKind.DRAIN, MoveKind.OPERATOR, MoveKind.SURVIVAL)
BUDGETED = (MoveKind.COST, MoveKind.BALANCE)


@dataclass
class History:
    """One fleet, and a judge beside it that keeps books of its own."""

    chance: Random
    now_ms: int = 0
    led_by: dict[str, str] = field(default_factory=dict)
    seen: dict[str, NodeSeen] = field(default_factory=dict)
    on_way: dict[str, Wanted] = field(default_factory=dict)
    moved: dict[str, tuple[int, MoveKind, str]] = field(default_factory=dict)
    begun: list[tuple[int, Wanted]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = Admission(LIMITS, 0)
        self.seen = {name: NodeSeen(name, region, True) for name, region in NODES}
        self.led_by = {shard: self.chance.choice(NODES)[0] for shard in SHARDS}
        self.look()

    def look(self) -> None:
        leads = [*self.led_by.values()]
        nodes = tuple(replace(n, leads=leads.count(n.node)) for n in self.seen.values())
        self.machine.step(NodesSeen(nodes), self.now_ms)

    def want(self, shard: str, kind: MoveKind, region: str) -> bool:
        """Ask for a move, and begin it if nothing speaks against it."""
        here = self.seen[self.led_by[shard]]
        wanted = Wanted(shard, "global", kind, here.node, here.region, region)
        if kind is MoveKind.BULK:
            wanted = replace(wanted, to_group=f"region/{region}", size_bytes=COPIED_BYTES)
        if self.machine.judge(wanted, self.now_ms) is not None:
            return False
        self.check(wanted)
        self.machine.step(Began(wanted), self.now_ms)
        self.on_way[shard] = wanted
        self.begun.append((self.now_ms, wanted))
        return True

    def check(self, wanted: Wanted) -> None:
        """What must hold of every move that is let pass."""
        targets = [n for n in self.seen.values() if n.region == wanted.to_region]
        assert any(n.is_alive and not n.is_drained for n in targets), wanted
        before = self.on_way.get(wanted.shard)
        assert before is None or before.kind.rank > wanted.kind.rank, wanted
        last_ms, why, node = self.moved.get(wanted.shard, (None, None, ""))
        comes_home = wanted.kind is MoveKind.PREFERENCE
        was_put = why not in (MoveKind.DRAIN, MoveKind.PREFERENCE) and node == wanted.from_node
        if wanted.kind not in CAUSES and last_ms is not None and (was_put or not comes_home):
            assert self.now_ms - last_ms >= LIMITS.residence_ms, wanted
        if wanted.kind is MoveKind.SAFETY:
            return
        others = [w for s, w in self.on_way.items() if s != wanted.shard]
        assert sum(w.from_node == wanted.from_node for w in others) < LIMITS.in_flight_max["node"]
        assert sum(w.kind is wanted.kind for w in others) < LIMITS.in_flight_max["kind"]
        for end in ("from_region", "to_region"):
            at_end = sum(getattr(w, end) == getattr(wanted, end) for w in others)
            assert at_end < LIMITS.in_flight_max["region"], wanted
        if wanted.kind is MoveKind.BULK:
            most = LIMITS.bulk_in_flight_max
            copied = [w for w in others if w.kind is MoveKind.BULK]
            assert len(copied) < most["kind"]
            assert all(w.from_node != wanted.from_node for w in copied)
            assert sum(w.to_group == wanted.to_group for w in copied) < most["group"]
            assert self.is_copied_slowly()
        assert wanted.kind not in BUDGETED or self.is_within_budget()

    def is_within_budget(self) -> bool:
        """One more move of a plan now, in no window more than is allowed in it."""
        times = [at for at, wanted in self.begun if wanted.kind in BUDGETED] + [self.now_ms]
        per_ms = LIMITS.plan_per_minute_max / 60_000
        burst = max(1.0, LIMITS.plan_per_minute_max / 12)
        return all(
            len(times) - first <= burst + (self.now_ms - began) * per_ms + 1e-6
            for first, began in enumerate(times)
        )

    def is_copied_slowly(self) -> bool:
        """One more copy now: all before are paid for in bytes, but for what may be saved up."""
        times = [at for at, wanted in self.begun if wanted.kind is MoveKind.BULK]
        saved = BURST_MS / 1_000 * LIMITS.bulk_bytes_per_s_max
        return all(
            (len(times) - first) * COPIED_BYTES
            <= saved + (self.now_ms - began) / 1_000 * LIMITS.bulk_bytes_per_s_max + 1.0
            for first, began in enumerate(times)
        )

    def settle(self, shard: str) -> None:
        """A shard that is on its way arrives."""
        wanted = self.on_way.pop(shard)
        heirs = [
            n.node for n in self.seen.values()
            if n.region == wanted.to_region and n.is_alive and not n.is_drained
        ]  # fmt: skip
        if not heirs:
            self.machine.step(Failed(shard), self.now_ms)
            return
        self.led_by[shard] = min(heirs, key=self.machine.score)
        self.machine.step(Arrived(shard, self.led_by[shard]), self.now_ms)
        self.moved[shard] = (self.now_ms, wanted.kind, self.led_by[shard])

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.machine.advance(self.now_ms)
        for ended in self.machine.take():
            if self.on_way.get(ended.wanted.shard) == ended.wanted:
                del self.on_way[ended.wanted.shard]

    def trouble(self) -> None:
        """One random thing."""
        chance, node = self.chance, self.chance.choice(NODES)[0]
        match chance.randrange(8):
            case 0:
                seen = self.seen[node]
                self.seen[node] = replace(seen, is_alive=not seen.is_alive)
            case 1:
                seen = self.seen[node]
                self.seen[node] = replace(seen, is_drained=not seen.is_drained)
            case 2:
                until_ms = self.now_ms + chance.randrange(1, 20_000)
                self.machine.step(Held(chance.choice((None, until_ms))), self.now_ms)
            case 3:
                self.machine.step(Reported(), self.now_ms)
            case 4 | 5 if self.on_way:
                shard = chance.choice(sorted(self.on_way))
                if chance.random() < 0.8:
                    self.settle(shard)
                else:
                    del self.on_way[shard]
                    self.machine.step(Failed(shard), self.now_ms)
            case _:
                kind = chance.choice([*MoveKind])
                self.want(chance.choice(SHARDS), kind, chance.choice(("eu", "us", "ap")))
        self.look()

    def calm(self, homes: dict[str, str]) -> int:
        """Nothing goes wrong any more: how many steps until every shard is at home."""
        self.seen = {n: replace(s, is_alive=True, is_drained=False) for n, s in self.seen.items()}
        self.machine.step(Held(None), self.now_ms)
        self.machine.step(Reported(), self.now_ms)
        self.look()
        for step in range(SETTLE_STEPS_MAX):
            for shard in list(self.on_way):
                self.settle(shard)
            away = [s for s in SHARDS if self.seen[self.led_by[s]].region != homes[s]]
            if not away:
                return step
            for shard in away:
                self.want(shard, MoveKind.COST, homes[shard])
            self.pass_ms(2_000)
        raise AssertionError("it does not come to rest")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_histories_keep_to_their_budgets_and_come_to_rest(batch: int) -> None:
    moved, braked = 0, set()
    for number in range(HISTORIES // BATCHES):
        history = History(Random(f"{batch}/{number}"))
        for _ in range(STEPS):
            history.trouble()
            history.pass_ms(history.chance.randrange(0, 4_000))
            braked.add(history.machine.is_braked)
        homes = {shard: history.chance.choice(("eu", "us", "ap")) for shard in SHARDS}
        history.calm(homes)
        at_rest = len(history.begun)
        history.pass_ms(LIMITS.residence_ms)
        history.calm(homes)
        assert len(history.begun) == at_rest, "at rest, nothing moves"
        moved += at_rest
    assert moved > 5 * HISTORIES // BATCHES, "much was moved"
    assert braked == {False, True}, "the brake was pulled now and then"


def test_what_waits_for_good_is_never_let_pass_later() -> None:
    """A shard in its residence is refused for good: its plan is to be made anew."""
    history = History(Random("again"))
    history.machine.step(Reported(), 0)
    history.pass_ms(10_000)
    assert history.want("s0", MoveKind.COST, "us")
    history.settle("s0")
    here = history.seen[history.led_by["s0"]]
    wanted = Wanted("s0", "global", MoveKind.COST, here.node, here.region, "eu")
    assert history.machine.judge(wanted, history.now_ms) in FOR_GOOD
