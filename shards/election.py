"""Standing for one shard: one session, one epoch, one question to each store that may say yes.

Theory of operation. `conditions` decides, store by store, under what condition a grant may be asked
for, from what this process itself has seen there. `pre_vote` says whether a majority can be
expected to grant: without that, nothing is asked, so a losing candidate never disturbs a healthy
leader. `Election` then asks once. There is no second round in an election: a lost one releases
what it may have been granted, and its candidate backs off.

    PENDING --majority granted------------------> WON
    PENDING --majority out of reach, or time----> LOST

The conditions, and why each is safe:
    free       nobody holds the shard at that store
    mine       a session of this very process holds it, and was not revoked
    dead       the holder's counter stood still there for the whole wait on this process's own clock
               (or the store has it dead already, after somebody's wait): its lease is over
    handover   the holder gave its own lease up before it named this session
    revoked    an operator or the peers took it away, and the whole wait has passed since it was
    seen
    carry      a grant of the group's version before, inherited: its holder is this very process,
               its lease under that version still holds, and it was not revoked
    waited     inherited as well, and no lease of that version is left: the whole wait has passed
               since this process first heard a store in the present version
A condition never travels from one store to another: what was seen at one says nothing of the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from zlib import crc32

from regions.quorum import Tally, Verdict, quorum_of
from regions.session import Session
from regions.watch import Watch
from shards.grant import Grant, Held, Sighted, process_of

Condition: TypeAlias = list[Any]

NEVER = 2**53 - 1  # a counter no live session reaches: matches only one that is dead there already


def condition_at(
    sighted: Sighted, store: int, session: Session, watch: Watch, now_ms: int
) -> Condition | None:
    """What may be asked of this store now, None for nothing."""
    grant = sighted.grants[store]
    if grant.state == Held.FREE:
        return ["free"]
    if grant.state == Held.INHERITED:
        return _condition_for_inherited(sighted, grant, session, watch, now_ms)
    if not grant.is_held:
        return None
    if process_of(grant.holder) == process_of(session.sid) and not grant.revoked:
        return ["mine"]
    if grant.state == Held.HANDOVER and grant.target == session.sid:
        return ["handover"]
    if grant.holder not in watch.sightings[store]:
        return ["dead", grant.holder, str(grant.epoch), NEVER]
    counter = watch.counter_still(store, grant.holder, now_ms)
    if counter is not None:
        return ["dead", grant.holder, str(grant.epoch), counter]
    if grant.revoked and sighted.revoked_ms is not None:
        seen_ms = sighted.revoked_ms.get(store)
        if seen_ms is not None and now_ms - seen_ms >= watch.times.wait_ms:
            return ["revoked", grant.holder, str(grant.epoch)]
    return None


def _condition_for_inherited(
    sighted: Sighted, grant: Grant, session: Session, watch: Watch, now_ms: int
) -> Condition | None:
    """An inherited grant licenses nothing: not that of a minority, nor that it was let go."""
    is_ours = process_of(grant.holder) == process_of(session.sid) and not grant.revoked
    if is_ours and session.carries_over(sighted.shard, now_ms):
        return ["carry", grant.holder, str(grant.epoch)]
    return ["waited"] if watch.is_version_old(now_ms) else None


@dataclass(frozen=True, slots=True)
class Prospect:
    """What standing now would meet: conditions by store number, and why not, if not."""

    conditions: dict[int, Condition]
    expected: bool
    why: str


def pre_vote(
    sighted: Sighted, session: Session, watch: Watch, voters: int, now_ms: int
) -> Prospect:
    """Whether a majority of voters, each of which answered lately, is expected to grant."""
    conditions: dict[int, Condition] = {}
    obstacles: list[str] = []
    for store in range(voters):
        if not watch.answering(store, now_ms):
            obstacles.append(f"store {store} does not answer")
        elif not session.live_at(store):
            obstacles.append(f"store {store} does not know this session")
        elif (condition := condition_at(sighted, store, session, watch, now_ms)) is None:
            obstacles.append(f"store {store} {_why_not(sighted.grants[store])}")
        else:
            conditions[store] = condition
    expected = len(conditions) >= quorum_of(voters)
    return Prospect(conditions, expected, "" if expected else "; ".join(obstacles))


def _why_not(grant: Grant) -> str:
    if grant.state == Held.INHERITED:
        return "has just come to its group's present version: leases of the last one may be left"
    return f"is held by {grant.holder} at epoch {grant.epoch}"


@dataclass(frozen=True, slots=True)
class Tail:
    """A store's log of one shard at the moment of its grant."""

    epoch: int
    sequence: int
    chain: int
    committed: int
    applied: int
    base: int
    size_bytes: int
    suffix: tuple[tuple[int, bytes | str], ...]
    closed: int = 0  # the resharding that closed it, as far as that is applied there
    born: int = 0  # the resharding that it began with


