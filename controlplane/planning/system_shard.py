"""Reading the system shard at the node that leads it: values by key, and all of a prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.problems import RequestRefused, from_refusal
from controlplane.requests import Found, Read, Refused, Scan, Scanned, Value

SCANNED_AT_ONCE: Final = 1_000
Record = TypeVar("Record")
Packed = TypeVar("Packed")


async def values_of(service: Service, *keys: str) -> tuple[Value | None, ...]:
    """The values of some keys, all as of one moment. Raises RequestRefused."""
    outcome = await service.submit(Read(SYSTEM, keys))
    if isinstance(outcome, Refused):
        raise from_refusal(outcome)
    assert isinstance(outcome, Found), outcome
    return outcome.values


async def scan_all(service: Service, partition: str, prefix: str) -> list[tuple[str, Value]]:
    """Every key with a prefix, and its value. Raises RequestRefused."""
    found: list[tuple[str, Value]] = []
    after, more = "", True
    while more:
        outcome = await service.submit(Scan(SYSTEM, partition, prefix, after, SCANNED_AT_ONCE))
        if isinstance(outcome, Refused):
            raise from_refusal(outcome)
        assert isinstance(outcome, Scanned), outcome
        found += outcome.items
        after, more = outcome.items[-1][0] if outcome.items else "", outcome.more
    return found


def known_as(read: Callable[[Packed], Record], packed: Packed) -> Record:
    """A record as it was kept. Raises RequestRefused when this release cannot read it."""
    try:
        return read(packed)
    except ValueError as complaint:
        raise RequestRefused("not-ready", f"{complaint}; ask a node of a newer release") from None
