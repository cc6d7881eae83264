"""Every kind of change that is made on purpose: how it is ordered, and what it has come to.

An order is repeated until it is acknowledged, as people do; each looks first whether it stands
already. Who is moved from where is chosen so that whoever leads the system shard takes no part in
it, unless the kind says so: what its death does to its own shards is another matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.document import Kind as Document
from config.revision import head_key
from controlplane.api.service import Service
from controlplane.node.directory import MAP_PREFIX, MapRow
from controlplane.node.drains import PREFIX as DRAINS
from controlplane.node.drains import Drain, DrainState, Scope, drain_key, read_drain
from controlplane.node.following import SYSTEM
from controlplane.planning.drain_book import DrainBook
from controlplane.planning.moving import ON_WAY_KEY, read_legs
from controlplane.planning.order_book import OrderBook
from controlplane.planning.orders import HEAD_KEY, Order, OrderState, ShardMove, read_order
from controlplane.problems import RequestRefused
from controlplane.requests import (
    ChangeStores,
    Found,
    Read,
    Reshard,
    Resharded,
    StoreAction,
)
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.process import Process
from shards.resharding import COUNTER_KEY, Kind, read_resharding
from shards.resharding import PREFIX as RESHARDS
from tests.steps import documents
from tests.steps.stage import Stage, node_of

STORE_STEPS = frozenset(
    {"install", "ballot", "accept", "seal", "merge_tail", "merge", "finish_install"}
)
"""What a change of a store set asks of stores: these are its steps, since no log has them."""


@dataclass(frozen=True)
class Change:
    """A kind of change.

    `before` makes it possible, `begin` orders it. `closes`: shards of which entries are steps of
    it, too; `at_stores`: its steps are calls. `empties`: nothing may be handed to its place any
    more. `says`: None until its record says that it is over, and then whether that is so.
    """

    name: str
    begin: Callable[[Stage], None]
    is_done: Callable[[Stage], bool]
    before: Callable[[Stage], None] = lambda _: None
    closes: tuple[str, ...] = ()
    at_stores: bool = False
    empties: bool = False
    says: Callable[[Stage], bool | None] = lambda _: None


# -- what the system shard says


def values(replay: Replay, prefix: str) -> dict[str, list[bytes | None]]:
    """Whatever every key with a prefix was, one after the other."""
    return {
        key: [None if value is None else value.data for value in timeline.values]
        for key, timeline in replay.keys.items()
        if key.startswith(prefix)
    }


def rows(replay: Replay) -> dict[str, list[tuple[Any, ...] | None]]:
    """Of every shard, what the map said of it."""
    return {
        key: [None if data is None else _row(key, data) for data in history]
        for key, history in values(replay, MAP_PREFIX).items()
    }


def _row(key: str, data: bytes) -> tuple[Any, ...]:
    row = MapRow.read(key, data, 0)
    return row.group, row.first_slot, row.end_slot, row.regions, row.node


def drains(replay: Replay) -> dict[str, list[Drain]]:
    """Of every place, its drain step by step."""
    return {
        key: [read_drain(key, data) for data in history if data is not None]
        for key, history in values(replay, DRAINS).items()
    }


def reshardings(replay: Replay) -> dict[str, list[tuple[Any, ...]]]:
    """Of every resharding, its phases."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for key, history in values(replay, RESHARDS).items():
        if key == COUNTER_KEY:
            continue
        each = [read_resharding(key, data, 0) for data in history if data is not None]
        found[key] = [(e.kind, e.parents, e.children, e.phase, e.swept) for e in each]
    return found


def last_order(replay: Replay) -> Order | None:
    """The newest order."""
    value = replay.value(HEAD_KEY, replay.length)
    return None if value is None else read_order(value.data)


def legs(replay: Replay) -> tuple[Any, ...]:
    """Moves on their way."""
    value = replay.value(ON_WAY_KEY, replay.length)
    return () if value is None else read_legs(value.data)


def voters(stage: Stage) -> dict[str, tuple[str, ...]]:
    """Who votes in every group."""
    return {
        group.name: tuple(stage.fleet.sets.latest(group.name).voters)
        for group in stage.fleet.scenario.groups
    }


def outcome(stage: Stage) -> Mapping[str, Any]:
    """What must be the same, whatever happened to the global leader on the way."""
    replay = stage.replay(SYSTEM)
    order = last_order(replay)
    config = values(replay, head_key(Document.CONSTRAINTS.value))
    return {
        "map": rows(replay),
        "drains": {key: _shown(history[-1]) for key, history in drains(replay).items()},
        "order": order and (order.number, order.state, order.next, order.moved, order.skipped),
        "on their way": legs(replay),
        "reshardings": reshardings(replay),
        "rollouts": documents.rolled_out(replay),
        "documents": {key: len(history) for key, history in config.items()},
        "voters": voters(stage),
        "whole": all(stage.fleet.sets.is_whole(group) for group in voters(stage)),
    }


