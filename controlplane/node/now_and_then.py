"""What is done about each of many things, now and then.

A question that got no answer is simply asked again the next time: nobody waits for it.
"""

from __future__ import annotations


class NowAndThen:
    """Lets the same thing be done again only after a while, each name by itself."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._not_before_ms: dict[str, int] = {}

    def allows(self, name: str, now_ms: int) -> bool:
        """Whether it is time for this one; if so, the next time is a while from now."""
        if now_ms < self._not_before_ms.get(name, 0):
            return False
        self._not_before_ms[name] = now_ms + self._every_ms
        return True
