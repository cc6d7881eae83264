"""The stores of a running fleet, as far as they answer, and what each of them holds.

Only what never writes is asked, as nobody in particular. A store that does not answer is left out,
as long as a majority of every group does: of two majorities one store is in both, so what was
acknowledged before the question is at one of those that were asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from controlplane.errors import BackupRefused
from controlplane.runtime.placed_stores import PlacedStores, ask_for_places
from regions.codec import Code, as_bytes
from regions.conversation import Conversation, MakeLane, conversation
from regions.errors import RegionsError
from regions.membership import GroupDescription, ask_for_description, description_in
from regions.store import StoreAddress
from regions.topology import GLOBAL_GROUP, Topology

LaneTo: TypeAlias = Callable[[StoreAddress], MakeLane]
DUMP_BYTES = 64 * 1024
REST = 0.5


class SourceFailed(Exception):
    """A store was lost, or refused what it was asked: another one may do."""


class GroupLacksMajority(BackupRefused):
    """Too few stores of a group answer to know all that was acknowledged there."""


@dataclass(slots=True, eq=False)
class Source:
    """One store; one question at a time, and a rest of half as long as the answer took: its own
    work is never kept waiting for two, and the busier it is, the less it is asked."""

    store: str
    talk: Conversation
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, command: list[Any]) -> list[Any]:
        """The result of one command. Raises SourceFailed."""
        async with self.turn:
            asked_s = time.monotonic()
            try:
                result = await self.talk.result(command)
            except RegionsError as error:
                raise SourceFailed(f"{self.store}: {error}") from error
            await asyncio.sleep(REST * (time.monotonic() - asked_s))
            return result


@dataclass(frozen=True, slots=True)
class Held:
    """What one store has of a shard, from its dump."""

    promised: int
    floor: int
    placed: tuple[int, bytes]
    tip: tuple[int, int]
    committed: int


@dataclass(frozen=True, slots=True)
class GroupSources:
    """The stores of a group that answer at its version; followers first, which nobody waits for."""

    description: GroupDescription
    sources: tuple[Source, ...]

    async def dumps(self) -> list[tuple[Source, dict[str, Held]]]:
        """What each of them holds. Raises SourceFailed when fewer than a majority tell."""
        read = await asyncio.gather(
            *(self._dump(source) for source in self.sources), return_exceptions=True
        )
        found: list[tuple[Source, dict[str, Held]]] = []
        problems = []
        for source, held in zip(self.sources, read, strict=True):
            if isinstance(held, SourceFailed):
                problems.append(str(held))
            elif isinstance(held, BaseException):
                raise held
            else:
                found.append((source, held))
        if sum(s.store in self.description.voters for s, _ in found) < self.description.quorum:
            raise SourceFailed("; ".join(problems))
        return found

    async def _dump(self, source: Source) -> dict[str, Held]:
        group, version = self.description.group, self.description.version
        found: dict[str, Held] = {}
        after, more = "", True
        while more:
            result = await source.ask(["dump", group, version, after, DUMP_BYTES, 0])
            if result[0] != Code.OK:
                raise SourceFailed(f"{source.store} answers {result[0]}")
            for shard, *fields in result[4]:
                pe, pf, _he, _h, _st, _rvk, _ver, prev, pref, te, ts, _tc, cm = fields[:13]
                found[shard] = Held(int(pe), int(pf), (prev, as_bytes(pref)), (int(te), ts), cm)
                after = shard
            more = bool(result[5])
        return found


@dataclass(frozen=True, slots=True)
class FleetSources:
    """All of them, by group, and where stores are.

    `lacking` are groups without a majority of stores that answer, and why: that matters unless they
    were dropped.
    """

    groups: Mapping[str, GroupSources]
    lacking: Mapping[str, GroupLacksMajority]
    places: Mapping[str, StoreAddress]
    sources: tuple[Source, ...]

    async def open_groups(self) -> dict[str, int]:
        """Groups that are there now, with their versions, as far as stores tell of them. Raises
        SourceFailed when none does."""
        versions: dict[str, int] = {}
        problems = []
        for source in self.sources:
            try:
                result = await source.ask(["hello", "", 0])
            except SourceFailed as error:
                problems.append(str(error))
                continue
            for name, version, state in result[6]:
                if state != "absent":
                    versions[name] = max(version, versions.get(name, 0))
        if len(problems) == len(self.sources):
            raise SourceFailed("; ".join(problems))
        return versions


async def find_sources(topology: Topology, lane_to: LaneTo, stack: AsyncExitStack) -> FleetSources:
    """Open every store that the topology or a document tells of, for the time of the stack.

    Raises BackupRefused when the global group has no majority of stores that answer, or a group is
    being changed.
    """
    places = {store.id: store.listens_at for store in topology.stores}
    opened, problems = await _open(places, lane_to, stack)
    placed = PlacedStores()
    for source in tuple(opened):
        try:
            await ask_for_places(source.talk, placed)
        except RegionsError as error:
            problems[source.store] = str(error)
            opened.remove(source)
    told = {store: place.address for store, place in placed.places().items()}
    more = {s: at for s, at in told.items() if s not in places and at is not None}
    also, other_problems = await _open(more, lane_to, stack)
    opened += also
    problems |= other_problems
    if not opened:
        raise BackupRefused(_lines("no store answers", problems), hint="start the stores first")
    names = {name for source in opened for name, _, _ in source.talk.status.groups}
    groups: dict[str, GroupSources] = {}
    lacking: dict[str, GroupLacksMajority] = {}
    for name in sorted(names):
        try:
            group = await _group(name, opened, problems)
        except GroupLacksMajority as refusal:
            if name == GLOBAL_GROUP:
                raise
            lacking[name] = refusal
        else:
            groups |= {} if group is None else {name: group}
    return FleetSources(groups, lacking, places | more, tuple(opened))


async def _open(
    places: Mapping[str, StoreAddress], lane_to: LaneTo, stack: AsyncExitStack
) -> tuple[list[Source], dict[str, str]]:
    found = await asyncio.gather(
        *(stack.enter_async_context(conversation(lane_to(at))) for at in places.values()),
        return_exceptions=True,
    )
    opened: list[Source] = []
    problems: dict[str, str] = {}
    for store, talk in zip(places, found, strict=True):
        if isinstance(talk, Conversation):
            if talk.status.identity.store_id == store:
                opened.append(Source(store, talk))
            else:
                problems[store] = f"what answers is {talk.status.identity.store_id!r}"
        elif isinstance(talk, RegionsError):
            problems[store] = str(talk)
        else:
            raise talk
    return opened, problems


async def _group(
    name: str, opened: list[Source], problems: Mapping[str, str]
) -> GroupSources | None:
    """The newest version of a group and its stores; None if nobody is in it any more."""
    newest: GroupDescription | None = None
    standing = {s: _standing(s, name) for s in opened}
    for source, (version, state) in standing.items():
        if state == "open" and (newest is None or version > newest.version):
            newest = description_in(await source.ask(ask_for_description(name)))
    if newest is None:
        return None
    if any(state == "sealed" and v >= newest.version for v, state in standing.values()):
        raise BackupRefused(
            f"the stores of group {name} are being changed", hint="wait until that is over"
        )
    members = [
        source
        for source, (version, state) in standing.items()
        if (version, state) == (newest.version, "open")
        and newest.incarnations.get(source.store) == source.talk.status.identity.incarnation
    ]
    if sum(source.store in newest.voters for source in members) < newest.quorum:
        missing = {s: problems.get(s, "not in it") for s in newest.voters}
        absent = {s: why for s, why in missing.items() if s not in {m.store for m in members}}
        raise GroupLacksMajority(
            _lines(f"group {name} has no majority of stores that answer", absent),
            hint="start them, or force the group to go on with what is left",
        )
    members.sort(key=lambda source: (source.store in newest.voters, source.store))
    return GroupSources(newest, tuple(members))


def _standing(source: Source, name: str) -> tuple[int, str]:
    found = [(v, state) for group, v, state in source.talk.status.groups if group == name]
    return found[0] if found else (0, "absent")


def _lines(head: str, problems: Mapping[str, str]) -> str:
    return "\n".join([head, *(f"  {store}: {why}" for store, why in sorted(problems.items()))])
