"""Initialising the stores of a fleet: explicit, once, and only when all of them are empty.

Each store mints its own incarnation; then every store of a group is told who belongs to it. Nothing
is written anywhere before every store has been found reachable and empty. An interrupted bootstrap
is repeated with the same nonce: what it did before is recognised by that nonce and left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from regions.codec import FORMAT, Code
from regions.conversation import Conversation, MakeLane, conversation
from regions.errors import RegionsError
from regions.membership import FIRST_VERSION, GroupDescription, write_description
from regions.store_errors import BootstrapRefused


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to be made: its lease, ids of the stores that vote, and of those that only follow."""

    name: str
    ttl_ms: int
    voters: tuple[str, ...]
    followers: tuple[str, ...] = ()


async def bootstrap(
    stores: Mapping[str, MakeLane], groups: Sequence[NewGroup], nonce: str
) -> dict[str, str]:
    """Initialise all stores and groups; returns the incarnation of each store.

    `stores` maps a store's id to what makes a lane to it; such a lane may be empty. Repeating it
    with the same arguments changes nothing. Raises BootstrapRefused, which names every store that
    is unreachable, unsuitable or not empty; then this call gave no store an identity, unless one
    was changed by somebody else meanwhile.
    """
    async with AsyncExitStack() as lanes:
        talks = await _open_all(stores, lanes)
        await _require_empty(talks, nonce)
        minted = await asyncio.gather(*(_mint(t, store, nonce) for store, t in talks.items()))
        incarnations = dict(zip(talks, minted, strict=True))
        for group in groups:
            await _install(group, talks, incarnations)
        return incarnations


async def _open_all(
    stores: Mapping[str, MakeLane], lanes: AsyncExitStack
) -> dict[str, Conversation]:
    opened = await asyncio.gather(
        *(lanes.enter_async_context(conversation(make_lane)) for make_lane in stores.values()),
        return_exceptions=True,
    )
    talks: dict[str, Conversation] = {}
    problems: dict[str, str] = {}
    for store, found in zip(stores, opened, strict=True):
        if isinstance(found, Conversation):
            talks[store] = found
        elif isinstance(found, RegionsError):
            problems[store] = str(found)
        else:
            raise found
    _refuse(problems)
    return talks


async def _require_empty(talks: Mapping[str, Conversation], nonce: str) -> None:
    """A store that has an identity is all right only if this very bootstrap gave it."""
    problems: dict[str, str] = {}
    for store, talk in talks.items():
        found = talk.status.identity
        if not found.incarnation:
            continue
        if found.store_id != store or not await _is_minted_with(talk, nonce):
            problems[store] = (
                f"it is not empty: it is store {found.store_id!r} of a fleet, "
                f"incarnation {found.incarnation}"
            )
    _refuse(problems)


def _refuse(problems: Mapping[str, str]) -> None:
    if problems:
        lines = [f"  {store}: {why}" for store, why in problems.items()]
        raise BootstrapRefused("\n".join(["the fleet cannot be initialised", *lines]))


async def _is_minted_with(talk: Conversation, nonce: str) -> bool:
    identity = talk.status.identity
    reply = await talk.call([FORMAT, "", "", 0], [["mint", "", 0, identity.store_id, nonce]])
    return reply.code == Code.OK and bool(reply.results[0][0] == Code.OK)


async def _mint(talk: Conversation, store: str, nonce: str) -> str:
    reply = await talk.call([FORMAT, "", "", 0], [["mint", "", 0, store, nonce]])
    if reply.code != Code.OK or reply.results[0][0] != Code.OK:
        _refuse({store: "it is not empty any more: somebody else writes to it"})
    return reply.incarnation


async def _install(
    group: NewGroup, talks: Mapping[str, Conversation], incarnations: Mapping[str, str]
) -> None:
    description = GroupDescription(
        group.name,
        FIRST_VERSION,
        group.ttl_ms,
        {store: incarnations[store] for store in group.voters},
        {store: incarnations[store] for store in group.followers},
    )
    command = ["install", group.name, FIRST_VERSION, write_description(description)]
    members = (*group.voters, *group.followers)
    replies = await asyncio.gather(
        *(talks[s].call([FORMAT, incarnations[s], "", 0], [command]) for s in members)
    )
    _refuse(
        {
            store: f"it does not take group {group.name!r}: {reply.code}"
            for store, reply in zip(members, replies, strict=True)
            if reply.code != Code.OK or reply.results[0][0] != Code.OK
        }
    )
