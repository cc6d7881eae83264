"""A plan of the worker becomes moves that an order can make."""

from __future__ import annotations

from typing import Any

from controlplane.node.load_reports import Gathered
from controlplane.planning.gathering import Voters, group_of
from controlplane.planning.orders import ShardMove
from controlplane.planning.planner import PARTS, Planner, Wish
from controlplane.planning.question import ALL
from controlplane.planning.worker import PlanningWorker
from regions.latency_matrix import LatencyMatrix
from shards.load_table import LoadTable
from tests.api.fake_service import FakeService

FAR = {("eu", "us"): 90.0, ("us", "eu"): 90.0}


class PlannedWorker(PlanningWorker):
    """A worker that has one answer to everything."""

    def __init__(self, *moves: dict[str, Any]) -> None:
        super().__init__()
        self._moves = moves

    async def ask(self, time_limit_s: float, *questions: dict[str, Any]) -> Any:
        """The plan."""
        plan = {"hash": "f00d", "moves": list(self._moves)} | dict.fromkeys(PARTS, 0)
        facts = ("gap", "voters_gap", "bound_usd_per_month", "complete", "seconds")
        return {"plan": plan, "moves_count": len(self._moves)} | dict.fromkeys(facts, 0)


def move(shard: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "shard": shard, "from_leader": "eu", "to_leader": "us", "to_node": None, "add": add,
        "remove": remove,
    }  # fmt: skip


def test_a_group_is_known_by_the_regions_that_vote_in_it() -> None:
    voters = {
        "global": Voters(3, ("eu", "us", "ap"), 3),
        "multi/also": Voters(3, ("ap", "us", "eu"), 3),
        "region/us": Voters(3, ("us",), 3),
    }
    assert group_of({"us", "eu", "ap"}, voters) == "global"
    assert group_of({"us"}, voters) == "region/us"
    assert group_of({"eu"}, voters) == "region/eu"
    assert group_of({"us", "eu", "sa"}, voters) == "multi/eu+sa+us"


async def test_other_voters_are_another_group_and_the_same_are_none(leader: FakeService) -> None:
    for service in leader.fleet_of.nodes.values():
        service.voters = ("eu-1",)  # of the group of all shards
    planner = Planner(leader, PlannedWorker(move("s1"), move("s2", ("us", "ap"))))
    gathered = Gathered(1, 0, 1_000, LoadTable(), LatencyMatrix(FAR))
    planned = await planner.plan(Wish(ALL), gathered)
    revisions = [row.revision for shard in ("s1", "s2") if (row := leader.map_row(shard))]
    assert planned.moves == (
        ShardMove("s1", "eu", "us", revisions[0]),
        ShardMove("s2", "eu", "us", revisions[1], "", "multi/ap+eu+us"),
    )
