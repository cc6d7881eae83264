"""Random loads over hours: no key is resharded twice in a cool-down, and steady load rests.

The fleet is a model: keys with a load each, shards that are ranges of their slots, leaders that are
silent at times, orders that are refused at times. A judge beside it keeps books of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from config.builtin import builtin_content
from config.document import Kind as DocumentKind
from controlplane.planning.admission import Admission
from controlplane.planning.limits import limits_of
from controlplane.planning.load_orders import LoadOrders
from controlplane.planning.proceedings import NodeSeen, NodesSeen, Reported
from controlplane.planning.splitting import PRINCIPAL, Due, ShardSeen
from shards.heat import Heat, best_cut
from shards.keyspace import SLOTS, slot_of
from shards.resharding import Kind, Part, Phase

HISTORIES = 6
LOOKS = 225
SETTLE_LOOKS = 150
CALM_EVERY = 75
LOOK_MS = 5_000
POLICY: dict[str, Any] = {
    "requests_per_s": 100, "write_bytes_per_s": 100_000, "after_ms": 15_000, "cool_down_ms": 90_000,
    "merge": {"requests_per_s": 25, "after_ms": 60_000, "shards_min": 2},
}  # fmt: skip
KEYS = tuple(f"k{n}" for n in range(30))
SLOT = {key: slot_of(key) for key in KEYS}
LIMITS = replace(
    limits_of(builtin_content(DocumentKind.PLACEMENT)),
    in_flight_max={"node": 2, "region": 3, "group": 3, "kind": 3},
)


@dataclass
class Range:
    """A shard of the model."""

    first_slot: int
    end_slot: int
    made_ms: int | None = None
    busy_until_ms: int = 0


@dataclass
class History:
    """One fleet under one random load."""

    chance: Random
    now_ms: int = 0
    names: int = 1
    ranges: dict[str, Range] = field(default_factory=lambda: {"s0": Range(0, SLOTS)})
    loads: dict[str, tuple[float, float]] = field(default_factory=dict)
    under_way: list[tuple[int, Due]] = field(default_factory=list)
    given: list[tuple[int, Due]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin_anew()
        for key in KEYS:
            self.loads[key] = (self.chance.expovariate(0.2), 0.0)

    def begin_anew(self) -> None:
        """Another global leader."""
        self.orders = LoadOrders()
        self.admission = Admission(LIMITS, self.now_ms)
        self.admission.step(NodesSeen((NodeSeen("n1", "eu", True),)), self.now_ms)
        self.admission.step(Reported(), self.now_ms)

    def heat_of(self, at: Range) -> Heat:
        here = {
            key: load for key, load in self.loads.items()
            if at.first_slot <= SLOT[key] < at.end_slot
        }  # fmt: skip
        weights = [(key, round(100 * load)) for key, (load, _) in here.items()]
        sizes = [(key, round(size)) for key, (_, size) in here.items()]
        requests = sum(load for load, _ in here.values())
        written = sum(size for _, size in here.values())
        return Heat(requests, written, 0, best_cut(weights), best_cut(sizes))

    def seen(self) -> list[ShardSeen]:
        return [
            ShardSeen(
                name, "g", at.first_slot, at.end_slot, "n1", "eu",
                None if self.silent(name) else self.heat_of(at), (), at.made_ms,
                self.now_ms < at.busy_until_ms,
            )
            for name, at in self.ranges.items()
        ]  # fmt: skip

    def silent(self, _name: str) -> bool:
        return self.trouble and self.chance.random() < 0.02

    trouble = True

    def look(self) -> None:
        """A look, and what comes of it."""
        self.now_ms += LOOK_MS
        records = [
            (PRINCIPAL, Phase.DRAFTING, tuple(_part(each) for each in due.parents))
            for _, due in self.under_way
        ]
        self.admission.advance(self.now_ms)
        dues = self.orders.due(POLICY, self.seen(), records, 1, self.admission, self.now_ms)
        self.told += [each.shard for each in self.orders.splitting.take()]
        assert len(self.admission.on_way) <= LIMITS.in_flight_max["group"]
        for due in dues:
            self.judge(due)
            if self.trouble and self.chance.random() < 0.2:
                self.orders.refused(due, POLICY, self.admission, self.now_ms)
                continue
            self.given.append((self.now_ms, due))
            ends_ms = self.now_ms + self.chance.choice((0, LOOK_MS, 3 * LOOK_MS))
            self.under_way.append((ends_ms, due))
            for parent in due.parents:
                self.ranges[parent.shard].busy_until_ms = ends_ms + 1
        for ends_ms, due in list(self.under_way):
            if ends_ms <= self.now_ms:
                self.under_way.remove((ends_ms, due))
                self.switch(due)

    def judge(self, due: Due) -> None:
        """No part of the keys that was resharded within a cool-down, and no load that is not so."""
        first = min(parent.first_slot for parent in due.parents)
        end = max(parent.end_slot for parent in due.parents)
        for at_ms, before in self.given:
            if self.now_ms - at_ms < POLICY["cool_down_ms"]:
                apart = all(
                    each.end_slot <= first or each.first_slot >= end for each in before.parents
                )
                assert apart, f"{due.order} after {before.order}"
        together = self.heat_of(Range(first, end))
        hot = max(together.requests_per_s / 100, together.write_bytes_per_s / 100_000)
        assert hot >= 0.8 if due.order.kind is Kind.SPLIT else hot <= 0.25 + 1e-9

    def switch(self, due: Due) -> None:
        """The children take their parents' place."""
        parents = [self.ranges.pop(parent.shard) for parent in due.parents]
        edges = [parents[0].first_slot, parents[-1].end_slot]
        if due.order.at is not None:
            edges.insert(1, due.order.at)
        ordered_ms = next(at for at, given in self.given if given is due)
        for first, end in itertools.pairwise(edges):
            assert first < end
            self.ranges[f"s{self.names}"] = Range(first, end, ordered_ms)
            self.names += 1

    def weather(self, number: int) -> None:
        """The load changes; now and then nearly all of it goes for a while."""
        if number // CALM_EVERY % 2:
            self.loads = {key: (0.1 * self.chance.random(), 0.0) for key in KEYS}
            return
        for key in self.chance.sample(sorted(self.loads), 3):
            load = self.chance.choice((0.0, 1.0, 5.0, 20.0, 90.0, 300.0))
            self.loads[key] = (load, self.chance.choice((0.0, 0.0, 50_000.0)))