def _shown(drain: Drain) -> tuple[Any, ...]:
    return drain.state, drain.is_whole, drain.total


# -- leaders


def bystander(stage: Stage) -> str:
    """A node outside the region of whoever leads the system shard."""
    leader = stage.global_leader()
    assert leader is not None, "a warm fleet has a global leader"
    return next(
        name for name, region in stage.fleet.scenario.nodes
        if region != leader.plan.region and name in stage.leaders().values()
    )  # fmt: skip


def drained_place(stage: Stage) -> str:
    """The node of whose drain a stage knows."""
    (key,) = drains(stage.replay(SYSTEM))
    return key.rpartition("/")[2]


def _drain(stage: Stage, node: str) -> None:
    async def work(service: Service) -> bool:
        book = DrainBook(service)
        known = {drain.key: drain for drain, _ in await book.drains()}
        if drain_key(Scope.NODE, node) in known:
            return True
        wall_ms = stage.world.now_ms
        total = len(service.led_by({node}))
        wanted = Drain(
            Scope.NODE, node, "", DrainState.DRAINING, "ada", "", wall_ms, None, None, total
        )
        return await book.put(wanted, 0) is None

    stage.order(work)


def drain(stage: Stage) -> None:
    """Empty a node that is not the global leader's."""
    _drain(stage, bystander(stage))


def drain_own(stage: Stage) -> None:
    """Empty the global leader's own node."""
    leader = stage.global_leader()
    assert leader is not None, "a warm fleet has a global leader"
    _drain(stage, leader.name)


def is_drained(stage: Stage) -> bool:
    """The record says so, and nothing is led there."""
    histories = drains(stage.replay(SYSTEM))
    if not histories:
        return False
    state = next(iter(histories.values()))[-1].state
    return state is DrainState.DRAINED and drained_place(stage) not in stage.leaders().values()


def says_drained(stage: Stage) -> bool | None:
    """Whether nothing is led there when the record says so."""
    histories = drains(stage.replay(SYSTEM)).values()
    if not any(history[-1].state is DrainState.DRAINED for history in histories):
        return None
    return drained_place(stage) not in stage.leaders().values()


def undrain(stage: Stage) -> None:
    """Let the drained node lead again."""

    async def work(service: Service) -> bool:
        book = DrainBook(service)
        ((known, version),) = await book.drains()
        if not known.is_on:
            return True
        return await book.put(replace(known, state=DrainState.OVER), version) is None

    stage.order(work)


def drained_before(stage: Stage) -> None:
    """A stage with a drained node."""
    drain(stage)
    assert stage.until(lambda: is_drained(stage), 60_000), "nothing disturbs this drain"


def is_home(stage: Stage) -> bool:
    """The drain is over, and what prefers the node is led there."""
    place = drained_place(stage)
    history = drains(stage.replay(SYSTEM))[drain_key(Scope.NODE, place)]
    region = stage.fleet.scenario.region_of()[place]
    preferred = {seed.shard for seed in stage.fleet.seeds if seed.regions[0] == region}
    leaders = stage.leaders()
    return history[-1].state is DrainState.OVER and all(
        leaders.get(shard) == place for shard in preferred
    )


# -- orders


def moves_of(stage: Stage) -> tuple[list[str], str]:
    """Shards of a region that are to go to another; neither is the global leader's."""
    leader = stage.global_leader()
    assert leader is not None, "a warm fleet has a global leader"
    regions = dict.fromkeys(region for _, region in stage.fleet.scenario.nodes)
    origin, target = [region for region in regions if region != leader.plan.region][:2]
    region_of = stage.fleet.scenario.region_of()
    moved = [
        shard for shard, node in sorted(stage.leaders().items())
        if shard != SYSTEM and region_of[node] == origin
    ]  # fmt: skip
    return moved, target


def apply(stage: Stage) -> None:
    """Carry a plan out that moves all shards of a region to another."""
    shards, target = moves_of(stage)
    assert len(shards) > 1, stage.leaders()

    async def work(service: Service) -> bool:
        book = OrderBook(service)
        known = await book.read()
        if known.order is not None:
            return True
        moves = []
        for shard in shards:
            row, view = service.map_row(shard), service.shard_view(shard)
            if row is None or view is None or view.leader is None:
                raise RequestRefused("not-ready", "a shard is being elected")
            moves.append(ShardMove(shard, view.leader.region, target, row.revision))
        order = Order(1, "hash", "ada", "", stage.world.now_ms, OrderState.CARRYING, len(moves))
        return await book.begin(order, moves, known) is None

    stage.order(work)


def is_applied(stage: Stage) -> bool:
    """The order is done, and every shard is led where it was to go."""
    replay = stage.replay(SYSTEM)
    order, region_of = last_order(replay), stage.fleet.scenario.region_of()
    if order is None or order.state is not OrderState.DONE:
        return False
    leaders = stage.leaders()
    return all(
        row is not None and region_of.get(leaders.get(shard, "")) == row[3][0]
        for shard, row in _moved(replay).items()
    )


