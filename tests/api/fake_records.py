"""What a node in memory knows of the records that lie in the system shard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.rollout import Rollout
from config.rollout_record import PREFIX as ROLLOUTS
from config.rollout_record import read_rollout
from config.rollout_step import Ack
from controlplane.node.drains import PREFIX as DRAINS
from controlplane.node.drains import Drain, read_drain
from controlplane.node.resting import PREFIX as COPIES
from controlplane.node.resting import CopiesOf, read_copies


class FakeRecords:
    """The part of a fake service that reads them; `said` is what nodes acknowledged."""

    fleet_of: Any
    identity: Any
    said: dict[tuple[str, int, str], Ack]

    def rollouts(self) -> tuple[tuple[Rollout, int], ...]:
        return tuple(
            (read_rollout(value.data), value.version) for _, value in self._records(ROLLOUTS)
        )

    def acks(self, document: str, rollout: int) -> Mapping[str, Ack]:
        return {
            node: ack
            for (name, number, node), ack in self.said.items()
            if (name, number) == (document, rollout)
        }

    def drains(self) -> tuple[tuple[Drain, int], ...]:
        found = self._records(DRAINS)
        return tuple((read_drain(key, value.data), value.version) for key, value in found)

    def copies(self) -> Mapping[str, CopiesOf]:
        found = [read_copies(key, v.data, v.version) for key, v in self._records(COPIES)]
        return {each.shard: each for each in found}

    def _records(self, prefix: str) -> list[tuple[str, Any]]:
        kept = self.fleet_of.shards["system"].values
        return [(key, value) for key, (_, value) in sorted(kept.items()) if key.startswith(prefix)]
