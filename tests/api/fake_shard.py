"""One shard of a fleet in memory, as all nodes of a test share it."""

from __future__ import annotations

from dataclasses import dataclass, field

from controlplane.requests import Value, Written


@dataclass
class FakeShard:
    """One shard of the fake fleet: its data, its log's length, its leader."""

    shard: str
    first_slot: int
    end_slot: int
    epoch: int = 1
    leader: str | None = None
    sequence: int = 0
    values: dict[str, tuple[str, Value]] = field(default_factory=dict)
    ids: dict[str, tuple[str, Written]] = field(default_factory=dict)
    size_bytes: int = 0