def says_applied(stage: Stage) -> bool | None:
    """Whether nothing that was moved is led elsewhere when the order says that it is done."""
    replay = stage.replay(SYSTEM)
    order, leaders = last_order(replay), stage.leaders()
    if order is None or order.state is not OrderState.DONE:
        return None
    region_of = stage.fleet.scenario.region_of()
    return all(
        row is None or region_of[leaders[shard]] == row[3][0]
        for shard, row in _moved(replay).items()
        if shard in leaders
    )


def _moved(replay: Replay) -> dict[str, tuple[Any, ...] | None]:
    """Shards whose row was written again, and how it is now."""
    return {k.removeprefix(MAP_PREFIX): h[-1] for k, h in rows(replay).items() if len(h) > 1}


# -- reshardings


def _reshard(order: Reshard) -> Callable[[Stage], None]:
    def begin(stage: Stage) -> None:
        async def work(service: Service) -> bool:
            outcome = await service.submit(Read(SYSTEM, (COUNTER_KEY,)))
            if not isinstance(outcome, Found):
                return False
            if outcome.values[0] is not None:
                return True
            return isinstance(await service.submit(order), Resharded)

        stage.order(work)

    return begin


def is_resharded(stage: Stage) -> bool:
    """Everything is switched and swept, and every child is led."""
    histories = reshardings(stage.replay(SYSTEM))
    if not histories:
        return False
    ((*_, (_, _, children, _, swept)),) = histories.values()
    return swept and all(child.shard in stage.leaders() for child in children)


# -- pins and stores


def pin(stage: Stage) -> None:
    """Pin a shard to the second node of the first region, or of another than the leader's."""
    leader = stage.global_leader()
    assert leader is not None, "a warm fleet has a global leader"
    place = bystander(stage)
    shard = next(s for s, n in sorted(stage.leaders().items()) if n != place and s != SYSTEM)
    content = {"pins": [{"shard": shard, "node": place}]}
    documents.roll_out(stage, Document.CONSTRAINTS.value, content, documents.AT_ONCE)


def is_pinned(stage: Stage) -> bool:
    """The pinned shard is led by its node."""
    leaders = stage.leaders()
    for process in stage.fleet.processes.values():
        pins = node_of(process).feed.content(Document.CONSTRAINTS).get("pins", [])
        if not pins or any(leaders.get(each["shard"]) != each["node"] for each in pins):
            return False
    return True


def _stores(action: StoreAction, store: str, by: str, after: tuple[str, ...]) -> Change:
    def begin(stage: Stage) -> None:
        def answered(process: Process) -> bool:
            if set(voters(stage)["global"]) == set(after):
                return True
            process.change_stores(ChangeStores("global", action, store, by))
            return False  # looked at again until it has come to that

        stage.order_at(answered)

    def is_done(stage: Stage) -> bool:
        is_whole = stage.fleet.sets.is_whole("global")
        return set(voters(stage)["global"]) == set(after) and is_whole

    before = (lambda _: None) if action is not StoreAction.REMOVE else _with_a_fourth
    return Change(f"{action.value} store", begin, is_done, before, at_stores=True)


def _with_a_fourth(stage: Stage) -> None:
    added = _stores(StoreAction.ADD, "s4", "", ("s1", "s2", "s3", "s4"))
    added.begin(stage)
    assert stage.until(lambda: added.is_done(stage), 60_000), "nothing disturbs this change"
    stage.run(5_000)


CHANGES = (
    Change("apply", apply, is_applied, says=says_applied),
    Change("drain", drain, is_drained, empties=True, says=says_drained),
    Change("drain own", drain_own, is_drained, empties=True, says=says_drained),
    Change("undrain", undrain, is_home, drained_before),
    Change("split", _reshard(Reshard(Kind.SPLIT, "global-1")), is_resharded, closes=("global-1",)),
    Change(
        "merge",
        _reshard(Reshard(Kind.MERGE, "global-1", beside="global-2")),
        is_resharded,
        closes=("global-1", "global-2"),
    ),
    Change(
        "move",
        _reshard(Reshard(Kind.MOVE, "global-1", to_group="region/far")),
        is_resharded,
        closes=("global-1",),
    ),
    Change("pin", pin, is_pinned),
    Change("rollout", documents.begin, documents.is_everywhere),
    Change("rollback", documents.begin_and_abort, documents.is_nowhere),
    _stores(StoreAction.ADD, "s4", "", ("s1", "s2", "s3", "s4")),
    _stores(StoreAction.REMOVE, "s2", "", ("s1", "s3", "s4")),
    _stores(StoreAction.REPLACE, "s3", "s5", ("s1", "s2", "s5")),
)
