"""A drained node is let lead a few shards first, and nothing more once it hands them back."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.machine import HomeWish
from controlplane.planning.mover import Mover
from controlplane.planning.proceedings import NodeSeen
from tests.api.fake_service import SHARDS
from tests.api.listening import Node, document, kind
from tests.api.test_drain_orders import Trio, drains, trio

__all__ = ["trio"]


async def drained(trio: Trio) -> Mover:
    """n3, which led nothing, is drained."""
    n1 = trio[0]
    assert (await n1.send("POST", "/v1/nodes/n3/drain", {})).status == 202
    mover = Mover(n1.service, n1.edge.planner)
    for _ in range(4):
        await mover.turn(0.5)
    assert (await drains(n1))[0]["state"] == "drained"
    return mover


async def undrain(node: Node, body: dict[str, Any], query: str = "") -> Any:
    return await node.send("POST", f"/v1/nodes/n3/undrain{query}", body)


async def test_a_drained_node_is_let_lead_one_shard_at_least(trio: Trio) -> None:
    await drained(trio)
    few = document(await undrain(trio[1], {"canary_share": 0.01}, "?reason=new%20version"))
    assert (few["state"], len(few["canaries"]), few["reason"]) == ("drained", 1, "new version")
    assert set(few["canaries"]) <= set(SHARDS)
    half = document(await undrain(trio[0], {"canary_share": 0.5}))
    assert len(half["canaries"]) == 3, "half of five, rounded up"
    assert set(few["canaries"]) <= set(half["canaries"])
    assert document(await undrain(trio[0], {}))["canaries"] == []
    assert await drains(trio[0]) == []


async def test_only_its_canaries_are_admitted_to_a_drained_node(trio: Trio) -> None:
    n1 = trio[0]
    mover = await drained(trio)
    few = document(await undrain(n1, {"canary_share": 0.01}))["canaries"]
    n1.service.fleet_of.lead("n2", *SHARDS)
    await mover.turn(40.0)  # it need not wait to know the fleet any more
    n1.service.wishes = wishes = tuple(HomeWish("n2", shard, "n3") for shard in SHARDS)
    await mover.turn(5.0)
    assert n1.service.let_home == [(wishes, tuple(w for w in wishes if w.shard in few))]
    seen = {n.seen.node: n.seen for n in n1.edge.planner.admission._nodes.values()}
    assert seen["n3"] == NodeSeen("n3", "eu", True, True, canaries=tuple(few))


async def test_a_node_that_hands_back_gets_no_canary_until_somebody_says_so(trio: Trio) -> None:
    n1 = trio[0]
    mover = await drained(trio)
    few = document(await undrain(n1, {"canary_share": 0.01}))["canaries"]
    n1.service.unsteady = {"n3": "losses"}
    await mover.turn(0.5)
    await mover.turn(0.5)
    (found,) = await drains(n1)
    assert (found["canaries"], found["reason"]) == ([], "canary handed back: losses")
    (event,) = [e for e in n1.service.reports if e.kind == "canary-handed-back"]
    assert event.detail == {"node": "n3", "why": "losses", "shards": len(few)}


async def test_a_trial_names_them_and_changes_nothing(trio: Trio) -> None:
    await drained(trio)
    tried = document(await undrain(trio[0], {"canary_share": 0.5}, "?dry_run=true"))
    assert (tried["dry_run"], len(tried["canaries"])) == (True, 3)
    assert (await drains(trio[0]))[0]["canaries"] == []


async def test_a_node_that_is_not_drained_has_no_canaries(trio: Trio) -> None:
    reply = await undrain(trio[0], {"canary_share": 0.01})
    assert (reply.status, kind(reply)) == (409, "drain-refused")


@pytest.mark.parametrize("share", [0, -1, 0.6, "much"])
async def test_a_share_that_makes_no_sense_is_refused(trio: Trio, share: Any) -> None:
    reply = await undrain(trio[0], {"canary_share": share})
    assert (reply.status, kind(reply)) == (400, "invalid")


async def test_a_promise_can_be_taken_back(trio: Trio) -> None:
    n1 = trio[0]
    n1.service.fleet_of.lead("n2")
    n1.service.reported, trio[1].service.reported = None, n1.service.reported

    async def stop(name: str, promise_ms: int) -> Any:
        path = f"/v1/nodes/{name}/stoppable"
        return document(await n1.send("POST", path, {"promise_ms": promise_ms}))

    assert (await stop("n3", 600_000))["stoppable"]
    assert not (await stop("n1", 600_000))["stoppable"]
    assert (await stop("n3", 0))["promised_until_wall_ms"] is None
    assert (await stop("n1", 600_000))["stoppable"]
