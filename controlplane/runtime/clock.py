"""The one clock of a process: monotonic, counting suspended time, in whole milliseconds.

`time.monotonic()` stands still while a machine is suspended, so a lease measured with it would
outlive its own end. `CLOCK_BOOTTIME` goes on. What it shows means nothing to any other process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]

_NS_PER_MS = 1_000_000


def boottime_ms() -> int:
    """Give milliseconds since the machine started, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _NS_PER_MS
