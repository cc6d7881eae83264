"""What operators and failures can do to each other: tried on a simulated fleet, with every checker.

The rest of what is tried has its tests where it is decided: a plan that is outdated, and orders at
the same moment (tests/api/test_placement_plans), drains that leave nothing or contradict
(tests/api/test_drain_orders), moves whose target dies (tests/planning/test_mover).
"""

from __future__ import annotations

from typing import Any

import pytest

from config.builtin import builtin_content
from config.document import Kind as Document
from config.document import region_name
from config.revision import head_key
from controlplane.api.service import Service
from controlplane.node.directory import MAP_PREFIX
from controlplane.node.drains import Drain, DrainState, Scope
from controlplane.node.following import SYSTEM
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.orders import OrderState
from controlplane.planning.reasons import Hindrance
from controlplane.requests import (
    Outcome,
    Refused,
    Request,
    Reshard,
    Resharded,
    Transfer,
    Transferred,
)
from shards.resharding import Kind
from tests.steps import documents
from tests.steps.changes import (
    apply,
    drain,
    drains,
    is_applied,
    is_drained,
    is_resharded,
    last_order,
    legs,
    moves_of,
    reshardings,
    rows,
    values,
)
from tests.steps.stage import AGAIN_MS, TTL_MS, Stage, Work, node_of

SLOW_MS = 150
LONG_MS = 240_000
AT_REST_MS = 61_000
OF = "global-1"


def at_rest(stage: Stage) -> None:
    """Everything comes to rest, and no checker finds anything."""
    stage.judge()
    assert not stage.findings.violations


def test_a_global_leader_that_wakes_up_beside_the_next_one_is_fenced() -> None:
    stage = Stage(2)
    old = stage.global_leader()
    assert old is not None
    drain(stage)
    old.freeze("append")  # with an entry in hand that it will send all the same
    assert stage.until(lambda: stage.global_leader() not in (None, old), 5 * TTL_MS)
    epochs = {epoch for shard, epoch, *_ in stage.tenures if shard == SYSTEM}
    assert len(epochs) > 1
    old.resume()
    assert stage.until(lambda: is_drained(stage), LONG_MS)
    assert stage.global_leader() is not old
    for history in drains(stage.replay(SYSTEM)).values():
        assert len(history) == len(set(history)), "no step is made by both"
    at_rest(stage)


def test_a_global_leader_that_is_cut_off_does_not_move_anything_any_more() -> None:
    stage = Stage(3)
    old = stage.global_leader()
    assert old is not None
    apply(stage)
    stage.run(300)
    for store in stage.fleet.stores.values():
        if store.region != old.plan.region:
            stage.fleet.network.cut(old.name, store.name)
            stage.fleet.network.cut(store.name, old.name)
    assert stage.until(lambda: stage.global_leader() not in (None, old), 5 * TTL_MS)
    stage.fleet.network.heal_all()
    assert stage.until(lambda: is_applied(stage), LONG_MS)
    at_rest(stage)


def test_a_region_that_is_drained_in_the_middle_of_a_plan_is_given_nothing_more() -> None:
    stage = Stage(1)
    stage.run(AT_REST_MS)  # nothing comes home just before, and has to stay then
    moved, target = moves_of(stage)
    apply(stage)
    assert stage.until(lambda: moves_made(stage) > 0, LONG_MS)
    assert moves_made(stage) < len(moved), "the plan is in its middle"
    stage.order(draining(stage, Scope.REGION, target))
    assert stage.until(lambda: is_over(stage) and not is_led_in(stage, target), LONG_MS)
    order = last_order(stage.replay(SYSTEM))
    assert order is not None
    assert order.skipped
    allowed = {Hindrance.DRAINED, Hindrance.OVERTAKEN, Hindrance.NOT_FINISHED}  # on its way then
    assert {why for _, why in order.skipped} <= allowed
    assert order.moved + len(order.skipped) == order.total == len(moved)
    assert legs(stage.replay(SYSTEM)) == ()
    at_rest(stage)


