"""What a shard that was born of others takes over from them: their names in documents, their load.

A resharding gives every child a new name. What a document says of a shard holds for whoever
continues it; and until clients have shown the child's own load for a while, it has what is left of
its parents', by the slots that it took: that fades as the child's own grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from controlplane.views import ReshardingView
from shards.load import NOTHING, Rates
from shards.load_table import LoadTable
from shards.resharding import Part, Phase

GENERATIONS_MAX: Final = 8


class Lineage:
    """The parents of all shards, as far as reshardings are remembered."""

    def __init__(self, reshardings: Iterable[ReshardingView]) -> None:
        self._parents: dict[str, list[tuple[str, float]]] = {}
        for each in reshardings:
            if each.phase is not Phase.DONE:
                continue
            for child in each.children:
                shares = [(parent.shard, _share(child, parent)) for parent in each.parents]
                self._parents[child.shard] = shares

    def loads(self, shard: str, table: LoadTable) -> Mapping[str, Rates]:
        """The load of a shard, by the region it came from, with what its ancestors leave it."""
        if shard not in self._parents:
            return table.of(shard)
        found: dict[str, Rates] = {}
        ahead = [(shard, 1.0)]
        for _ in range(GENERATIONS_MAX):
            for name, share in ahead:
                for region, rates in table.of(name).items():
                    part = Rates(*(share * rate for rate in rates))
                    found[region] = found.get(region, NOTHING).plus(part)
            ahead = [
                (parent, share * part)
                for name, share in ahead
                for parent, part in self._parents.get(name, ())
            ]
        return found


def _share(child: Part, parent: Part) -> float:
    """How much of a parent a child takes."""
    taken = min(child.end_slot, parent.end_slot) - max(child.first_slot, parent.first_slot)
    return max(0, taken) / (parent.end_slot - parent.first_slot)
