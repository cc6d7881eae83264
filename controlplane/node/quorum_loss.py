"""What becomes of a shard's reads when its quorum is lost: they go on and grow old, or they stop.

Theory of operation. Without a majority nothing is written, whatever anybody wishes. Copies could
still be read, and say how old they are; that is what happens unless the document `constraints` has
the shard `stop`. Then a copy is read only as long as a leader vouches for it: when that was longer
ago than STOP_TTLS leases, it is refused. No clock and no count of stores is trusted for this, only
the bound that every copy's answer has anyhow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from config.document import Kind
from config.shard_rules import rule_of

if TYPE_CHECKING:
    from controlplane.node.group import Group
    from controlplane.node.node import Node

PART: Final = "on_quorum_loss"
STOP: Final = "stop"
STOP_TTLS: Final = 2


class QuorumLoss:
    """What the documents in force here say of it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._as_of = (-1, -1)
        self._content: Mapping[str, Any] = {}
        self._known: dict[str, bool] = {}
        self._counted_as_of = ((-1, -1), -1)
        self._counts: Mapping[str, int] = {}

    def stops(self, shard: str) -> bool:
        """Whether reads of a shard stop with its quorum; the first entry that fits it, or
        a shard that it continues, holds."""
        self._read()
        if not self._content.get(PART):
            return False
        known = self._known.get(shard)
        if known is None:
            number = rule_of(self._content, PART, self._node.reshardings.names(shard))
            stops = number is not None and self._content[PART][number]["then"] == STOP
            known = self._known[shard] = stops
        return known

    def refuses(self, group: Group, shard: str, staleness_ms: int | None) -> bool:
        """Whether a copy with this bound must not be read any more."""
        if not self.stops(shard):
            return False
        return staleness_ms is None or staleness_ms > STOP_TTLS * group.times.ttl_ms

    def count(self) -> Mapping[str, int]:
        """How many shards of each group stop."""
        self._read()
        if not self._content.get(PART):
            return {}
        as_of = (self._as_of, self._node.map_version)
        if as_of != self._counted_as_of:
            rows = self._node.directory.rows.values()
            self._counts = Counter(row.group for row in rows if self.stops(row.shard))
            self._counted_as_of = as_of
        return self._counts

    def _read(self) -> None:
        as_of = (self._node.feed.position, self._node.reshardings.lineage)
        if as_of == self._as_of:
            return
        if as_of[0] != self._as_of[0]:
            self._content = self._node.feed.content(Kind.CONSTRAINTS)
        self._as_of, self._known = as_of, {}
