"""A better placed node takes a shard over on purpose; others are refused, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from config.revision import Revision
from controlplane.requests import Transfer
from tests.api.listening import Fleet, Node, document, kind
from tests.config.sample_fleet import put

PREEMPT = "/v1/shards/s0/preempt"
Trio = tuple[Node, Node, Node]


@pytest.fixture
async def trio(fleet: Fleet) -> Trio:
    """n1 and n3 in eu, which every shard prefers, n2 in us; n2 leads s0, n1 all else."""
    started = (
        await fleet.node("n1", "eu"), await fleet.node("n2", "us"), await fleet.node("n3", "eu"),
    )  # fmt: skip
    fleet.fake.lead("n1")
    fleet.fake.lead("n2", "s0")
    return started


async def refusal(node: Node, body: dict[str, Any]) -> str:
    reply = await node.send("POST", PREEMPT, body)
    assert (reply.status, kind(reply)) == (409, "move-refused"), reply
    return str(document(reply)["reason"])


def leader_of(node: Node) -> str | None:
    return node.service.fleet_of.shards["s0"].leader


@pytest.mark.parametrize("asked", [0, 1, 2])
async def test_a_better_placed_node_takes_it_over(trio: Trio, asked: int) -> None:
    n1, n2, _ = trio
    reply = await trio[asked].send("POST", PREEMPT + "?reason=nearer", {"by": "n3"})
    assert reply.status == 200, reply
    assert document(reply)["to_node"] == "n3"
    assert n2.service.asked == [Transfer("s0", "n3", "operator", "nearer")]
    assert leader_of(n1) == "n3"


async def test_without_a_name_the_best_placed_one_does(trio: Trio) -> None:
    n1, n2, n3 = trio
    n1.service.suspect = True
    assert document(await n2.send("POST", PREEMPT, {}))["to_node"] == "n3"
    assert await refusal(n3, {}) == "not-better"


async def test_one_that_is_not_placed_better_is_refused(trio: Trio) -> None:
    n1, _, _ = trio
    n1.service.fleet_of.lead("n1", "s0")
    assert await refusal(n1, {"by": "n2"}) == "not-better"
    assert await refusal(n1, {"by": "n3"}) == "not-better", "as good is not better"
    assert leader_of(n1) == "n1"


async def test_a_suspect_is_refused(trio: Trio) -> None:
    n1, _, n3 = trio
    n3.service.suspect = True
    assert await refusal(n1, {"by": "n3"}) == "suspect"
    assert leader_of(n1) == "n2"


async def test_a_shard_that_is_pinned_goes_to_the_node_it_is_pinned_to_alone(trio: Trio) -> None:
    n1, _, _ = trio
    for service in n1.service.fleet_of.nodes.values():
        content = {"pins": [{"shard": "s0", "node": "n3"}]}
        assert isinstance(put(service.feed, "constraints", content), Revision)
    assert await refusal(n1, {"by": "n1"}) == "pinned"
    for service in n1.service.fleet_of.nodes.values():
        service.continued = {"s0": ("s7",)}
        content = {"pins": [{"shard": "s7", "node": "n3"}]}
        assert isinstance(put(service.feed, "constraints", content), Revision)
    assert await refusal(n1, {"by": "n1"}) == "pinned", "as the shard was that it continues"
    assert document(await n1.send("POST", PREEMPT, {}))["to_node"] == "n3"


async def test_a_dry_run_says_who_would_and_does_nothing(trio: Trio) -> None:
    n1, n2, _ = trio
    tried = document(await n2.send("POST", PREEMPT + "?dry_run=true", {"by": "n3"}))
    assert (tried["dry_run"], tried["from_node"], tried["to_node"]) == (True, "n2", "n3")
    assert leader_of(n1) == "n2"
