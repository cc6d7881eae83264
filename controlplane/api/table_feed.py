"""The routing table for those who watch it: a snapshot, then what changed since.

Leaders can change a thousand times a second, and a table can have ten thousand rows. So nothing is
computed when something changes, only when somebody asks: then the rows are compared with those of
the last look, and the differences become one change. Looks keep a distance from each other that
grows with what they cost, so that watching never takes more than a tenth of the process.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from controlplane.api.documents import RouteRow, route_row
from controlplane.api.journal import Journal, frame
from controlplane.api.responses import json_bytes
from controlplane.api.service import Service
from controlplane.api.settings import ApiSettings

SHARE_MAX: Final = 0.1
"""How much of the time may go into looking at the table for its watchers."""


class TableFeed:
    """The routing table as of the last look, and the changes that led there."""

    def __init__(self, service: Service, settings: ApiSettings) -> None:
        self.journal = Journal(settings.table_changes_max)
        self._service = service
        self._interval_s = settings.table_interval_ms / 1000
        self._next_look = 0.0
        self._seen = (-1, -1)
        self._rows: dict[str, RouteRow] = {}
        self._body = (b"", "")

    def on_table(self) -> None:
        """The node says that the table is another one."""
        self.journal.wake()

    @property
    def stale(self) -> bool:
        """Whether the table has changed since the last look."""
        return self._seen != self._version()

    async def settle(self) -> None:
        """Take a look if there is something to see, at a distance from the last one."""
        while self.stale and not self.journal.closed:
            wait_s = self._next_look - time.monotonic()
            if wait_s <= 0:
                self.look()
                return
            await asyncio.sleep(wait_s)

    def look(self) -> None:
        """Compare the table with the last look, and write down the difference."""
        began = time.monotonic()
        version = self._version()
        rows = {view.shard: route_row(view) for view in self._service.shard_views()}
        changed = [row for shard, row in rows.items() if self._rows.get(shard) != row]
        removed = [shard for shard in self._rows if shard not in rows]
        if self._rows and (changed or removed):
            self.journal.append(
                "change",
                {
                    "map_version": version[0],
                    "leadership_revision": version[1],
                    "shards": changed,
                    "removed": removed,
                },
            )
        self._rows = rows
        self._seen = version
        self._body = (b"", "")
        done = time.monotonic()
        self._next_look = done + max(self._interval_s, (done - began) / SHARE_MAX)

    def table(self) -> tuple[bytes, str]:
        """The whole table as JSON, as of now, and its entity tag."""
        if self.stale:
            self.look()
        if not self._body[1]:
            self._body = (json_bytes(self._document()), self._etag())
        return self._body

    def snapshot(self) -> bytes:
        """The whole table as the first frame of a stream, as of the last look."""
        return frame("snapshot", self.journal.newest, self._document())

    def _version(self) -> tuple[int, int]:
        return (self._service.map_version, self._service.leadership_revision)

    def _etag(self) -> str:
        # Revisions are this process's own: another node's must not match by chance.
        process = self._service.identity.process.replace('"', "")
        return f'"{self._seen[0]}.{self._seen[1]}.{process}"'

    def _document(self) -> dict[str, object]:
        return {
            "revision": self.journal.newest,
            "map_version": self._seen[0],
            "leadership_revision": self._seen[1],
            "node": self._service.identity.node,
            "shards": list(self._rows.values()),
        }
