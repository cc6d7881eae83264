"""No two tenures of a shard overlap: what every store says of its shards' history is looked at."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.simulator.checkers.findings import Findings
from regions.codec import unpack
from regions.scripts.model import StoreModel
from shards.tenures import overlaps


def check_tenures(twins: Iterable[StoreModel], now_ms: int, findings: Findings) -> None:
    """Find tenures in any copy that do not follow the one before."""
    for twin in twins:
        for group in twin.state.groups.values():
            for shard, found in group.shards.items():
                history = found.data.history
                lines = [unpack(history[epoch]) for epoch in sorted(history)]
                for problem in overlaps(lines):
                    findings.add("no two tenures overlap", now_ms, f"{shard}: {problem}")
