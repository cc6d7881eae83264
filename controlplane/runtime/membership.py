"""Asking the stores, at a node's start, which stores belong to each group, and its lease.

The topology says which stores there are and where. Which *incarnation* of each belongs to a group
was decided when the group was made, or changed since, and every store of the group holds that
decision. So all stores are asked of all groups; one that answers is enough to know of all of them,
and one that is down now, or has forgotten what it held, is known by what the others say of it. The
lease of a group was decided with it: where the topology has come to say otherwise, it is the
stores' that holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controlplane.errors import StoresNotReady
from controlplane.telemetry.lifecycle_log import log_line
from regions.conversation import MakeLane, conversation
from regions.errors import RegionsError
from regions.membership import GroupDescription, ask_for_description, description_in
from regions.topology import Group, StoreSite, Topology

RETRY_S = 0.25


@dataclass(slots=True)
class Answers:
    """What the stores have said so far."""

    descriptions: dict[str, GroupDescription] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def take(self, description: GroupDescription) -> None:
        """Keep a description, unless a later version of the group is known."""
        known = self.descriptions.get(description.group)
        if known is None or known.version < description.version:
            self.descriptions[description.group] = description


async def learn_memberships(
    topology: Topology, make_lane: Callable[[StoreSite], MakeLane], wait_ms_max: int
) -> Mapping[str, GroupDescription]:
    """Give the description of every group of the topology, asking until each is known.

    Raises StoresNotReady when some group's is not known in time, with what each store said, or
    when the stores say that a store belongs to a group which the topology does not know at all.
    """
    answers = Answers()
    told = ""
    try:
        async with asyncio.timeout(wait_ms_max / 1_000):
            while unknown := [g for g in topology.groups if g.name not in answers.descriptions]:
                await _ask_all(topology, unknown, make_lane, answers)
                waiting = _waiting_for(topology, answers)
                if waiting and waiting != told:
                    log_line("waiting-for-stores", why=waiting)
                    told = waiting
                if waiting:
                    await asyncio.sleep(RETRY_S)
    except TimeoutError as error:
        message = f"no fleet is known after {wait_ms_max} ms: {_waiting_for(topology, answers)}"
        raise StoresNotReady(message) from error
    for group in topology.groups:
        found = answers.descriptions[group.name]
        _require_known_stores(topology, found)
        _note_other_members(group, found)
        if found.least_ttl_ms != group.ttl_ms:
            ttls = {"ttl_ms": found.least_ttl_ms, "in_topology_ms": group.ttl_ms}
            log_line("lease-decided-before", group=group.name, **ttls)
    return answers.descriptions


async def _ask_all(
    topology: Topology,
    groups: list[Group],
    make_lane: Callable[[StoreSite], MakeLane],
    answers: Answers,
) -> None:
    async with asyncio.TaskGroup() as asking:
        for site in topology.stores:  # whoever came later: those of the topology may have left
            names = [group.name for group in groups]
            asking.create_task(_ask(site, names, make_lane(site), answers))


async def _ask(site: StoreSite, groups: list[str], make_lane: MakeLane, answers: Answers) -> None:
    try:
        async with conversation(make_lane) as talk:
            for group in groups:
                found = description_in(await talk.result(ask_for_description(group)))
                if found is not None:
                    answers.take(found)
        answers.problems.pop(site.id, None)
    except RegionsError as error:
        answers.problems[site.id] = str(error)
    except ValueError as error:
        answers.problems[site.id] = f"{site.address}: {error}"


def _waiting_for(topology: Topology, answers: Answers) -> str:
    unknown = [g.name for g in topology.groups if g.name not in answers.descriptions]
    if not unknown:
        return ""
    problems = [f"{store}: {why}" for store, why in sorted(answers.problems.items())]
    return f"no store tells who belongs to {', '.join(unknown)}; " + "; ".join(problems)


def _require_known_stores(topology: Topology, found: GroupDescription) -> None:
    unknown = found.incarnations.keys() - {site.id for site in topology.stores}
    if unknown:
        message = f"group {found.group}: by its stores, {_listed(unknown)} belong to it"
        raise StoresNotReady(message, hint="add them to the topology: it says where stores are")


def _note_other_members(group: Group, found: GroupDescription) -> None:
    """The topology says how a group began; its stores say what has become of it."""
    if (set(found.voters), set(found.followers)) == (set(group.stores), set(group.followers)):
        return
    members = {"voters": _listed(found.voters), "followers": _listed(found.followers)}
    log_line("members-changed-since", group=group.name, version=found.version, **members)


def _listed(stores: Iterable[str]) -> str:
    return ", ".join(sorted(stores)) or "none"
