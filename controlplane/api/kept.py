"""Answers that stay right for a moment, and may be given again within it.

A popular question is asked a thousand times a second, and the answer changes when a leader does. So
answers are kept for a short window, and all of them are dropped when it ends, or as soon as the
version they were made for is another. Whoever makes an answer that holds ages or remaining times
gives them as they will be at the end of the window, never as they are at its beginning.
"""

from __future__ import annotations

import time
from collections.abc import Hashable


class Kept:
    """Answers by question, of one version, for at most `kept_ms`."""

    __slots__ = ("_answers", "_until", "_version", "kept_ms")

    def __init__(self, kept_ms: int) -> None:
        self.kept_ms = kept_ms
        self._answers: dict[Hashable, bytes] = {}
        self._until = 0.0
        self._version: Hashable = None

    def get(self, question: Hashable, version: Hashable) -> bytes | None:
        """The answer to this question, if it was kept and still stands."""
        now = time.monotonic()
        if now >= self._until or version != self._version:
            self._answers.clear()
            self._until = now + self.kept_ms / 1000
            self._version = version
            return None
        return self._answers.get(question)

    def keep(self, question: Hashable, answer: bytes) -> None:
        """Keep an answer to what `get` was just asked, until the window ends."""
        self._answers[question] = answer
