"""What the stores themselves say, asked past every node; and what they answer a leader of old.

`ask_stores` and `watch_grant` only read. `offer_stale_append` tries to write, under an epoch that a
later one has overtaken: if the stores did not refuse it, the promise of this product would be void,
and the tour would say so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from controlplane.cli.connection import CommandFailed
from controlplane.cli.tour_scene import Scene
from regions.codec import FORMAT, Code, Reply
from regions.errors import RegionsError
from regions.redis_store import RedisStore
from regions.store import StoreAddress, StoreStatus
from shards.entry import read_entry, write_entry
from shards.scripts.library import leadplane_library

ANSWER_S_MAX = 5.0
RANGE_BYTES_MAX = 65_536
# Payload of a result: [code, version, state, description, grant, ...]; see docs/STORE_FORMAT.md.
GRANT, TAIL, ENTRIES = 4, 5, 12
PROMISED, HELD_EPOCH, HOLDER = 0, 2, 3

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class StoreSight:
    """One store's own account of one entry of the shard's log; entry_epoch 0: not there."""

    store: str
    region: str
    promised_epoch: int
    entry_epoch: int

    def holds(self, epoch: int) -> bool:
        """Whether it has the entry that was written in this epoch."""
        return self.entry_epoch == epoch


@dataclass(frozen=True, slots=True)
class Grant:
    """Who led, as the stores have it, with the tail of the log at that time."""

    session: str
    epoch: int
    tail: tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store answered to an append of a former leader."""

    store: str
    code: str
    promised_epoch: int


def ask_stores(scene: Scene, sequence: int) -> list[StoreSight]:
    """Ask every voter for the entry at `sequence`; a store that is down holds nothing."""

    async def ask(store: Mapping[str, Any], call: _Call) -> StoreSight:
        result = await call("range", scene.shard, sequence, RANGE_BYTES_MAX)
        entries = {at: read_entry(at, blob) for at, blob in result[ENTRIES]}
        epoch = entries[sequence].epoch if sequence in entries else 0
        promised = int(result[GRANT][PROMISED])
        return StoreSight(store["id"], store["region"], promised, epoch)

    return _each_voter(scene, ask, lambda s: StoreSight(s["id"], s["region"], 0, 0))


def watch_grant(scene: Scene) -> Grant:
    """The grant of the greatest epoch that any voter has."""

    async def ask(store: Mapping[str, Any], call: _Call) -> Grant:
        result = await call("range", scene.shard, 0, 1)
        grant, (te, ts, tc) = result[GRANT], result[TAIL : TAIL + 3]
        return Grant(str(grant[HOLDER]), int(grant[HELD_EPOCH]), (str(te), int(ts), int(tc)))

    return max(_each_voter(scene, ask, lambda s: Grant("", 0, ("0", 0, 0))), key=lambda g: g.epoch)


def offer_stale_append(scene: Scene, grant: Grant) -> list[Refusal]:
    """Offer every voter a write in the name of a former leader, and give their answers."""
    te, ts, tc = grant.tail
    key = scene.key("stale")
    effect = ["p", scene.partition, key, b"from a past life", ts + 1]
    entry = write_entry(ts, tc, grant.epoch, [effect])

    async def offer(store: Mapping[str, Any], call: _Call) -> Refusal:
        arguments = (scene.shard, str(grant.epoch), grant.session, ts, te, tc, [entry.blob], 0, 0)
        result = await call("append", *arguments)
        return Refusal(store["id"], str(result[0]), int(result[GRANT][PROMISED]))

    return _each_voter(scene, offer, lambda s: Refusal(s["id"], "no answer", 0))


_Call = Callable[..., Awaitable[list[Any]]]


def _each_voter(
    scene: Scene,
    ask: Callable[[Mapping[str, Any], _Call], Awaitable[Found]],
    absent: Callable[[Mapping[str, Any]], Found],
) -> list[Found]:
    """Ask the voters of the scene's group, all at once; `absent` stands for one that is down."""
    group = scene.group()
    stores = [s for s in scene.state()["stores"] if s["id"] in group["stores"]]

    async def one(store: Mapping[str, Any]) -> Found:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await _ask_one(store, str(group["name"]), ask)
        except (RegionsError, OSError, TimeoutError):
            return absent(store)

    async def everyone() -> list[Found]:
        return list(await asyncio.gather(*map(one, stores)))

    return asyncio.run(everyone())


async def _ask_one(
    store: Mapping[str, Any],
    group: str,
    ask: Callable[[Mapping[str, Any], _Call], Awaitable[Found]],
) -> Found:
    address = StoreAddress(store["host"], store["port"])
    lane = RedisStore(address, lambda failure: None, leadplane_library())
    status = await lane.open()
    header = [FORMAT, status.identity.incarnation, f"tour.{secrets.token_hex(4)}", 1]
    version = _version(status, group)

    async def call(op: str, *arguments: Any) -> list[Any]:
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        lane.send(header, [[op, group, version, *arguments]], replied.set_result)
        reply = await replied
        if reply.code != Code.OK:
            raise CommandFailed(f"store {store['id']} refuses the tour: {reply.code}")
        return reply.results[0]

    try:
        return await ask(store, call)
    finally:
        lane.close()


def _version(status: StoreStatus, group: str) -> int:
    return next(version for name, version, _ in status.groups if name == group)
