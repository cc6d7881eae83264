"""When a fleet is whole again: nodes answer, shards are led, every store is as expected."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.chaos.eyes import Eyes

LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many shards there are, and which stores need not be up."""

    shards: int
    others: Mapping[str, str]
    """Stores that are to end in another state than up, and in which."""


async def until_whole(eyes: Eyes, expected: Expectation, seconds: float) -> str:
    """Wait until the fleet is whole; give "" then, or what was still missing in the end."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        missing = await _missing(eyes, expected)
        if not missing or loop.time() > give_up:
            return missing
        await asyncio.sleep(LOOK_S)


async def _missing(eyes: Eyes, expected: Expectation) -> str:
    led: set[str] = set()
    for node in eyes.urls:
        status = await eyes.document(node, "/v1/status")
        if status is None:
            return f"{node} does not answer"
        states = {row["store"]: row["state"] for row in status["stores"]}
        wrong = {s: w for s, w in states.items() if w != expected.others.get(s, "up")}
        if wrong:
            return f"{node} sees {_listed(wrong)}"
        if lame := _lame_groups(status, expected.others):
            return f"{node} sees {lame}"
        rows = await eyes.rows(node)
        if dark := [row["shard"] for row in rows if row["leader"] is None]:
            return f"{node} knows no leader of {', '.join(dark[:5])}"
        led |= {row["shard"] for row in rows if row["lease_remaining_ms"] is not None}
    if len(led) < expected.shards:
        return f"{len(led)} of {expected.shards} shards are led"
    return ""


def _lame_groups(status: Mapping[str, Any], others: Collection[str]) -> str:
    """Groups in which fewer stores count than could: a store that is up need not have a vote."""
    found = []
    for group in status["groups"]:
        wanted = len([store for store in group["voters"] if store not in others])
        if group["reachable"] < wanted:
            found.append(f"{group['reachable']} of {wanted} voters of {group['group']} count")
    return ", ".join(found)


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{store} {state}" for store, state in sorted(states.items()))


async def states_of(eyes: Eyes, stores: Collection[str]) -> dict[str, str]:
    """The states of some stores, as the node shows them that thinks worst of each."""
    found = {}
    for store in stores:
        row = await eyes.store(store)
        found[store] = "not known" if row is None else str(row["state"])
    return found
