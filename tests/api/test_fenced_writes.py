"""Writes that a node led and could not confirm: told by that node, whoever is asked."""

from __future__ import annotations

from dataclasses import replace

from controlplane.node.fenced_writes import FencedChange, FencedWrite
from controlplane.requests import Fate, Problem, Refused, Request, Trace, Traced
from tests.api.listening import Node, document, kind

LOST = FencedWrite(
    1, "s0", 2, 7, 4711, "op-1", "digest", "fenced", 1_700_000_000_000,
    (FencedChange("a", "a", b"v"), FencedChange("b", "b", None)), 90,
)  # fmt: skip


async def test_they_are_listed_with_what_became_of_them_and_without_values(
    pair: tuple[Node, Node],
) -> None:
    leader, follower = pair
    leader.service.fenced = (LOST, replace(LOST, number=2))
    for node in pair:  # the one asked passes it on
        listed = document(await node.get("/v1/nodes/n1/fenced-writes?limit=1"))
        (row,) = listed["items"]
        assert (row["number"], row["shard"], row["epoch"], row["fate"]) == (1, "s0", 2, "replaced")
        assert [change["value_base64"] for change in row["changes"]] == [None, None]
        assert [change["deletes"] for change in row["changes"]] == [False, True]
        rest = document(
            await node.get(f"/v1/nodes/n1/fenced-writes?limit=1&continue={listed['continue']}")
        )
        assert [row["number"] for row in rest["items"]] == [2]
    assert document(await leader.get("/v1/nodes/n2/fenced-writes"))["items"] == []
    assert follower.service.asked == []


async def test_one_is_shown_with_its_values(pair: tuple[Node, Node]) -> None:
    leader, _ = pair
    leader.service.fenced = (LOST,)

    def kept(request: Request) -> Traced:
        assert request == Trace("s0", 7, 2, 4711, "op-1")
        return Traced("s0", Fate.KEPT, 7)

    leader.service.answer = kept
    row = document(await leader.get("/v1/nodes/n1/fenced-writes/1"))
    assert (row["fate"], row["position"], row["changes"][0]["value_base64"]) == ("kept", 7, "dg==")


async def test_what_nobody_can_tell_is_unknown(pair: tuple[Node, Node]) -> None:
    leader, _ = pair
    leader.service.fenced = (LOST,)
    leader.service.answer = lambda request: Refused(Problem.NO_QUORUM, "no store has come so far")
    row = document(await leader.get("/v1/nodes/n1/fenced-writes/1"))
    assert (row["fate"], row["position"]) == ("unknown", None)


async def test_what_is_not_there_is_refused(pair: tuple[Node, Node]) -> None:
    for node in pair:
        nobody = await node.get("/v1/nodes/n9/fenced-writes")
        assert (nobody.status, kind(nobody)) == (404, "unknown-node")
        nothing = await node.get("/v1/nodes/n1/fenced-writes/5")
        assert (nothing.status, kind(nothing)) == (404, "unknown-write")