def _part(seen: ShardSeen) -> Part:
    return Part(seen.shard, seen.group, seen.first_slot, seen.end_slot, ())


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_no_history_of_loads_makes_shards_flap_and_a_steady_one_comes_to_rest(seed: int) -> None:
    history = History(Random(seed))
    for number in range(LOOKS):
        if number % 10 == 0:
            history.weather(number)
        if history.chance.random() < 0.01:
            history.begin_anew()
        history.look()
    history.trouble = False
    for _ in range(SETTLE_LOOKS):
        history.look()
    before, told = len(history.given), len(history.told)
    for _ in range(LOOKS):
        history.look()
    assert (len(history.given), len(history.told)) == (before, told), "steady load comes to rest"
    stuck = {each.shard for each in history.orders.splitting.hot_partitions}
    for name, at in history.ranges.items():
        hot = history.heat_of(at)
        if hot.requests_per_s >= 100 or hot.write_bytes_per_s >= 100_000:
            assert name in stuck, f"{name} is hot, and neither split nor told"


def test_histories_do_split_and_merge() -> None:
    kinds = {Kind.SPLIT: 0, Kind.MERGE: 0}
    for seed in range(5):
        history = History(Random(seed))
        for number in range(LOOKS):
            if number % 10 == 0:
                history.weather(number)
            history.look()
        for _, due in history.given:
            kinds[due.order.kind] += 1
    assert min(kinds.values()) > 3, kinds
