"""One line on stderr for everything that happens to a leadership, for people and for grep.

    2026-03-01T12:00:00.123Z INFO  eu-central-1-n1 elected shard=s03 epoch=7 took_ms=31

Of each kind so many a second, and the number of those that were left out: `left-out of=stuck
lines=8123`. Counters have all of them. Values with spaces or quotes are quoted, so a line can be
taken apart again. Wall time is for the reader alone; nothing in the product compares it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping

from controlplane.machine import Happened

LOGGER = logging.getLogger("leadplane")

QUIET_KINDS = frozenset({"renewed"})
"""What happens all the time and is counted, but told only to who asks for debug output."""
LOUD_KINDS = frozenset(
    {
        "fenced",
        "stale-accepted",
        "stuck",
        "expired",
        "evicted",
        "store-refused",
        "low-headroom",
        "unsafe-ttl",
        "diverged",
        "group-lost",
        "force-recover",
        "force-recover-refused",
        "audit-broken",
        "audit-note-lost",
        "group-forced",
        "events-unreadable",
        "elections-dropped",
    }
)
"""What an operator may have to look after."""
LINES_A_SECOND = 200
"""Of one kind; what is beyond is counted. When thousands of shards change hands at once, to write a
line of each would hold up the renewals of all."""


def set_up_logging(node: str, level: str) -> None:
    """Send our log, and warnings of the libraries, to stderr in the form above."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)-5s {node} %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.addLevelName(logging.WARNING, "WARN")
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(level.upper())


class LifecycleLog:
    """Writes what happens to leaderships at one node, of each kind so much a second."""

    def __init__(
        self,
        lines_a_second: int = LINES_A_SECOND,
        trace_of: Callable[[Happened], str | None] = lambda event: None,
    ) -> None:
        """`trace_of` tells the trace that an event belongs to, when there are traces."""
        self._most = lines_a_second
        self._trace_of = trace_of
        self._second = 0
        self._counts: Counter[str] = Counter()

    def happened(self, event: Happened) -> None:
        """Write one life-cycle event."""
        if event.kind in QUIET_KINDS:
            level = logging.DEBUG
        else:
            level = logging.WARNING if event.kind in LOUD_KINDS else logging.INFO
        if not LOGGER.isEnabledFor(level) or not self._admits(event.kind, int(time.monotonic())):
            return
        fields: dict[str, object] = {}
        if event.shard:
            fields = {"shard": event.shard, "epoch": event.epoch}
        trace = self._trace_of(event)
        traced = {} if trace is None else {"trace": trace}
        LOGGER.log(level, "%s", line_of(event.kind, fields | event.detail | traced))

    def _admits(self, kind: str, second: int) -> bool:
        if second != self._second:
            self.tell_left_out()
            self._second = second
        self._counts[kind] += 1
        return self._counts[kind] <= self._most

    def tell_left_out(self) -> None:
        """Say how many lines were not written."""
        counts, self._counts = self._counts, Counter()
        for kind, lines in counts.items():
            if lines > self._most:
                LOGGER.warning("%s", line_of("left-out", {"of": kind, "lines": lines - self._most}))


def log_line(kind: str, **fields: object) -> None:
    """Write one line about the process itself, in the same form, at level INFO."""
    LOGGER.info("%s", line_of(kind, fields))


def line_of(kind: str, fields: Mapping[str, object]) -> str:
    """Write a word and its fields as one line."""
    return " ".join([kind, *(f"{name}={_quoted(value)}" for name, value in fields.items())])


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    plain = text and text.isprintable() and not any(mark in text for mark in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)
