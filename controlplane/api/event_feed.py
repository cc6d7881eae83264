"""The life-cycle events of this node, for those who watch."""

from __future__ import annotations

import time

from controlplane.api.journal import Journal
from controlplane.api.settings import ApiSettings
from controlplane.machine import Happened


class EventFeed:
    """Elections, transfers, fencings and the rest, as this node saw them."""

    def __init__(self, settings: ApiSettings) -> None:
        self.journal = Journal(settings.events_max)

    def happened(self, event: Happened) -> None:
        """Take note of one event, with the time on the wall, for people."""
        self.journal.append(
            event.kind,
            {
                "wall_ms": time.time_ns() // 1_000_000,
                "kind": event.kind,
                "shard": event.shard,
                "epoch": event.epoch,
                "detail": event.detail,
            },
        )
