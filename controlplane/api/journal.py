"""What happened lately, numbered, for everybody who watches, and for those who come back.

A journal keeps the last so many events as ready-made frames of a server-sent event stream. A
watcher is only a cursor into it, so a slow one costs nothing and holds nobody up: once it has
fallen behind what is kept, it is told so, and begins anew. Revisions follow each other without
gaps. They begin at the time the process was started, in microseconds: so a revision that another
node or an earlier run gave out is not taken for one of this journal's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import orjson

from controlplane.problems import RequestRefused


class Journal:
    """The last `kept_max` events. All calls come from one event loop."""

    def __init__(self, kept_max: int, clock_us: Callable[[], int] | None = None) -> None:
        first = clock_us() if clock_us is not None else time.time_ns() // 1000
        self._frames: deque[bytes] = deque(maxlen=kept_max)
        self._changed = asyncio.Event()
        self.newest = first
        """The revision of the last event; before the first one, where counting begins."""
        self.closed = False

    @property
    def oldest(self) -> int:
        """The revision of the oldest event that is kept; `newest + 1` when none is."""
        return self.newest - len(self._frames) + 1

    def append(self, kind: str, document: dict[str, Any]) -> int:
        """Add an event; its revision goes into the document and is returned."""
        self.newest += 1
        self._frames.append(frame(kind, self.newest, {"revision": self.newest} | document))
        self.wake()
        return self.newest

    def after(self, revision: int) -> list[bytes]:
        """The frames of all events behind `revision`; none when it is the newest.

        Raises RequestRefused (`compacted`) when some of them are no longer kept, or when this
        journal never gave out that revision.
        """
        if not self.oldest - 1 <= revision <= self.newest:
            raise RequestRefused(
                "compacted",
                f"revision {revision} is not among those kept here: begin anew without it",
                more={"oldest": self.oldest, "newest": self.newest},
            )
        if revision == self.newest:
            return []
        return list(islice(self._frames, revision - self.oldest + 1, None))

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed.clear()

    def close(self) -> None:
        """End every stream: the server stops."""
        self.closed = True
        self.wake()

    async def changed(self) -> None:
        """Wait until there may be something new."""
        await self._changed.wait()


def frame(kind: str, revision: int, document: Any) -> bytes:
    """One server-sent event. JSON as orjson writes it has no line breaks."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (revision, kind.encode(), orjson.dumps(document))
