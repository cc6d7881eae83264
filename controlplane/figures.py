"""What a node knows in figures, for whoever scrapes it: made on demand, like the views.

Times are milliseconds, counts begin with the process. Nothing here grows with the number of shards:
of those, only the first few of a list are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Ranked: TypeAlias = tuple[tuple[str, float], ...]
"""Shards with a figure each, the greatest first."""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One group: what was judged of its leaders here, and how this node's own lease is."""

    group: str
    valid_ms: int = 0
    """Milliseconds of shards with a valid leader."""
    leaderless_ms: int = 0
    """... and without."""
    leaderless: int = 0
    leaderless_longest_ms: int = 0
    rounds: int = 0
    """Renewals of this node's session that were due."""
    rounds_done: int = 0
    lease_left_ms: int | None = None
    """Of this node; None where it leads nothing."""


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node."""

    groups: tuple[GroupFigures, ...] = ()
    elections: Mapping[str, int] = field(default_factory=dict)
    """By what came of them: `won`, or why they came to nothing."""
    follower_lag_ms: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By the regions of leaders and stores: how old copies may be, at the worst."""
    entries_behind: Mapping[str, int] = field(default_factory=dict)
    """By region: entries that a store lacks of a shard that is led here, at the worst."""
    flapping: int = 0
    """Shards that pass from leader to leader and do not come to rest."""
    flapping_first: tuple[str, ...] = ()
    """A few of those."""
    fenced_writes: int = 0
    requests_open: int = 0
    orphaned: int = 0
    """Requests that should have been answered, and were not."""
    log_entries: int = 0
    """Of shards led here: not trimmed yet, at the leader."""
    log_bytes: int = 0
    shard_bytes: int = 0
    table_age_ms: int | None = None
    """Since the shard map was known to be the newest; None before it was."""
    quarantined: frozenset[str] = frozenset()
    busiest: Ranked = ()
    """By requests a second that come in at this node."""
    longest_leaderless: Ranked = ()
    """By milliseconds."""
