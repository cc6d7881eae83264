"""Leave to hand a shard home: asked for, given, waited for in vain."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controlplane.machine import HomeWish, Tell
from controlplane.node.homecoming import ASK_EVERY_MS, LEAVE_MS, PATIENCE_MS, Homecoming
from controlplane.node.node import Node
from controlplane.requests import LeaderHint

LEADER = LeaderHint("g", "eu", "http://g", 3)


@dataclass
class Seat:
    """One node as far as this needs it."""

    name: str
    leader: LeaderHint | None = LEADER
    woken: int = 0
    out: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = SimpleNamespace(
            plan=SimpleNamespace(node=self.name),
            census=SimpleNamespace(global_leader=lambda: self.leader),
            rebalance=SimpleNamespace(wake=self._wake),
            out=self.out,
        )
        self.home = Homecoming(cast("Node", node))

    def _wake(self, now_ms: int) -> None:
        self.woken += 1

    def ask(self, shard: str, to_node: str, now_ms: int) -> bool:
        may = self.home.may_go(shard, to_node, now_ms)
        self.home.send(now_ms)
        return may


def leave(*rows: list[str]) -> dict[str, Any]:
    return {"kind": "home-leave", "rows": [*rows]}


def test_leave_is_asked_for_and_holds_for_that_node_once() -> None:
    seat = Seat("n1")
    assert not seat.ask("a", "n2", 1_000)
    assert seat.out == [Tell("g", {"kind": "home-wish", "rows": [["a", "n2"]]})]
    seat.home.answered(leave(["a", "n3"], ["b", "n2"]), 1_100)
    assert not seat.ask("a", "n2", 1_200), "that was another one"
    seat.home.answered(leave(["a", "n2"]), 1_300)
    assert seat.woken == 1
    assert not seat.ask("a", "n4", 1_300)
    seat.home.answered(leave(["a", "n4"]), 1_400)
    assert seat.ask("a", "n4", 1_500)
    assert not seat.ask("a", "n4", 1_600)


def test_leave_does_not_hold_for_ever() -> None:
    seat = Seat("n1")
    seat.ask("a", "n2", 0)
    seat.home.answered(leave(["a", "n2"]), 0)
    assert not seat.ask("a", "n2", LEAVE_MS)


def test_who_is_not_let_go_asks_again_now_and_then() -> None:
    seat = Seat("n1")
    for now_ms in range(0, 20_000, 500):
        assert not seat.ask("a", "n2", now_ms)
        seat.home.answered(leave(), now_ms)
    assert len(seat.out) == 20_000 // ASK_EVERY_MS


def test_nothing_hangs_on_a_global_leader_that_is_not_there_or_says_nothing() -> None:
    alone = Seat("n1", leader=None)
    assert alone.ask("a", "n2", 0)
    seat = Seat("n1")
    answers = [seat.ask("a", "n2", now_ms) for now_ms in range(0, PATIENCE_MS + 1_000, 1_000)]
    assert answers == [False] * (PATIENCE_MS // 1_000) + [True]
    assert seat.ask("b", "n2", PATIENCE_MS + 1_000), "the next one need not wait"
    seat.home.answered(leave(), PATIENCE_MS + 2_000)
    assert not seat.ask("c", "n2", PATIENCE_MS + 3_000)


def test_the_global_leader_answers_each_with_what_may_go() -> None:
    seat = Seat("g")
    for asker, shard in (("n1", "a"), ("n1", "b"), ("n2", "c")):
        seat.home.heard(asker, {"rows": [[shard, "n3"]]})
    assert not seat.ask("d", "n3", 0), "of itself it asks as well"
    wishes = seat.home.take()
    assert [(w.asker, w.shard) for w in wishes] == [
        ("n1", "a"), ("n1", "b"), ("n2", "c"), ("g", "d"),
    ]  # fmt: skip
    assert seat.home.take() == ()
    seat.home.judged(wishes, [wishes[1], wishes[3]], 0)
    assert seat.out == [Tell("n1", leave(["b", "n3"])), Tell("n2", leave())]
    assert seat.ask("d", "n3", 0)


@pytest.mark.parametrize("rows", [None, 7, "a", [7], [["a"]], [["a", 7]], [["a", "b", "c"]]])
def test_what_has_not_the_shape_of_a_message_is_ignored(rows: Any) -> None:
    seat = Seat("g")
    seat.home.heard("n1", {"rows": rows})
    seat.home.answered({"rows": rows}, 0)
    assert seat.home.take() == ()
    seat.home.judged([HomeWish("n1", "a", "n2")], [], 0)
    assert seat.out == [Tell("n1", leave())]


def test_an_answer_that_was_lost_long_ago_is_no_leave_now() -> None:
    seat = Seat("n1")
    seat.ask("a", "n2", 0)
    for now_ms in range(1_000, 2 * LEAVE_MS, 1_000):
        seat.home.send(now_ms)
    assert not seat.ask("b", "n2", 2 * LEAVE_MS)


def test_what_may_go_is_named_so_that_it_is_looked_at_first() -> None:
    seat = Seat("n1")
    for shard in ("b", "a", "c"):
        seat.ask(shard, "n2", 0)
    seat.home.answered(leave(["b", "n2"], ["a", "n2"]), 100)
    assert seat.home.with_leave(200) == ["a", "b"]
    assert seat.home.with_leave(100 + LEAVE_MS) == []
