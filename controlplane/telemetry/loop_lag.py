"""How late the event loop is: the plainest sign that a leader does work it should not do.

A timer is set again and again; whatever it comes late is time in which no renewal could leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.1


async def watch_loop_lag(report: Callable[[float], None], every_s: float = EVERY_S) -> None:
    """Report, in seconds, by how much each of a series of timers was late. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        report(max(0.0, loop.time() - due))
