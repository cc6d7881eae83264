"""What a region could still do if it were cut off from all others at this moment, and how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

from controlplane.node.quorum_loss import STOP_TTLS
from controlplane.views import FleetView, GroupView


@dataclass(frozen=True, slots=True)
class Alone:
    """Shards by what a region alone could do with them. Together they are all there are.

    `goes_on`: their quorum is in the region, so nothing changes, for as long as it takes.
    `reads_only`: copies are read, ever older, without an end. `stops`: they are read for
    `stops_after_ms` at most, as `on_quorum_loss` wants it. `nothing`: the region has no copy, or
    one that rests. Strong reads of what does not go on end with the lease: in `strong_reads_ms` at
    the latest.
    """

    goes_on: int
    reads_only: int
    stops: int
    nothing: int
    strong_reads_ms: int | None
    stops_after_ms: int | None


def alone(region: str, fleet: FleetView) -> Alone:
    """What the region could do alone, with the stores of it that are up."""
    here = {s.store for s in fleet.stores if s.region == region and s.state != "down"}
    goes_on = reads_only = stops = nothing = 0
    cut_off: list[GroupView] = []
    for group in fleet.groups:
        if len(here.intersection(group.voters)) >= group.quorum:
            goes_on += group.shards
        elif here.isdisjoint((*group.voters, *group.followers)):
            nothing += group.shards
        else:
            at_rest = _at_rest(region, group, here)
            stops += group.stops - at_rest[True]
            reads_only += group.shards - group.stops - at_rest[False]
            nothing += at_rest.total()
            cut_off.append(group)
    ttls_ms = [group.ttl_ms for group in cut_off]
    stopping_ms = [STOP_TTLS * group.ttl_ms for group in cut_off if group.stops]
    return Alone(
        goes_on, reads_only, stops, nothing,
        max(ttls_ms, default=None), max(stopping_ms, default=None),
    )  # fmt: skip


def _at_rest(region: str, group: GroupView, here: Set[str]) -> Counter[bool]:
    """Shards of a group that the region could not read, by whether they stop anyway."""
    found: Counter[bool] = Counter()
    if here.isdisjoint(group.voters):
        for (where, stops), shards in group.resting.items():
            found[stops] += shards * (where == region)
    return found
