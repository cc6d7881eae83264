"""Turning what stores answer into what clients are answered."""

from __future__ import annotations

from typing import Any

from controlplane.requests import Found, Provenance, Role, Scanned, Tenures, Value
from regions.codec import as_bytes, unpack


def provenance(
    shard: str, epoch: int, position: int, staleness_ms: int | None, role: Role, store: str
) -> Provenance:
    """What an answer says of itself."""
    return Provenance(shard, epoch, position, staleness_ms, role, store)


def found_values(values: list[Any], where: Provenance) -> Found:
    """From a `read` payload: [version, value] or false for each key."""
    return Found(tuple(Value(v[0], as_bytes(v[1])) if v else None for v in values), where)


def scanned_items(items: list[Any], more: int, where: Provenance) -> Scanned:
    """From a `scan` payload: [key, version, value] for each key found."""
    found = tuple((key, Value(version, as_bytes(value))) for key, version, value in items)
    return Scanned(found, bool(more), where)


def tenures(shard: str, records: list[Any]) -> Tenures:
    """From a `history` payload: [epoch, record] for each tenure."""
    return Tenures(shard, tuple(unpack(record) for _, record in records))
