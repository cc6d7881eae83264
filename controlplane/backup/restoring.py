"""New, empty stores made from a backup: the same fleet by name, another one by identity.

Theory of operation. Every store mints an incarnation of its own, so nobody who knew the old stores
takes these for them. Each learns its groups at a version far beyond the one that was saved, is
given every shard up to the position of the backup, and nothing beyond it, and is switched: the way
by which any store comes to a group (shards/filling). The floor of epochs grows with the version, as
when a group is forced (regions/forcing): no epoch of the old fleet is ever led here, and no session
of it is known. All groups get one new cluster id, by which nodes know positions of before.

    empty --mint--> minted --learn--> learner --pages, entries--> copied --merge--> merged
    all stores of all groups are merged --finish_install--> open

Nothing is opened before everything is in place. What fails before that leaves stores that belong to
no group: they are emptied, and it is done again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from controlplane.backup.archive import Backup
from controlplane.backup.manifest import SavedGroup, SavedShard
from controlplane.backup.saving import Progress
from controlplane.backup.sources import LaneTo
from controlplane.errors import BackupInvalid, BackupRefused
from controlplane.node.following import SYSTEM
from controlplane.node.made_groups import MadeGroup
from regions.codec import FORMAT, Code
from regions.conversation import Conversation, conversation
from regions.errors import RegionsError
from regions.forcing import AHEAD, EPOCHS_PER_VERSION
from regions.membership import GroupDescription, write_description
from regions.topology import GLOBAL_GROUP, Topology
from shards.entry import write_entry

EMPTY_AGAIN = "empty the stores (FLUSHALL) and restore again"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    cluster: str
    groups: Mapping[str, GroupDescription]


def require_stores(backup: Backup, topology: Topology) -> None:
    """Refuse a topology that does not say where each store of the backup is now: a document may
    say where one was, and be believed. Raises BackupRefused."""
    known = {s for group in backup.manifest.groups for s in group.stores}
    known |= backup.manifest.places.keys()
    if missing := sorted(known - {store.id for store in topology.stores}):
        raise BackupRefused(
            f"the topology does not say where these stores are: {', '.join(missing)}",
            hint="the fleet is restored with its stores' names: give each an address",
        )


async def restore(
    backup: Backup, topology: Topology, lane_to: LaneTo, tell: Callable[[Progress], None]
) -> Restored:
    """Fill all stores of a topology. Nothing is written before each was found empty.

    Raises BackupRefused when a store is not empty, not there, or not in the topology, and
    BackupInvalid when the file turns out not to be whole.
    """
    require_stores(backup, topology)
    backup.verify()
    async with AsyncExitStack() as stack:
        talks = await _open_empty(topology, lane_to, stack)
        try:
            return await _Restoring(backup, talks, tell).run()
        except RegionsError as error:
            raise BackupRefused(f"a store failed on the way: {error}", hint=EMPTY_AGAIN) from error


async def _open_empty(
    topology: Topology, lane_to: LaneTo, stack: AsyncExitStack
) -> dict[str, Conversation]:
    found = await asyncio.gather(
        *(stack.enter_async_context(conversation(lane_to(s.listens_at))) for s in topology.stores),
        return_exceptions=True,
    )
    talks: dict[str, Conversation] = {}
    problems = []
    for store, talk in zip(topology.stores, found, strict=True):
        if isinstance(talk, Conversation):
            identity = talk.status.identity
            talks[store.id] = talk
            if identity.incarnation:
                problems.append(f"{store.id}: it is not empty: it is store {identity.store_id!r}")
        elif isinstance(talk, RegionsError):
            problems.append(f"{store.id}: {talk}")
        else:
            raise talk
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        hint = "a backup is restored into new, empty stores only"
        raise BackupRefused(f"the stores cannot take a backup\n{lines}", hint=hint)
    return talks


class _Restoring:
    def __init__(
        self, backup: Backup, talks: Mapping[str, Conversation], tell: Callable[[Progress], None]
    ) -> None:
        self._backup = backup
        self._talks = talks
        self._tell = tell
        self._incarnations: dict[str, str] = {}
        self._attempt = f"1/restore-{secrets.token_hex(4)}"
        self._cluster = secrets.token_hex(8)
        self._bytes = 0
        self._done = 0

    async def run(self) -> Restored:
        """Do all of it. Raises RegionsError, BackupRefused, BackupInvalid."""
        minted = await asyncio.gather(*(self._mint(store) for store in self._talks))
        self._incarnations = dict(zip(self._talks, minted, strict=True))
        groups = {g.group: self._described(g) for g in self._backup.manifest.groups}
        for group in groups.values():
            text = write_description(group)
            learn = ["learn", group.group, group.version - 1, self._attempt, text]
            await self._ask(group, learn)
            for shard in self._backup.manifest.shards_of(group.group):
                await self._fill(group, shard, groups)
        for group in sorted(groups.values(), key=lambda g: g.group == GLOBAL_GROUP):
            count = len(self._backup.manifest.shards_of(group.group))
            text = write_description(group)
            finish = ["finish_install", group.group, group.version, self._attempt, count, text]
            await self._ask(group, finish)
        return Restored(self._cluster, groups)

    async def _mint(self, store: str) -> str:
        nonce = secrets.token_hex(16)
        talk = self._talks[store]
        reply = await talk.call([FORMAT, "", "", 0], [["mint", "", 0, store, nonce]])
        if reply.code != Code.OK or reply.results[0][0] != Code.OK:
            raise BackupRefused(f"{store} is not empty any more: somebody else writes to it")
        return reply.incarnation

    def _described(self, saved: SavedGroup) -> GroupDescription:
        version = saved.version + AHEAD + secrets.randbelow(AHEAD)
        return GroupDescription(
            saved.group,
            version,
            saved.ttl_ms,
            {store: self._incarnations[store] for store in saved.voters},
            {store: self._incarnations[store] for store in saved.followers},
            floor=version * EPOCHS_PER_VERSION,
            set_ttl_ms=saved.set_ttl_ms,
            cluster=self._cluster,
        )

    async def _ask(self, group: GroupDescription, command: list[Any]) -> None:
        """Have all stores of a group do one thing."""
        await asyncio.gather(*(self._ask_one(store, command) for store in group.incarnations))

    async def _ask_one(self, store: str, command: list[Any]) -> None:
        header = [FORMAT, self._incarnations[store], "", 0]
        reply = await self._talks[store].call(header, [command])
        code = reply.results[0][0] if reply.code == Code.OK else reply.code
        if code != Code.OK:
            raise BackupRefused(f"{store} answers {code} to {command[0]}", hint=EMPTY_AGAIN)

    async def _fill(
        self, group: GroupDescription, shard: SavedShard, groups: Mapping[str, GroupDescription]
    ) -> None:
        """Bring one shard, as it was, to all stores of its group."""
        head = [group.group, group.version - 1, shard.shard, self._attempt]
        grant: list[Any] = []
        for kind, *rest in self._backup.frames(shard):
            match kind:
                case "shard":
                    grant = rest
                case "page":
                    await self._ask(group, ["learn_page", *head, *rest])
                case "data":
                    await self._ask(group, ["learn_data", *head, *rest])
                case "log":
                    await self._ask(group, ["learn_log", *head, *rest])
                case _:
                    raise BackupInvalid(f"shard {shard.shard} holds {kind!r}: nobody knows it")
        epoch, sequence, chain = shard.position
        if (group.group, shard.shard) == (GLOBAL_GROUP, SYSTEM):
            effects = self._told(sequence + 1, groups)
            if effects:
                entry = write_entry(sequence, chain, epoch, effects)
                await self._ask(group, ["learn_log", *head, sequence, chain, [entry.blob]])
                sequence, chain = entry.sequence, entry.chain
        floor, revision, placed = grant
        await self._ask(group, [
            "merge", group.group, group.version, shard.shard, self._attempt,
            "0", str(max(int(floor), group.floor)), "0", "", 0, 0, revision, placed,
            sequence + 1, [], str(epoch), sequence, chain, sequence,
        ])  # fmt: skip
        self._done += 1
        self._bytes += shard.bytes
        total = len(self._backup.manifest.shards)
        self._tell(Progress(self._done, total, self._bytes, shard.shard))

    def _told(self, sequence: int, groups: Mapping[str, GroupDescription]) -> list[list[Any]]:
        """What nodes are told of groups that no topology names: who belongs to them now."""
        effects = []
        for saved in self._backup.manifest.groups:
            if saved.made:
                put = MadeGroup(groups[saved.group], is_made=True).put()
                effects.append(["p", put.partition, put.key, put.value, sequence])
        return effects
