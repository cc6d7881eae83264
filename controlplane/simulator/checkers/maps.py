"""The shard map: no two nodes ever know it differently, and every slot belongs to one shard.

Also where shards go over into others: a slot that belonged to a shard belongs to one ever after.

Every node follows the map in its own region's copy of the system shard, and says of which version
it knows. Two that name the same version must show the same rows, whoever leads and whenever they
looked: a map that forks is routed by differently for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from controlplane.simulator.checkers.findings import Findings

SLOTS = 16_384
VERSIONS_MAX = 1_000  # kept to compare with; nodes are seldom further apart


@dataclass(frozen=True, slots=True)
class MapRow:
    """One shard of the map, as a node shows it."""

    shard: str
    group: str
    first_slot: int
    end_slot: int
    regions: tuple[str, ...]


class MapChecker:
    """Fed with the map as nodes know it, now and then; `versions` says how many were seen."""

    def __init__(self, findings: Findings, slots: int = SLOTS) -> None:
        self._findings = findings
        self._slots = slots
        self._known: dict[int, tuple[str, tuple[MapRow, ...]]] = {}
        self._last: dict[str, int] = {}
        self.versions = 0

    def shown(self, process: str, version: int, rows: tuple[MapRow, ...], at_ms: int) -> None:
        """`process` knows the map of this version so."""
        before = self._last.get(process, 0)
        self._last[process] = version
        if version < before:
            detail = f"{process} took the map from version {before} back to {version}"
            self._findings.add("map versions never decrease", at_ms, detail)
        known = self._known.get(version)
        if known is None:
            self._keep(process, version, rows)
            self._check_slots(process, version, rows, at_ms)
        elif set(known[1]) != set(rows):
            differing = sorted({row.shard for row in set(known[1]) ^ set(rows)})
            detail = f"{process} and {known[0]} know version {version} of {differing} differently"
            self._findings.add("the map has no forks", at_ms, detail)

    def _keep(self, process: str, version: int, rows: tuple[MapRow, ...]) -> None:
        self._known[version] = (process, rows)
        self.versions += 1
        if len(self._known) > VERSIONS_MAX:
            del self._known[min(self._known)]

    def _check_slots(
        self, process: str, version: int, rows: tuple[MapRow, ...], at_ms: int
    ) -> None:
        slots = sorted((row.first_slot, row.end_slot, row.shard) for row in rows)
        for (_, end, left), (first, _, right) in pairwise(slots):
            if first > end and self._is_whole(slots):
                detail = f"version {version} at {process}: nobody has slot {end}"
                self._findings.add("a slot belongs to one shard", at_ms, detail)
            if first < end:
                detail = f"version {version} at {process}: {left} and {right} share slot {first}"
                self._findings.add("a slot belongs to one shard", at_ms, detail)
        if slots and not (slots[0][0] >= 0 and slots[-1][1] <= self._slots):
            detail = f"version {version} at {process} has slots beyond {self._slots}"
            self._findings.add("a slot belongs to one shard", at_ms, detail)

    def _is_whole(self, slots: list[tuple[int, int, str]]) -> bool:
        """Whether the map was written to its end: the first one comes in several entries."""
        return max(end for _, end, _ in slots) == self._slots
