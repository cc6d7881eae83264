"""The facts of a question of placement, taken from the node that is the global leader.

A fleet may have a hundred thousand shards, and the node that asks also renews its leases: so shards
are looked at a few at a time, and others have their turn in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from config.document import Kind
from config.feed import Feed
from config.rollout import Phase, Reached
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.planning.proceedings import NodeSeen, NodesSeen, RolledOut
from controlplane.planning.question import Outlook, Question, Seat, ShardFacts
from controlplane.views import FleetView, ShardView
from regions.latency_matrix import Pair
from regions.reference import known_round_trip_ms
from regions.topology import MULTI_GROUP_PREFIX, REGION_GROUP_PREFIX
from shards.load import Rates

LOOKED_AT_ONCE: Final = 100
VOTERS: Final = (1, 3, 5)
IN_WAVE: Final = (Phase.APPLYING, Phase.BAKING, Phase.GATING)
TAKES_PART: Final = (Reached.SENT, Reached.APPLIED)


@dataclass(frozen=True, slots=True)
class Voters:
    """How a group's voters are spread."""

    count: int
    regions: tuple[str, ...]
    zones: int


async def question_about(
    service: Service,
    gathered: Gathered,
    feed: Feed,
    outlook: Outlook,
    moved: Collection[str],
) -> Question:
    """The question of this fleet under these documents; shards of `moved` keep their leaders."""
    fleet = service.fleet()
    question = Question(
        feed,
        distances_of(gathered, feed),
        {node.node: node.region for node in fleet.nodes},
        frozenset(node.region for node in fleet.nodes if node.alive and not node.drained),
        outlook,
        [
            Seat(node.node, node.region, node.zone)
            for node in fleet.nodes
            if node.alive and not node.draining and not node.drained
        ],
    )
    voters = voters_of(fleet)
    names = sorted(name for name in service.shard_names() if name != SYSTEM)
    for number, name in enumerate(names):
        if number % LOOKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        view = service.shard_view(name)
        if view is None:
            continue
        if view.group in voters:
            row = service.map_row(name)
            facts = _facts(view, voters[view.group], gathered.load.of(name), name in moved)
            facts = replace(facts, ancestors=service.ancestors(name))
            question.add(facts if row is None else replace(facts, node=row.node))
        else:
            question.not_planned.append(name)
    return question


def is_whole(gathered: Gathered, fleet: FleetView) -> bool:
    """Whether every living node has said everything to this global leader."""
    caught_up = {node for node, _, _, _, behind in gathered.load.reporters() if behind == 0}
    return {node.node for node in fleet.nodes if node.alive} <= caught_up


def rolled_out(service: Service) -> RolledOut:
    """The regions in which a rollout gives a version to nodes, has it watched in its wave, or takes
    it back. One that is paused, or stuck, watches nothing, and would hold moves up without end."""
    found: set[str] = set()
    for rollout, _ in service.rollouts():
        if rollout.pause is None and rollout.phase in IN_WAVE:
            found |= {each.region for each in rollout.in_wave() if each.reached in TAKES_PART}
        elif rollout.phase is Phase.ROLLING_BACK:
            found |= {each.region for each in rollout.reached(Reached.REVERTING)}
    return RolledOut(frozenset(found))


def nodes_seen(service: Service, fleet: FleetView) -> NodesSeen:
    """The nodes of the fleet, as the admission of moves wants to know them."""
    canaries = {drain.name: drain.canaries for drain, _ in service.drains() if drain.canaries}
    return NodesSeen(
        tuple(
            NodeSeen(
                n.node, n.region, n.alive, n.drained, n.draining, n.suspect, n.leads,
                canaries.get(n.node, ()),
            )
            for n in fleet.nodes
        )
    )  # fmt: skip


def voters_of(fleet: FleetView) -> dict[str, Voters]:
    """The voters of every group that a plan can speak of: all of them in one region, or each in one
    of its own, and an odd number."""
    place_of = {store.store: (store.region, store.zone) for store in fleet.stores}
    found = {}
    for group in fleet.groups:
        places = [place_of[voter] for voter in group.voters if voter in place_of]
        regions = tuple(dict.fromkeys(region for region, _ in places))
        if len(group.voters) in VOTERS and len(regions) in (1, len(group.voters)):
            found[group.group] = Voters(len(group.voters), regions, len(set(places)))
    return found


def group_of(regions: Collection[str], voters: Mapping[str, Voters]) -> str:
    """The group that votes in exactly these regions; what one would be called, if there is none."""
    found = sorted(name for name, each in voters.items() if set(each.regions) == set(regions))
    if found:
        return found[0]
    if len(regions) == 1:
        return REGION_GROUP_PREFIX + min(regions)
    return MULTI_GROUP_PREFIX + "+".join(sorted(regions))


def distances_of(gathered: Gathered, feed: Feed) -> Mapping[Pair, float]:
    """The round trips that count; of regions that are not there yet, what is set or published."""
    set_ms = overrides_of(feed)
    found = {
        (distance.from_region, distance.to_region): distance.round_trip_ms
        for distance in gathered.latency.distances(set_ms)
    }
    regions = feed.regions()
    for pair in ((a, b) for a in regions for b in regions if a != b):
        if pair in found:
            continue
        known_ms = set_ms.get(pair, known_round_trip_ms(*pair))
        if known_ms is not None:
            found[pair] = known_ms
    return found


def overrides_of(feed: Feed) -> dict[Pair, float]:
    """The round trips that operators have set."""
    content: Mapping[str, Any] = feed.content(Kind.LATENCY).get("round_trip_ms", {})
    return {(a, b): float(ms) for a, row in content.items() for b, ms in row.items()}


def _facts(view: ShardView, voters: Voters, loads: Mapping[str, Rates], stays: bool) -> ShardFacts:
    return ShardFacts(
        view.shard,
        view.goal,
        voters.count,
        view.leader.region if view.leader is not None else None,
        voters.regions,
        view.size_bytes,
        loads,
        stays,
        zones=voters.zones,
    )