def test_a_plan_whose_target_is_dead_in_its_middle_is_passed_over_and_taken_back() -> None:
    stage = Stage(9)
    stage.run(AT_REST_MS)  # nothing comes home just before, and has to stay then
    moved, target = moves_of(stage)
    before = {key: history[-1] for key, history in rows(stage.replay(SYSTEM)).items()}
    apply(stage)
    assert stage.until(lambda: moves_made(stage) > 0, LONG_MS)
    dead = [name for name, region in stage.fleet.scenario.nodes if region == target]
    for name in dead:
        stage.fleet.crash_node(name)
    assert stage.until(lambda: is_over(stage), LONG_MS)
    order = last_order(stage.replay(SYSTEM))
    assert order is not None
    assert order.moved + len(order.skipped) == order.total == len(moved)
    whys = dict(order.skipped)
    assert set(whys.values()) <= {Hindrance.NO_CANDIDATE, Hindrance.NOT_FINISHED, Hindrance.CHANGED}
    after = {key: history[-1] for key, history in rows(stage.replay(SYSTEM)).items()}
    for shard in whys:
        assert after[MAP_PREFIX + shard] == before[MAP_PREFIX + shard], "it is as it was"
    for name in dead:
        stage.fleet.start_node(name)
    at_rest(stage)


def test_a_plan_whose_target_is_slow_in_its_middle_gets_there() -> None:
    stage = Stage(9)
    stage.run(AT_REST_MS)  # nothing comes home just before, and has to stay then
    moved, target = moves_of(stage)
    apply(stage)
    assert stage.until(lambda: moves_made(stage) > 0, LONG_MS)
    for name, region in stage.fleet.scenario.nodes:
        for store in stage.fleet.stores if region == target else ():
            stage.fleet.network.slow(name, store, SLOW_MS)
    assert stage.until(lambda: is_over(stage), LONG_MS)
    stage.fleet.network.heal_all()
    order = last_order(stage.replay(SYSTEM))
    assert order is not None
    assert (order.moved, order.skipped) == (len(moved), ())
    assert stage.until(lambda: is_applied(stage), LONG_MS)
    at_rest(stage)


