"""The ways in which one kind of shard can stand: a leader's region and where its voters are.

With region survival, each voter has a region of its own: `R * C(R - 1, n - 1)` patterns, sorted by
leader. With zone survival, all voters are in the leader's region: R patterns, of n copies each.
Where there would be more than `PATTERNS_MAX`, voters are taken from the regions nearest to each
leader only, and `complete` is False: a bound then holds for these patterns, not for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shards.placement.problem import NOWHERE, Floats, Masks, Places, Survival, mask_of

PATTERNS_MAX = 8_000


class Kind(NamedTuple):
    """What decides which patterns a shard has."""

    survival: Survival
    voters: int


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """One row for each pattern, sorted by leader; each leader has equally many."""

    kind: Kind
    leader: Places
    voters: Masks
    copies: NDArray[np.float32]
    """`[K, R]`: how many voters are in each region."""
    quorum_ms: Floats
    """From the leader to the voter whose answer makes a majority, its own store included."""
    spread_usd_per_gb: Floats
    """What one GB costs to send from the leader to all other voters."""
    near: Places
    """`[K, R]`: which voter's region is nearest to each region."""
    complete: bool

    def __len__(self) -> int:
        return len(self.leader)

    @property
    def per_leader(self) -> int:
        """How many patterns each leader region has; pattern k is led from `k // per_leader`."""
        regions: int = self.copies.shape[1]
        return len(self.leader) // regions

    def numbers(self, leader: Places, voters: Masks) -> NDArray[np.int32]:
        """The number of the pattern with each leader and voters, or NOWHERE."""
        found = np.full(len(leader), NOWHERE, dtype=np.int32)
        if not len(self):
            return found
        order = np.lexsort((self.voters, self.leader))
        masks = self.voters[order].reshape(-1, self.per_leader)
        for place, ordered in enumerate(masks):
            here = np.flatnonzero(leader == place)
            at = np.minimum(np.searchsorted(ordered, voters[here]), len(ordered) - 1)
            known = ordered[at] == voters[here]
            found[here[known]] = order[place * self.per_leader + at[known]]
        return found

    def index(self) -> dict[tuple[int, int], int]:
        """The number of each pattern by its leader and its mask of voters."""
        pairs = zip(self.leader.tolist(), self.voters.tolist(), strict=True)
        return {pair: number for number, pair in enumerate(pairs)}


def patterns_of(kind: Kind, rtt_ms: Floats, egress_usd_per_gb: Floats) -> Patterns:
    """Every pattern of a kind of shard among these regions; none where regions are too few."""
    regions = len(rtt_ms)
    sets: list[tuple[int, tuple[int, ...]]]
    if kind.survival is Survival.ZONE:
        sets, complete = [(place, (place,)) for place in range(regions)], True
        copies_each = kind.voters
    else:
        sets, complete = _spread_sets(rtt_ms, kind.voters)
        copies_each = 1
    leader = np.array([place for place, _ in sets], dtype=np.int16)
    copies = np.zeros((len(sets), regions), dtype=np.float32)
    for number, (_, places) in enumerate(sets):
        copies[number, list(places)] = copies_each
    to_leader = rtt_ms[leader]
    quorum = kind.voters // 2 + 1
    if copies_each > 1:
        quorum_ms = to_leader[np.arange(len(sets)), leader]
    else:
        quorum_ms = np.sort(np.where(copies > 0, to_leader, np.inf), axis=1)[:, quorum - 1]
    prices = egress_usd_per_gb[leader]
    spread = (copies * prices).sum(axis=1) - prices[np.arange(len(sets)), leader]
    return Patterns(
        kind=kind,
        leader=leader,
        voters=np.array([mask_of(places) for _, places in sets], dtype=np.uint64),
        copies=copies,
        quorum_ms=quorum_ms,
        spread_usd_per_gb=spread,
        near=nearest(copies > 0, rtt_ms),
        complete=complete,
    )


def nearest(held: NDArray[np.bool_], rtt_ms: Floats) -> Places:
    """Of the regions that hold a copy, the nearest to each region, `[N, R]`; first of equals."""
    distances = np.where(held[:, None, :], rtt_ms[None, :, :], np.inf)
    near: Places = distances.argmin(axis=2).astype(np.int16)
    return near


def _spread_sets(rtt_ms: Floats, voters: int) -> tuple[list[tuple[int, tuple[int, ...]]], bool]:
    """Leader and places of every set of so many regions, sorted by leader."""
    regions = len(rtt_ms)
    if voters > regions:
        return [], True
    others = regions - 1
    while regions * comb(others, voters - 1) > PATTERNS_MAX:
        others -= 1
    sets: list[tuple[int, tuple[int, ...]]] = []
    for leader in range(regions):
        away = np.argsort(rtt_ms[leader], kind="stable").tolist()
        away.remove(leader)
        sets += [
            (leader, tuple(sorted((leader, *rest))))
            for rest in combinations(sorted(away[:others]), voters - 1)
        ]
    return sets, others == regions - 1
