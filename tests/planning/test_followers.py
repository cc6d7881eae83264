"""Copies that cost more than they save rest, and follow again: the global leader sees to it."""

from __future__ import annotations

from typing import Any

import pytest

from config.audit import What
from config.builtin import builtin_content
from config.document import Kind
from config.revision import Revision
from controlplane.node.load_reports import Gathered
from controlplane.planning.followers import LOOK_MS
from controlplane.planning.mover import Mover
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import Pause
from controlplane.planning.planner import Planner
from controlplane.requests import Outcome, Problem, Refused, Request, Write
from regions.latency_matrix import LatencyMatrix
from shards.load import Rates
from shards.load_table import LoadTable
from tests.api.fake_service import FakeService
from tests.config.sample_fleet import put

POLICY = {"after_ms": 10_000, "keep_ms": 30_000}
LOOK_S = LOOK_MS / 1_000
WRITES = Rates(0.0, 20.0, 0.0, 20_000.0)
READS = Rates(50.0, 0.0, 5_000.0, 0.0)


class Stage:
    """A fleet that votes in `eu` and has a copy in `us`, and the wall clock of its mover."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.table = LoadTable()
        rtt_ms = {("eu", "us"): 80.0, ("us", "eu"): 80.0}
        service.reported = Gathered(1, 0, 0, self.table, LatencyMatrix(rtt_ms))
        service.voters, service.followers = ("eu-1",), ("us-1",)
        service.reshards = ()
        self.wall_s = 1_000_000.0
        self.mover = self.new_mover()
        self.load()

    def new_mover(self) -> Mover:
        return Mover(self.service, Planner(self.service), lambda: self.wall_s)

    def load(self, *rows: tuple[str, Rates], region: str = "us", behind: int = 0) -> None:
        self.table.take("n1", "eu", [("s1", WRITES)], 0, 0)
        self.table.take("n2", region, [*rows], behind, 0)

    def want(self, policy: dict[str, int] | None) -> None:
        content = builtin_content(Kind.PLACEMENT)
        if policy is not None:
            content = content | {"followers_by_reads": policy}
        assert isinstance(put(self.service.feed, "placement", content), Revision)

    async def looks(self, count: int) -> None:
        for _ in range(count):
            self.wall_s += LOOK_S
            await self.mover.turn(LOOK_S)

    @property
    def resting(self) -> set[tuple[str, str]]:
        return {
            (shard, region)
            for shard, record in self.service.copies().items()
            for region, state in record.states.items()
            if state.rests
        }

    def events(self, kind: str) -> list[tuple[str, Any]]:
        return [(e.shard, e.detail["region"]) for e in self.service.reports if e.kind == kind]


@pytest.fixture
def stage(leader: FakeService) -> Stage:
    return Stage(leader)


async def test_nothing_rests_unless_a_document_wants_it(stage: Stage) -> None:
    await stage.looks(20)
    assert (stage.resting, stage.service.reports) == (set(), [])


async def test_what_is_written_and_not_read_rests_and_follows_again_once_it_is_read(
    stage: Stage,
) -> None:
    stage.want(POLICY)
    stage.load(*((s, READS) for s in ("s0", "s2", "s3")))  # these are worth their copies
    await stage.looks(2)
    assert stage.resting == set(), "not before it was so for a while"
    await stage.looks(2)
    assert stage.resting == {("s1", "us")}
    assert stage.events("follower-removed") == [("s1", "us")]
    stage.load(("s1", READS))
    await stage.looks(4)
    assert ("s1", "us") not in stage.resting
    assert stage.events("follower-added")[0] == ("s1", "us")
    stage.load(("s1", Rates(0.0, 0.0, 0.0, 0.0)))
    await stage.looks(4)
    assert ("s1", "us") not in stage.resting, "it has only just come"
    await stage.looks(8)
    assert ("s1", "us") in stage.resting


async def test_every_change_is_recorded_with_the_change(stage: Stage) -> None:
    stage.want(POLICY)
    await stage.looks(4)
    notes = [
        (note.what, note.subject, note.after)
        for each in stage.service.asked
        if isinstance(each, Write)
        for note in each.notes
    ]
    assert (What.FOLLOWER, "s1", {"region": "us", "rests": True}) in notes


async def test_nothing_is_done_while_moves_are_held_up(stage: Stage) -> None:
    stage.want(POLICY)
    book = OrderBook(stage.service)
    pause = Pause(round((stage.wall_s + 100) * 1_000), "ada", "")
    assert await book.pause(pause, "ada", "") is None
    await stage.looks(10)
    assert stage.resting == set()
    await stage.looks(14)
    assert stage.resting >= {("s1", "us")}


@pytest.mark.parametrize("how", ["it has more to say", "it has said nothing"])
async def test_a_region_that_has_not_told_all_seems_to_read_nothing_and_is_left_alone(
    stage: Stage, how: str
) -> None:
    stage.want(POLICY)
    if how == "it has more to say":
        stage.load(behind=3)
    else:
        stage.load(region="eu")
        stage.table.take("n2", "eu", [], 1, 0)
    await stage.looks(10)
    assert stage.resting == set()


async def test_all_follow_again_when_the_document_wants_none_to_rest(stage: Stage) -> None:
    stage.want(POLICY)
    await stage.looks(4)
    assert stage.resting
    stage.want(None)
    await stage.looks(1)
    assert (stage.resting, dict(stage.service.copies())) == (set(), {})
    assert ("s1", "us") in stage.events("follower-added")


async def test_what_is_said_of_a_shard_that_is_gone_is_forgotten(stage: Stage) -> None:
    stage.want(POLICY)
    await stage.looks(4)
    assert "s1" in stage.service.copies()
    del stage.service.known["s1"]
    await stage.looks(1)
    assert "s1" not in stage.service.copies()


async def test_a_successor_knows_since_when_a_copy_follows(stage: Stage) -> None:
    stage.want(POLICY)
    await stage.looks(4)
    stage.load(("s1", READS))
    await stage.looks(4)
    assert ("s1", "us") not in stage.resting
    stage.load(("s1", Rates(0.0, 0.0, 0.0, 0.0)))
    stage.mover = stage.new_mover()
    await stage.looks(4)
    assert ("s1", "us") not in stage.resting, "it follows for 20 s by now"
    await stage.looks(6)
    assert ("s1", "us") in stage.resting


async def test_what_was_refused_is_tried_again(stage: Stage) -> None:
    stage.want(POLICY)
    said: list[Request] = []

    def refuse(request: Request) -> Outcome | None:
        if isinstance(request, Write) and request.mutations[0].partition == "copies":
            said.append(request)
            return Refused(Problem.NO_QUORUM, "not now")
        return None

    stage.service.answer = refuse
    await stage.looks(4)
    assert said
    assert not stage.resting
    assert stage.events("follower-removed") == []
    stage.service.answer = None
    await stage.looks(1)
    assert ("s1", "us") in stage.resting