def test_what_a_document_says_of_the_pace_counts_in_the_middle_of_a_plan() -> None:
    stage = Stage(7)
    moved, _ = moves_of(stage)
    assert len(moved) > 1
    slow = builtin_content(Document.PLACEMENT) | {"move_rate": {"leaders_per_minute_max": 1}}
    documents.roll_out(stage, Document.PLACEMENT.value, slow, documents.AT_ONCE)
    stage.run(AGAIN_MS)
    apply(stage)
    stage.run(LONG_MS // 8)
    assert moves_made(stage) < len(moved)
    usual = builtin_content(Document.PLACEMENT)
    documents.roll_out(stage, Document.PLACEMENT.value, usual, documents.AT_ONCE)
    assert stage.until(lambda: is_applied(stage), LONG_MS // 4)
    at_rest(stage)


@pytest.mark.parametrize("dies", [False, True])
def test_a_regions_document_is_edited_in_the_middle_of_a_plan(dies: bool) -> None:
    stage = Stage(1)
    stage.run(AT_REST_MS)  # nothing comes home just before, and has to stay then
    moved, target = moves_of(stage)
    apply(stage)
    assert stage.until(lambda: moves_made(stage) > 0, LONG_MS)
    old, name = stage.global_leader(), region_name(target)
    assert old is not None
    documents.roll_out(stage, name, region_content(leaders=1), documents.AT_ONCE)
    assert stage.until(lambda: bool(written(stage, name)), LONG_MS)
    assert not is_over(stage), "it is edited in the middle of the plan"
    if dies:
        stage.fleet.crash_node(old.name)
        stage.world.after(3 * TTL_MS, stage.fleet.start_node, old.name)
    assert stage.until(lambda: is_applied(stage), LONG_MS)
    order = last_order(stage.replay(SYSTEM))
    assert order is not None
    assert (order.moved, order.skipped) == (len(moved), ()), "what was decided is carried out"
    assert len(written(stage, name)) == 1
    assert stage.until(lambda: everybody_has(stage, name, region_content(leaders=1)), LONG_MS)
    at_rest(stage)


@pytest.mark.parametrize("apart_ms", [0, 20, 60, 120, 200, 400])
def test_a_shard_is_split_while_it_is_handed_over(apart_ms: int) -> None:
    stage = Stage(8)
    target = next(n for n in ("n1", "n2", "n3") if n != stage.leaders()[OF])
    handed = asked(stage, OF, Transfer(OF, target))
    stage.run(apart_ms)
    split = asked(stage, SYSTEM, Reshard(Kind.SPLIT, OF))
    assert stage.until(lambda: bool(handed and split), LONG_MS)
    assert isinstance(handed[0], Transferred | Refused)
    if isinstance(split[0], Refused):
        assert "handed over" in split[0].detail, "it says why, and when to ask again"
        assert split[0].retry_after_ms
    else:
        assert isinstance(split[0], Resharded)
        assert stage.until(lambda: is_resharded(stage), LONG_MS)
    at_rest(stage)


@pytest.mark.parametrize("apart_ms", [50, 150, 250, 350, 500, 800])
def test_a_shard_is_handed_over_while_it_is_split(apart_ms: int) -> None:
    stage = Stage(9)
    target = next(n for n in ("n1", "n2", "n3") if n != stage.leaders()[OF])
    split = asked(stage, SYSTEM, Reshard(Kind.SPLIT, OF))
    stage.run(apart_ms)
    handed = asked(stage, OF, Transfer(OF, target))
    assert stage.until(lambda: bool(handed) and is_resharded(stage), LONG_MS)
    assert isinstance(split[0], Resharded)
    assert isinstance(handed[0], Transferred | Refused)
    (phases,) = reshardings(stage.replay(SYSTEM)).values()
    assert len(phases) == len(set(phases)) == 4, "each phase comes once"
    at_rest(stage)


def region_content(leaders: int) -> dict[str, Any]:
    """A region that may lead so much, and has got a store that no group knows."""
    return builtin_content(Document.REGION) | {
        "latitude": 1.5, "longitude": 2.5, "zones": ["a"], "egress_usd_per_gb": {},
        "egress_elsewhere_usd_per_gb": 0.09, "capacity": {"leaders": leaders},
        "stores": [{"id": "spare", "zone": "a", "host": "10.0.0.9", "port": 6379}],
    }  # fmt: skip


def written(stage: Stage, document: str) -> list[bytes | None]:
    """How a document was written, one time after the other."""
    found: list[bytes | None] = []
    for history in values(stage.replay(SYSTEM), head_key(document)).values():
        found += history
    return found


def everybody_has(stage: Stage, document: str, content: Any) -> bool:
    """Whether every node has this content in force."""
    feeds = [node_of(process).feed for process in stage.fleet.processes.values()]
    revisions = [feed.get(document) for feed in feeds]
    return all(each is not None and each.content == content for each in revisions)


def asked(stage: Stage, shard: str, request: Request) -> list[Outcome]:
    """Ask the leader of a shard; where its answer will be."""
    answers: list[Outcome] = []
    leader = stage.leader_of(shard)
    assert leader is not None
    leader.request(request, lambda outcome, _: answers.append(outcome))
    return answers


def draining(stage: Stage, scope: Scope, name: str) -> Work:
    """An order to empty a place."""

    async def work(service: Service) -> bool:
        now_ms = stage.world.now_ms
        wanted = Drain(scope, name, "", DrainState.DRAINING, "ada", "", now_ms, None, None, 0)
        return await DrainBook(service).put(wanted, 0) is None

    return work


def moves_made(stage: Stage) -> int:
    """Of the order: how many of its moves it has come past."""
    order = last_order(stage.replay(SYSTEM))
    return 0 if order is None else order.next


def is_over(stage: Stage) -> bool:
    """The order is done."""
    order = last_order(stage.replay(SYSTEM))
    return order is not None and order.state is OrderState.DONE


def is_led_in(stage: Stage, region: str) -> bool:
    """Whether anything is led in a region."""
    region_of = stage.fleet.scenario.region_of()
    return region in {region_of[node] for node in stage.leaders().values()}
