"""Reading shards' logs from the stores themselves, past every node, while the fleet is broken.

Stores cut off the front of a log that all have applied, a few hundred entries behind its end. So
the reader comes by several times a second and keeps what is committed by each store's own account.
Two stores that hold different entries in one committed place are a finding by themselves; what is
kept is the log that acknowledged writes and reads are held against.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.simulator.checkers.findings import Findings
from controlplane.store_lanes import lane_maker
from regions.codec import Code, as_bytes
from regions.conversation import Conversation, conversation
from regions.errors import RegionsError
from regions.topology import StoreSite, Topology

EVERY_S = 0.25
BYTES_MAX = 1_048_576
CATCH_UP_ROUNDS_MAX = 200
# Of an answer to `range`: [code, version, state, description, grant, te, ts, tc, cm, be, bs, bc,
# entries]; see docs/STORE_FORMAT.md.
COMMITTED, BASE, ENTRIES = 8, 10, 12


@dataclass(slots=True)
class ShardLog:
    """The committed log of one shard as it was read, from its first entry."""

    blobs: list[bytes] = field(default_factory=list)
    gap: str = ""
    """Where entries were cut off before anybody had read them."""


class LogReader:
    """Follows the logs of some shards at every store of their groups."""

    def __init__(self, topology: Topology, groups: Mapping[str, str], findings: Findings) -> None:
        """`groups` gives the group of each shard that is followed."""
        self.logs = {shard: ShardLog() for shard in groups}
        self._groups = groups
        self._stores = {
            group.name: [topology.store(s) for s in group.stores] for group in topology.groups
        }
        self._findings = findings
        self._checked: dict[tuple[str, str], int] = {}

    async def follow(self, stop: asyncio.Event) -> None:
        """Come by every now and then until told to stop."""
        while not stop.is_set():
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask all stores once, at the same time; one that does not answer says nothing."""
        sites = {s.id: s for group in set(self._groups.values()) for s in self._stores[group]}
        await asyncio.gather(*(self._ask(site) for site in sites.values()))

    async def _ask(self, site: StoreSite) -> None:
        shards = [s for s, g in self._groups.items() if site in self._stores[g]]
        try:
            async with conversation(lane_maker(site.listens_at, {})) as talk:
                for shard in shards:
                    for _ in range(CATCH_UP_ROUNDS_MAX):
                        if await self._read(talk, site.id, shard):
                            break
        except RegionsError:
            return  # it is down, frozen or refused: others are asked as well

    async def _read(self, talk: Conversation, store: str, shard: str) -> bool:
        """Read on; whether that was all there is."""
        place, group = (store, shard), self._groups[shard]
        version = max((v for name, v, _ in talk.status.groups if name == group), default=0)
        since = self._checked.get(place, 0)
        result = await talk.result(["range", group, version, shard, since + 1, BYTES_MAX])
        if result[0] != Code.OK:
            return True
        entries = {int(seq): as_bytes(blob) for seq, blob in result[ENTRIES]}
        committed = int(result[COMMITTED])
        for sequence in sorted(seq for seq in entries if since < seq <= committed):
            self._take(store, shard, sequence, entries[sequence])
            self._checked[place] = sequence
        return not entries or max(entries) >= committed

    def _take(self, store: str, shard: str, sequence: int, blob: bytes) -> None:
        log = self.logs[shard]
        if sequence <= len(log.blobs):
            if log.blobs[sequence - 1] != blob:
                detail = f"{store} holds another entry {sequence} of {shard} than was read before"
                self._findings.add("what is committed is the same everywhere", 0, detail)
        elif sequence == len(log.blobs) + 1:
            log.blobs.append(blob)
        elif not log.gap:
            log.gap = f"entries {len(log.blobs) + 1} to {sequence - 1} were gone when it was read"


def groups_of(rows: list[dict[str, Any]], shards: set[str]) -> dict[str, str]:
    """The group of each of these shards, by what a node shows."""
    return {row["shard"]: row["group"] for row in rows if row["shard"] in shards}
