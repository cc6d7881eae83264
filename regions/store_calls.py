"""Calls of a change to the stores it concerns: by incarnation, with rests, and none to the unfit.

Theory of operation. Whoever changes a store set asks stores on their bulk lanes, several calls at a
time, and every answer may be lost or late. A store that did not answer, or refused, rests for a
while that doubles with every failure in a row. A store counts for nothing any more, under this
incarnation, when it is seen to have forgotten it, or when its opseq went back: an answer to a call
that was sent after the store had shown a greater one can only come from a restored copy.

After each answer, when whoever asked has taken it, `go_on` is called: the machine looks at what
there is to do now. So no part of it has to know what another one waits for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from regions.codec import ANOTHER_STORE, Code, Reply
from regions.membership import Member

Take: TypeAlias = Callable[[Reply | None, int], None]

AGAIN_MS = 100
AGAIN_MS_MAX = 5_000


class Desk(Protocol):
    """What a change may ask of the node it lives in."""

    def fetch(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        """Send one call on the bulk lane of a store, its header naming the member's incarnation;
        `take(reply, now_ms)` later, once, never before this returns. The reply is None when it was
        lost, came too late, or nothing was sent, because this process does not trust the store."""


@dataclass(slots=True)
class Contact:
    """What is known of one member."""

    opseq: int = 0
    heard_ms: int | None = None  # when it last answered a call
    failures: int = 0
    rests_until_ms: int = 0


class Calls:
    """All calls of one change."""

    __slots__ = ("_contacts", "_desk", "_go_on", "under_way", "unfit")

    def __init__(self, desk: Desk, go_on: Callable[[int], None]) -> None:
        self._desk = desk
        self._go_on = go_on
        self._contacts: dict[Member, Contact] = {}
        self.unfit: dict[Member, str] = {}  # members that count for nothing any more, and why
        self.under_way: Counter[Member] = Counter()

    def ready(self, member: Member, now_ms: int) -> bool:
        """Whether a member may be asked something now."""
        contact = self._contacts.get(member)
        return member not in self.unfit and (contact is None or contact.rests_until_ms <= now_ms)

    def idle(self, member: Member, now_ms: int) -> bool:
        """Whether a member may be asked, and is not being asked anything."""
        return self.ready(member, now_ms) and not self.under_way[member]

    def answered_since(self, member: Member, since_ms: int) -> bool:
        """Whether a member answered then or later, and is fit."""
        contact = self._contacts.get(member)
        if contact is None or contact.heard_ms is None or member in self.unfit:
            return False
        return contact.heard_ms >= since_ms

    def ask(self, member: Member, commands: list[list[Any]], take: Take) -> None:
        """Send one call; `take` gets a reply with one result for each command, or None."""
        contact = self._contacts.setdefault(member, Contact())
        known = contact.opseq
        self.under_way[member] += 1

        def answered(reply: Reply | None, now_ms: int) -> None:
            self.under_way[member] -= 1
            failures = contact.failures
            take(self._fit(member, contact, known, len(commands), reply, now_ms), now_ms)
            if contact.failures == failures:
                contact.failures = 0
            self._go_on(now_ms)

        self._desk.fetch(member, commands, answered)

    def _fit(
        self, member: Member, contact: Contact, known: int, asked: int,
        reply: Reply | None, now_ms: int,
    ) -> Reply | None:  # fmt: skip
        """The reply, if it counts."""
        if member in self.unfit:
            return None
        if reply is not None and member.incarnation:
            self._judge(member, known, reply)
        if reply is None or reply.code != Code.OK or len(reply.results) != asked:
            self.rest(member, now_ms)
            return None
        if member in self.unfit:
            return None
        contact.opseq = max(contact.opseq, reply.opseq)
        contact.heard_ms = now_ms
        return reply

    def _judge(self, member: Member, known: int, reply: Reply) -> None:
        if reply.code in ANOTHER_STORE:
            self.unfit[member] = f"it forgot: incarnation {member.incarnation} is gone"
        elif reply.incarnation == member.incarnation and reply.opseq < known:
            self.unfit[member] = f"rolled back: its opseq went from {known} to {reply.opseq}"

    def rest(self, member: Member, now_ms: int) -> None:
        """It did not answer as hoped: leave it alone for a while."""
        contact = self._contacts.setdefault(member, Contact())
        pause_ms = min(AGAIN_MS_MAX, AGAIN_MS << min(contact.failures, 16))
        contact.failures += 1
        contact.rests_until_ms = max(contact.rests_until_ms, now_ms + pause_ms)

    def rested_ms(self, now_ms: int) -> int | None:
        """When the next member that rests may be asked again."""
        times = [
            contact.rests_until_ms
            for member, contact in self._contacts.items()
            if contact.rests_until_ms > now_ms and member not in self.unfit
        ]
        return min(times, default=None)
