"""Asking the stores, at a node's start, which stores belong to each group, and its lease.

The topology says which stores there were at first, and where. Which *incarnation* of each belongs
to a group was decided when the group was made, or changed since, and every store of the group holds
that decision. So all stores are asked of all groups; one that answers is enough to know of all of
them, and one that is down now, or has forgotten what it held, is known by what the others say of
it. The lease of a group was decided with it: where the topology has come to say otherwise, it is
the stores' that holds.

A store that came to a group later need not be in the topology: then a document says where it is
(controlplane/runtime/placed_stores). Documents are what groups decided, too, so they are asked for
at the same stores, and at those that they tell of.

A region that came to the fleet later has no group of its own, though it follows from the topology
that it should. When all stores that it would have answer, and none knows of it, it was never made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from controlplane.errors import StoresNotReady
from controlplane.node_plan import Place
from controlplane.runtime.placed_stores import PlacedStores, ask_for_places
from controlplane.telemetry.lifecycle_log import log_line
from regions.conversation import MakeLane, conversation
from regions.errors import RegionsError
from regions.membership import GroupDescription, ask_for_description, description_in
from regions.store import StoreAddress
from regions.store_errors import StoreForgot
from regions.topology import GLOBAL_GROUP, Group, Topology

RETRY_S = 0.25
LaneTo: TypeAlias = Callable[[StoreAddress], MakeLane]


@dataclass(frozen=True, slots=True)
class KnownFleet:
    """Who belongs to each group that was made, and where the stores are."""

    descriptions: Mapping[str, GroupDescription]
    places: Mapping[str, Place]


@dataclass(slots=True)
class Answers:
    """What the stores have said so far."""

    topology: Topology
    descriptions: dict[str, GroupDescription] = field(default_factory=dict)
    placed: PlacedStores = field(default_factory=PlacedStores)
    problems: dict[str, str] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)  # stores that told of all groups they know
    empty: set[str] = field(default_factory=set)

    def take(self, description: GroupDescription) -> None:
        """Keep a description, unless a later version of the group is known."""
        known = self.descriptions.get(description.group)
        if known is None or known.version < description.version:
            self.descriptions[description.group] = description

    @property
    def unknown(self) -> list[str]:
        """Groups of which no store has told yet."""
        groups = self.topology.groups
        return [g.name for g in groups if g.name not in self.descriptions and not self._is_bare(g)]

    def _is_bare(self, group: Group) -> bool:
        """Whether a group of a fleet that was made has not been made itself."""
        stores = {*group.stores, *group.followers}
        answered = self.heard & stores
        is_known = GLOBAL_GROUP in self.descriptions and stores <= self.heard | self.empty
        return group.name not in self.descriptions and is_known and bool(answered)

    @property
    def places(self) -> dict[str, Place]:
        """Where stores are: the topology's word stands."""
        return self.placed.places() | {
            store.id: Place(store.region, store.zone, store.listens_at)
            for store in self.topology.stores
        }

    def lost(self) -> dict[str, set[str]]:
        """By group the stores that belong to it, and of which nobody has said where they are."""
        places = self.places
        found = {
            group.name: self.descriptions[group.name].incarnations.keys() - places.keys()
            for group in self.topology.groups
            if group.name in self.descriptions
        }
        return {group: stores for group, stores in found.items() if stores}


async def learn_fleet(topology: Topology, lane_to: LaneTo, wait_ms_max: int) -> KnownFleet:
    """Give the description of every group of the topology that was made, and where its stores are.

    Raises StoresNotReady when that is not known in time, with what each store said.
    """
    answers = Answers(topology)
    told = ""
    try:
        async with asyncio.timeout(wait_ms_max / 1_000):
            while answers.unknown or answers.lost():
                before = answers.places
                await _ask_all(lane_to, answers)
                waiting = _waiting_for(answers)
                if waiting and waiting != told:
                    log_line("waiting-for-stores", why=waiting)
                    told = waiting
                if waiting and answers.places == before:
                    await asyncio.sleep(RETRY_S)
    except TimeoutError as error:
        raise _not_ready(answers, wait_ms_max) from error
    for group in topology.groups:
        found = answers.descriptions.get(group.name)
        if found is None:
            log_line("group-not-made", group=group.name)
            continue
        _note_other_members(group, found)
        if found.least_ttl_ms != group.ttl_ms:
            ttls = {"ttl_ms": found.least_ttl_ms, "in_topology_ms": group.ttl_ms}
            log_line("lease-decided-before", group=group.name, **ttls)
    return KnownFleet(answers.descriptions, answers.places)


async def _ask_all(lane_to: LaneTo, answers: Answers) -> None:
    async with asyncio.TaskGroup() as asking:
        for store, place in answers.places.items():  # also those that came to a group later
            assert place.address is not None, "it was given with the place"
            asking.create_task(_ask(store, lane_to(place.address), answers))


async def _ask(store: str, make_lane: MakeLane, answers: Answers) -> None:
    groups, is_lost = answers.unknown, bool(answers.lost())
    try:
        async with conversation(make_lane) as talk:
            for group in groups:
                found = description_in(await talk.result(ask_for_description(group)))
                if found is not None:
                    answers.take(found)
            if is_lost:
                await ask_for_places(talk, answers.placed)
        answers.problems.pop(store, None)
        answers.heard.add(store)
        answers.empty.discard(store)
    except (RegionsError, ValueError) as error:
        answers.problems[store] = str(error)
        if isinstance(error, StoreForgot):
            answers.empty.add(store)


def _waiting_for(answers: Answers) -> str:
    said = []
    if answers.unknown:
        said.append(f"no store tells who belongs to {', '.join(answers.unknown)}")
    for group, stores in answers.lost().items():
        belong = f"group {group}: by its stores, {_listed(stores)} belong to it"
        said.append(f"{belong}, and no document that can be read says where they are")
    if not said:
        return ""
    problems = [f"{store}: {why}" for store, why in sorted(answers.problems.items())]
    return "; ".join([*said, *problems])


def _not_ready(answers: Answers, wait_ms_max: int) -> StoresNotReady:
    message = f"no fleet is known after {wait_ms_max} ms: {_waiting_for(answers)}"
    if answers.unknown:
        return StoresNotReady(message)
    return StoresNotReady(message, hint="add them to the topology: it says where stores are")


def _note_other_members(group: Group, found: GroupDescription) -> None:
    """The topology says how a group began; its stores say what has become of it."""
    if (set(found.voters), set(found.followers)) == (set(group.stores), set(group.followers)):
        return
    members = {"voters": _listed(found.voters), "followers": _listed(found.followers)}
    log_line("members-changed-since", group=group.name, version=found.version, **members)


def _listed(stores: Iterable[str]) -> str:
    return ", ".join(sorted(stores)) or "none"