class Election:
    """One attempt: `asked` stores, `tails` of those that granted, `verdict` so far."""

    __slots__ = ("_tally", "conditions", "epoch", "refusals", "shard", "sid", "tails")

    def __init__(
        self, shard: str, epoch: int, sid: str, conditions: dict[int, Condition], voters: int
    ) -> None:
        self.shard = shard
        self.epoch = epoch
        self.sid = sid
        self.conditions = conditions
        self.tails: dict[int, Tail] = {}
        self.refusals: dict[int, str] = {}
        asked = sum(1 << store for store in conditions)
        self._tally = Tally(asked, quorum_of(voters))

    def command(self, store: int, group: str, version: int) -> list[Any]:
        """The question for one store."""
        return [
            "prepare", group, version, self.shard,
            str(self.epoch), self.sid, self.conditions[store],
        ]  # fmt: skip

    def granted(self, store: int, payload: list[Any]) -> Verdict:
        """A store said yes: [te, ts, tc, cm, ap, be, bs, bc, bytes, suffix], and of a shard that
        was closed by a resharding, or born of one: [closed, born]."""
        te, ts, tc, cm, ap, _be, bs, _bc, size, suffix, *lineage = payload
        entries = tuple((seq, blob) for seq, blob in suffix)
        closed, born = lineage or (0, 0)
        self.tails[store] = Tail(int(te), ts, tc, cm, ap, bs, size, entries, closed, born)
        self._tally.yes |= 1 << store
        return self._tally.verdict()

    def refused(self, store: int, code: str) -> Verdict:
        """A store said no: it promised or holds something else."""
        self.refusals[store] = str(code)
        self._tally.no |= 1 << store
        return self._tally.verdict()

    def unknown(self, store: int) -> Verdict:
        """The answer is lost: it may have been granted, but it does not count."""
        self.refusals[store] = "no answer"
        self._tally.unknown |= 1 << store
        return self._tally.verdict()

    def expired(self) -> Verdict:
        """Time is up: whatever has not answered is unknown."""
        self._tally.unknown |= self._tally.maybe
        return self._tally.verdict()

    @property
    def verdict(self) -> Verdict:
        """Where the attempt stands."""
        return self._tally.verdict()

    @property
    def closed(self) -> int:
        """The resharding that ended the shard, as a store that granted has applied; 0 if none."""
        return max((tail.closed for tail in self.tails.values()), default=0)

    @property
    def has_beginning(self) -> bool:
        """Whether a store that granted has what a resharding left to the shard, or had it, if the
        shard was closed and wiped since."""
        return any(tail.born or tail.closed for tail in self.tails.values())

    @property
    def granted_at(self) -> int:
        """Stores whose grant was acknowledged: the start of B."""
        return self._tally.yes

    @property
    def may_hold(self) -> int:
        """Stores that granted or may have: what a loser must release."""
        return self._tally.yes | self._tally.maybe | self._tally.unknown


def drawn(shard: str, node: str) -> int:
    """What a node draws for a shard, alike wherever it is asked; of equals, who draws least leads.

    It spreads the shards over nodes; when a node goes, only its own shards go elsewhere.
    """
    return crc32(f"{shard}|{node}".encode())
