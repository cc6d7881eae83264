"""A next version without a vote, of what is left of a group: an operator's act.

Theory of operation. Fewer than a majority of a version's incarnations are left, so nothing can be
decided, nor can what was acknowledged be told from what was not. An operator accepts the loss. Then
one process describes the next version by itself: of the stores that are left, and of those that
lost their data, admitted anew. What is left is all sealed and dumped, instead of a majority
(shards/install), and from there on it is a change like any other.

    LISTENING --all is as the operator was told------> RESTING
    LISTENING --it is not, or a store has gone on----> refused
    RESTING   --a lease of the old version is over---> MINTING
    MINTING   --every empty store has an incarnation-> described

What keeps apart what must not meet:
    the version    lies so far ahead that no vote nobody here knows of has decided the same one, and
                   is drawn, so that two such acts at once differ: the greater one goes on
    the floor      of epochs grows with the version: to win an epoch beyond it in an earlier one, a
                   shard would have to change hands once a second for thirty years
    the rest       shards of which nobody here has a record may be led until their lease runs out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from regions.codec import Code, Reply
from regions.lease_times import LeaseTimes
from regions.membership import (
    DESCRIPTION_AT,
    STATE_AT,
    VERSION_AT,
    Forced,
    GroupDescription,
    Member,
    ask_for_description,
    members,
    read_description,
    write_description,
)
from regions.minting import Minting
from regions.store_calls import Calls

AHEAD = 1_000
"""At least so many versions lie between the old one and the one that is forced."""
EPOCHS_PER_VERSION = 1_000_000
PATIENCE_OF_TTL = 3


@dataclass(frozen=True, slots=True)
class Act:
    """What an operator was told and accepts. Voters and followers of the old version that are
    neither left nor lost their data do not answer: they do not belong to the next one."""

    left: tuple[str, ...]
    emptied: tuple[str, ...]
    by: str
    why: str


class Stage(Enum):
    """How far it is."""

    LISTENING = "listening"
    RESTING = "resting"
    MINTING = "minting"


class Forcing:
    """One act at one process; in the end it has a `description`, or is `refused`."""

    __slots__ = (
        "_calls", "_expected", "_judged", "_minting", "_rest_until_ms", "_strangers",
        "_until_ms", "act", "description", "old", "refused", "stage", "version", "why",
    )  # fmt: skip

    def __init__(
        self, old: GroupDescription, act: Act, nonce: str, calls: Calls, draw: Callable[[], float]
    ) -> None:
        self.old = old
        self.act = act
        self.version = old.version + AHEAD + int(draw() * AHEAD)
        self.description: bytes | None = None
        self.refused = ""
        self.why = ""  # what it waits for
        self.stage = Stage.LISTENING
        self._calls = calls
        self._expected = {m: m.store in act.left for m in members(old.incarnations)}
        self._strangers: set[Member] = set()  # of a next version that a sealed store shows
        self._judged: set[Member] = set()
        self._until_ms: int | None = None  # how long those that are left are waited for
        self._rest_until_ms = 0
        known = {s: i for s, i in old.incarnations.items() if s in act.left}
        self._minting = Minting(old.incarnations, known, nonce, calls, self._say)

    def _say(self, why: str) -> None:
        self.why = why

    @property
    def is_over(self) -> bool:
        """Whether it has nothing to do any more."""
        return bool(self.refused) or self.description is not None

    @property
    def voters(self) -> tuple[str, ...]:
        """Who will vote."""
        return self._of_next(self.old.voters)

    @property
    def followers(self) -> tuple[str, ...]:
        """Who will follow."""
        return self._of_next(self.old.followers)

    def _of_next(self, stores: Any) -> tuple[str, ...]:
        return tuple(s for s in stores if s in self.act.left or s in self.act.emptied)

    def advance(self, now_ms: int) -> None:
        """Do what can be done now; early, late and repeated calls are fine."""
        if self._until_ms is None:
            self._until_ms = now_ms + PATIENCE_OF_TTL * self.old.ttl_ms
        if not self.is_over and self.stage is Stage.LISTENING:
            self._listen(now_ms, self._until_ms)
        if not self.is_over and self.stage is Stage.RESTING and now_ms >= self._rest_until_ms:
            self.stage = Stage.MINTING
        if not self.is_over and self.stage is Stage.MINTING:
            self._mint(now_ms)

    def deadline_ms(self, now_ms: int) -> int:
        """When `advance` may have something to do, if no answer comes before."""
        if self.stage is Stage.RESTING:
            return max(now_ms, self._rest_until_ms)
        return self._calls.rested_ms(now_ms) or now_ms + self.old.ttl_ms

    # -- is it as the operator was told?

    def _listen(self, now_ms: int, until_ms: int) -> None:
        concerned = [m for m in (*self._expected, *self._strangers) if m not in self._judged]
        for member in concerned:
            if member in self._calls.unfit:
                self._heard_nothing(member, now_ms)
            elif self._calls.idle(member, now_ms):
                question = [ask_for_description(self.old.group)]
                self._calls.ask(member, question, self._answered(member))
        if not concerned:
            self.stage = Stage.RESTING
            self._rest_until_ms = now_ms + LeaseTimes(self.old.longest_ttl_ms).wait_ms
            self.why = "leases of what is gone run out"
        elif now_ms >= until_ms and not self.refused:
            self._refuse(f"{concerned[0].store} does not answer any more")

    def _refuse(self, why: str) -> None:
        self.refused = self.refused or f"{why}: look again, and order it anew"

    def _answered(self, member: Member) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ms: int) -> None:
            if reply is None:
                self._heard_nothing(member, now_ms)
            elif member in self._strangers:
                self._judged.add(member)
                self._require_behind(member, reply.results[0])
            elif not self._expected[member]:
                self._refuse(f"{member.store} answers again")
            else:
                self._judged.add(member)
                self._heard(member, reply.results[0])

        return take

    def _heard_nothing(self, member: Member, now_ms: int) -> None:
        """Those that should be gone are; of the others it is no answer yet."""
        if not self._expected.get(member, False):
            self._judged.add(member)
        elif member in self._calls.unfit:
            self._refuse(f"{member.store}: {self._calls.unfit[member]}")

    def _require_behind(self, member: Member, result: list[Any]) -> None:
        """A later version that is in use somewhere is followed, never forced past."""
        if result[VERSION_AT] > self.old.version and result[STATE_AT] == "open":
            self._refuse(f"{member.store} is at version {result[VERSION_AT]} already")

    def _heard(self, member: Member, result: list[Any]) -> None:
        """One that is left must be of this version, open or sealed."""
        self._require_behind(member, result)
        if result[0] == Code.NOT_MEMBER or result[VERSION_AT] != self.old.version:
            self._refuse(f"{member.store} is not at version {self.old.version}")
        elif result[STATE_AT] == "sealed":
            shown = read_description(result[DESCRIPTION_AT])
            if shown.forced is not None:
                self._refuse(f"version {shown.version} is being forced already")
            self._strangers |= set(members(shown.incarnations)) - self._expected.keys()

    # -- the next version

    def _mint(self, now_ms: int) -> None:
        minted = self._minting.incarnations
        for store in self.act.emptied:
            if store in minted and Member(store, minted[store]) in self._calls.unfit:
                del minted[store]  # it forgot once more
            if store not in minted:
                self._minting.mint(store, now_ms)
        if all(store in minted for store in self.act.emptied):
            self.description = write_description(self._next())

    def _next(self) -> GroupDescription:
        old, minted = self.old, self._minting.incarnations
        gone = {s: i for s, i in old.incarnations.items() if s not in self.act.left}
        return GroupDescription(
            old.group,
            self.version,
            old.ttl_ms,
            {store: minted[store] for store in self.voters},
            {store: minted[store] for store in self.followers},
            {store: old.incarnations[store] for store in self.act.left},
            self.version * EPOCHS_PER_VERSION,
            Forced(old.version, gone, self.act.by, self.act.why),
            old.set_ttl_ms,
            old.earlier_ttl_ms,
            old.cluster,
        )
