"""What a store says of the authority over one shard, and what may be asked of it.

A *grant* is what a won election leaves in a store: holder and epoch. The *promise* is the greatest
epoch the store ever agreed to; it never goes back and never expires. `Sighted` keeps the grants of
one shard store by store, as polls and refusals have shown them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from sys import intern
from typing import Any


class Held(StrEnum):
    """State of a grant in a store. More may come: an unknown one is never touched."""

    FREE = "free"
    HELD = "held"
    HANDOVER = "handover"
    INHERITED = "inherited"


_AUTHORITY = frozenset((Held.HELD.value, Held.HANDOVER.value))


@dataclass(frozen=True, slots=True)
class Grant:
    """One store's word on one shard; epochs as integers, `holder` a session id or ""."""

    promised: int = 0
    floor: int = 0
    epoch: int = 0
    holder: str = ""
    state: str = Held.FREE
    target: str = ""
    revoked: bool = False

    @classmethod
    def parse(cls, fields: list[Any]) -> Grant:
        """From [pe, pf, he, h, st, tgt, rvk] as scripts answer it."""
        pe, pf, he, h, st, tgt, rvk = fields
        return cls(int(pe), int(pf), int(he), intern(h), intern(st), intern(tgt), rvk == 1)

    @property
    def is_held(self) -> bool:
        """Whether some session has authority here, even one about to hand over."""
        return self.state in _AUTHORITY


def process_of(sid: str) -> str:
    """The process that opened a session: session ids are `process/number`."""
    return sid.rpartition("/")[0]


NO_GRANT = Grant()


class Sighted:
    """One shard as this process has seen it: a grant for each store, and where it should be led."""

    __slots__ = (
        "_holder", "_leading", "_voters", "grants", "pin", "placement_rev", "regions",
        "revoked_ms", "shard", "tried",
    )  # fmt: skip

    def __init__(self, shard: str, voters: int, stores: int) -> None:
        self.shard = shard
        self._voters = voters
        self._leading: Grant | None = None
        self._holder = ""
        self.grants: list[Grant] = [NO_GRANT] * stores
        self.revoked_ms: dict[int, int] | None = None
        self.tried = 0  # the greatest epoch this process has asked for: it never asks for one twice
        self.placement_rev = 0
        self.regions: tuple[str, ...] = ()
        self.pin = ""

    def saw(self, store: int, fields: list[Any], now_ms: int) -> Grant:
        """Take one store's grant; keeps when a revocation there was first seen."""
        grant = Grant.parse(fields)
        for other in self.grants:
            if other == grant:
                grant = other
                break
        before = self.grants[store]
        self.grants[store] = grant
        if grant.revoked:
            if self.revoked_ms is None:
                self.revoked_ms = {}
            if not before.revoked or (before.holder, before.epoch) != (grant.holder, grant.epoch):
                self.revoked_ms[store] = now_ms
        elif self.revoked_ms is not None:
            self.revoked_ms.pop(store, None)
        self._leading = self._find_leading()
        self._holder = self._find_holder()
        return grant

    def greatest_promise(self) -> int:
        """The greatest promise, floor or question there is news of: the next epoch is above it."""
        return max(self.tried, *(max(g.promised, g.floor) for g in self.grants))

    def leading_grant(self) -> Grant | None:
        """The newest grant there is news of: the greatest epoch held, None if nobody holds it."""
        return self._leading

    def holder(self) -> str:
        """The session that most voters show, of equals the one with the greater epoch.

        "" if as many are free. So a grant left over at a store that nobody reaches does not hide
        that a majority is free to be asked.
        """
        return self._holder

    def _find_leading(self) -> Grant | None:
        held = [grant for grant in self.grants if grant.is_held]
        return max(held, key=lambda grant: grant.epoch) if held else None

    def _find_holder(self) -> str:
        grants = self.grants[: self._voters]
        first = grants[0]
        if all(grant is first for grant in grants):
            return first.holder if first.is_held else ""
        held = [grant for grant in grants if grant.is_held]
        best, most = "", len(grants) - len(held)
        for grant in sorted(held, key=lambda g: -g.epoch):
            votes = sum((g.holder, g.epoch) == (grant.holder, grant.epoch) for g in held)
            if votes > most:
                best, most = grant.holder, votes
        return best
