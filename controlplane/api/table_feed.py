"""The routing table for those who watch it: a snapshot, then what changed since.

Leaders can change a thousand times a second, and a table can have ten thousand rows. So nothing is
computed when something changes, only when somebody asks: then the rows that may have changed are
compared with those of the last look, and the differences become one change. A row also changes
without a word, when its leader falls silent: so while somebody watches, a few more rows are looked
at in turn. Looks keep a distance from each other that grows with what they cost, so that watching
takes no more than a tenth of the process, and those who ask for all of it no more than another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Set
from itertools import islice
from typing import Final

from controlplane.api.documents import RouteRow, route_row
from controlplane.api.journal import Journal, frame
from controlplane.api.responses import json_bytes
from controlplane.api.service import Service
from controlplane.api.settings import ApiSettings
from controlplane.views import ShardView

SHARE_MAX: Final = 0.1
"""How much of the time may go into looking at the table for its watchers; as much for the whole."""
IN_TURN: Final = 500
"""So many rows are looked at in turn, whether or not anything was said of them."""
TURN_S: Final = 0.5
"""So often."""


class TableFeed:
    """The routing table as of the last looks, and the changes that led there."""

    def __init__(self, service: Service, settings: ApiSettings) -> None:
        self.journal = Journal(settings.table_changes_max)
        self._service = service
        self._interval_s = settings.table_interval_ms / 1000
        self._seen = (-1, -1)
        self._rows: dict[str, RouteRow] = {}
        self._body = (b"", "")
        self._changed: set[str] = set()
        self._turn: Iterator[str] = iter(())
        self._next_look = self._next_turn = self._next_whole = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def on_table(self, shards: Set[str]) -> None:
        """The node says that these rows may be other ones."""
        self._changed |= shards
        self.journal.wake()

    @property
    def stale(self) -> bool:
        """Whether the table may have changed since the last look."""
        return bool(self._changed) or self._seen != self._version()

    async def settle(self) -> None:
        """Take a look if there is something to see, at a distance from the last one."""
        while not self.journal.closed and (self.stale or time.monotonic() >= self._next_turn):
            wait_s = self._next_look - time.monotonic()
            if wait_s <= 0:
                self.look()
                return
            await asyncio.sleep(wait_s)

    def look(self) -> None:
        """Compare rows that may have changed with the last look, and write down the difference."""
        began = time.thread_time()
        self._seen = self._version()
        self._take({shard: self._service.shard_view(shard) for shard in self._asked()})
        self._rest(max(self._interval_s, (time.thread_time() - began) / SHARE_MAX))

    def look_at_all(self) -> None:
        """Compare the whole table."""
        began = time.thread_time()
        self._seen = self._version()
        self._changed = set()
        found: dict[str, ShardView | None] = dict.fromkeys(self._rows)
        found |= {view.shard: view for view in self._service.shard_views()}
        self._take(found)
        self._rest(self._interval_s)
        took_s = time.thread_time() - began
        self._next_whole = time.monotonic() + max(self._interval_s, took_s / SHARE_MAX)

    def table(self) -> tuple[bytes, str]:
        """The whole table as JSON, as of now, and its entity tag."""
        if time.monotonic() >= self._next_whole:
            self.look_at_all()
        elif self.stale:
            self.look()
        if not self._body[1]:
            self._body = (json_bytes(self._document()), self._etag())
        return self._body

    def snapshot(self) -> bytes:
        """The whole table as the first frame of a stream, as of the last look."""
        return frame("snapshot", self.journal.newest, self._document())

    def close(self) -> None:
        """End every stream: the server stops."""
        self.journal.close()
        if self._alarm is not None:
            self._alarm.cancel()

    def _asked(self) -> set[str]:
        """What to look at now: the rows that were named, and some whose turn it is."""
        asked, self._changed = self._changed, set()
        if time.monotonic() >= self._next_turn:
            self._next_turn = time.monotonic() + TURN_S
            some = list(islice(self._turn, IN_TURN))
            if len(some) < IN_TURN:
                self._turn = iter(list(self._rows))
            asked.update(some)
        return asked

    def _take(self, found: dict[str, ShardView | None]) -> None:
        """What these shards look like now; None is one that is no more."""
        rows = {shard: route_row(view) for shard, view in found.items() if view is not None}
        changed = [row for shard, row in rows.items() if self._rows.get(shard) != row]
        removed = [shard for shard in found if shard in self._rows and shard not in rows]
        if not changed and not removed:
            return
        if self._rows:
            changed.sort(key=_place)
            self.journal.append("change", self._head() | {"shards": changed, "removed": removed})
        for shard in removed:
            del self._rows[shard]
        known = len(self._rows)
        self._rows |= {row.shard: row for row in changed}
        if len(self._rows) > known:
            self._rows = {row.shard: row for row in sorted(self._rows.values(), key=_place)}

    def _rest(self, pause_s: float) -> None:
        """Leave the table alone for a while; then let those who watch ask again."""
        self._body = (b"", "")
        now = time.monotonic()
        self._next_look = now + pause_s
        if self._alarm is not None:
            self._alarm.cancel()
        wake_s = max(pause_s, self._next_turn - now)
        self._alarm = asyncio.get_running_loop().call_later(wake_s, self.journal.wake)

    def _version(self) -> tuple[int, int]:
        return (self._service.map_version, self._service.leadership_revision)

    def _etag(self) -> str:
        # Revisions are this process's own: another node's must not match by chance.
        process = self._service.identity.process.replace('"', "")
        return f'"{self._seen[0]}.{self._seen[1]}.{self.journal.newest}.{process}"'

    def _head(self) -> dict[str, object]:
        return {"map_version": self._seen[0], "leadership_revision": self._seen[1]}

    def _document(self) -> dict[str, object]:
        return {
            "revision": self.journal.newest,
            **self._head(),
            "node": self._service.identity.node,
            "shards": list(self._rows.values()),
        }


def _place(row: RouteRow) -> tuple[bool, int, str]:
    """Where a row stands in the table: by slot; shards without slots come last."""
    return (row.first_slot == row.end_slot, row.first_slot, row.shard)
