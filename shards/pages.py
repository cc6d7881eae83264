"""A walk over the applied state of one shard at one store, page by page, while writes go on.

What is read is fuzzy: later pages show later writes. It becomes a copy that can be trusted once
everything up to the latest page's position has been applied over it, from the walk's start on.
"""

from __future__ import annotations

from typing import Any

PAGE_BYTES = 128 * 1024
PARTS = ("kv", "id", "hi")


class Pages:
    """The walk from `start`: (epoch, sequence, chain) of an entry that the source has applied."""

    __slots__ = ("_after", "_more", "_part", "records", "start", "upto")

    def __init__(self, start: tuple[str, int, int]) -> None:
        self.start = start
        self.upto = start[1]  # the greatest position that a page showed
        self.records: list[list[Any]] = []  # of the present page
        self._part = 0
        self._after = ""
        self._more = False

    @property
    def part(self) -> str:
        """What the present page is of."""
        return PARTS[self._part]

    def next_page(self) -> list[Any]:
        """The arguments of `page`, after the shard's name, that read on."""
        return [self.part, self._after, PAGE_BYTES]

    def read(self, payload: list[Any]) -> bool:
        """The source answered [ap, records, more]; False if it has not applied the start."""
        applied, records, more = payload
        if applied < self.start[1]:
            return False
        self.upto = max(self.upto, applied)
        self.records = records
        self._more = bool(more)
        return True

    def stored(self) -> bool:
        """The target has the present page; says whether it was the last one."""
        if self._more:
            self._after = self.records[-1][0]
        else:
            self._part += 1
            self._after = ""
        self.records = []
        return self._part == len(PARTS)
