"""Reading what one store holds of a group, page by page: a dump, or what a learner has.

A list counts for nothing before its last page is read. Pages follow each other by the name of the
last shard, so that what is added meanwhile disturbs nobody; each shard's record is of one moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regions.codec import Code, Reply
from regions.membership import Member
from regions.store_calls import Calls


class Listing:
    """One walk; `records` by shard, complete when `complete` says so. A refusal ends it."""

    __slots__ = (
        "_after", "_asked", "_calls", "_command", "_member", "complete", "records", "refusal",
    )  # fmt: skip

    def __init__(self, calls: Calls, member: Member, command: Callable[[str], list[Any]]) -> None:
        """`command` makes the question for the page after a name."""
        self._calls = calls
        self._member = member
        self._command = command
        self._after = ""
        self._asked = False
        self.records: dict[str, list[Any]] = {}
        self.complete = False
        self.refusal: list[Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.complete or self.refusal is not None

    def advance(self, now_ms: int) -> None:
        """Ask for the next page, if none is under way."""
        if self._asked or self.is_over or not self._calls.ready(self._member, now_ms):
            return
        self._asked = True
        self._calls.ask(self._member, [self._command(self._after)], self._read)

    def _read(self, reply: Reply | None, _now_ms: int) -> None:
        self._asked = False
        if reply is None:
            return
        result = reply.results[0]
        if result[0] != Code.OK:
            self.refusal = result
            return
        _, _, _, _, records, more = result
        for shard, *fields in records:
            self.records[shard] = fields
            self._after = shard
        self.complete = not more
