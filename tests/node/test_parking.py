"""Requests that wait for a leader: asked again in an order that is the same in every process."""

from __future__ import annotations

from typing import cast

from controlplane.machine import Effect
from controlplane.node.node import Node
from controlplane.node.parking import Parking
from controlplane.node.requests_open import OpenRequests
from controlplane.requests import Problem, Read, Refused, Request

NOBODY = Refused(Problem.NO_LEADER, "nobody leads it")


class Asking:
    """What of a node the parking needs; notes what is asked again."""

    def __init__(self) -> None:
        effects: list[Effect] = []
        self.requests = OpenRequests(effects, write_timeout_ms=5_000, read_timeout_ms=1_000)
        self.again: list[str] = []

    def resubmit(self, _number: int, request: Request, _now_ms: int) -> None:
        self.again.append(request.shard)


def test_what_there_was_news_of_first_is_asked_again_first() -> None:
    node = Asking()
    parking = Parking(cast(Node, node))
    shards = [f"global-{n}" for n in range(12)]
    for number, shard in enumerate(shards):
        node.requests.begin(number, Read(shard, ()), 0)
        parking.park(number, Read(shard, ()), NOBODY)
    for shard in reversed(shards):
        parking.changed(shard)
    parking.take_up(0)
    assert node.again == shards[::-1]
