"""A process's session in one group: the renewals that keep all its leases alive.

Theory of operation. A session is registered once at every store of a group and renewed there by a
counter. One renewal for each store and tick keeps every lease of the session, however many shards
it holds. The lease is *time*, and it is measured only here: `until_ms(held)` says until when a
grant held at the stores `held` may be relied on, counting from the **send** time of the latest
acknowledged renewal at each store. An acknowledged grant is not a renewal: a session that was never
renewed at a store has no time there, whatever was granted.

Leadership is the comparison `now_ms < until_ms(...)`, made by the caller with a clock reading
taken after a request arrived. No event sets it.

Each store is in one of these states:

    ABSENT     --registered-->  LIVE       the store knows the session
    ABSENT     --exists------>  DEAD       somebody used this id: it is spent
    ABSENT     --exists, asked before-->  LIVE   the first question was carried out, its answer lost
    LIVE       --dead-------->  DEAD       somebody took over from this session
    LIVE       --unknown----->  FORGOTTEN  the store lost its memory; it must not be asked again
A session found DEAD or FORGOTTEN anywhere is spent: its process opens a new one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from regions.codec import Code
from regions.lease_times import LeaseTimes
from regions.quorum import bits, quorum_of, reached_by_quorum


class Standing(Enum):
    """What one store is known to think of the session."""

    ABSENT = "absent"
    LIVE = "live"
    DEAD = "dead"
    FORGOTTEN = "forgotten"


_AFTER_REGISTER: dict[str, Standing] = {Code.OK: Standing.LIVE, Code.EXISTS: Standing.DEAD}
_AFTER_RENEWAL: dict[str, Standing] = {Code.DEAD: Standing.DEAD, Code.UNKNOWN: Standing.FORGOTTEN}


class Session:
    """One session id of one process in one version of one group.

    Stores are numbered as in the group's plan: voters first, then followers.
    """

    __slots__ = (
        "_asked",
        "_counter",
        "_revision",
        "_until",
        "_voters",
        "carries",
        "group",
        "renewed_ms",
        "sid",
        "standing",
        "times",
        "version",
    )

    def __init__(
        self,
        sid: str,
        group: str,
        version: int,
        voters: int,
        stores: int,
        times: LeaseTimes,
        carries: dict[str, int] | None = None,
    ) -> None:
        """`carries` are leases of the version before: by shard, until when."""
        self.sid = sid
        self.group = group
        self.version = version
        self.times = times
        self.carries = carries or {}
        self.standing = [Standing.ABSENT] * stores
        self.renewed_ms: list[int | None] = [None] * stores
        self._asked = [0] * stores
        self._revision = [0] * stores
        self._voters = voters
        self._counter = 0
        self._until: dict[int, int | None] = {}  # by stores held, since the last renewal

    @property
    def spent(self) -> bool:
        """True once any voter refused the session for good."""
        return any(s in (Standing.DEAD, Standing.FORGOTTEN) for s in self.standing[: self._voters])

    def live_at(self, store: int) -> bool:
        """Whether the store is known to hold this session."""
        return self.standing[store] is Standing.LIVE

    def carries_over(self, shard: str, now_ms: int) -> bool:
        """Whether this process still has the lease that it had in the version before."""
        return now_ms < self.carries.get(shard, 0)

    def register(self, store: int, node: str, region: str, url: str) -> list[Any]:
        """The command that makes the session known to a store; again after a lost answer."""
        self._asked[store] += 1
        return ["register", self.group, self.version, self.sid, node, region, url]

    def renew(self, store: int, seen: int, unsync: list[str]) -> list[Any]:
        """The next renewal for a store; counters never repeat over all stores."""
        self._counter += 1
        return [
            "renew", self.group, self.version, self.sid,
            self._counter, self._revision[store], seen, unsync,
        ]  # fmt: skip

    def registered(self, store: int, code: str) -> None:
        """Take the answer to `register`."""
        if code == Code.EXISTS and self._asked[store] > 1:
            code = Code.OK  # our own earlier question did it; if it died since, renewals will tell
        self.standing[store] = _AFTER_REGISTER.get(code, self.standing[store])

    def renewed(self, store: int, sent_ms: int, result: list[Any]) -> list[tuple[str, int]]:
        """Take the answer to a renewal sent at `sent_ms`; returns grants revoked, (shard, epoch).

        A renewal refused because of revocations renews nothing; the next one carries the revision
        learnt here, and so tells the store that this process knows. The caller must give up the
        returned grants before it sends that next renewal.
        """
        code = result[0]
        if code == Code.OK:
            before = self.renewed_ms[store]
            self.renewed_ms[store] = sent_ms if before is None else max(before, sent_ms)
            self._until.clear()
            return []
        if code == Code.REVOKED:
            self._revision[store] = result[4]
            return [(shard, int(epoch)) for shard, epoch in result[5]]
        self.standing[store] = _AFTER_RENEWAL.get(code, self.standing[store])
        return []

    def until_ms(self, held: int) -> int | None:
        """Until when grants at the stores of mask `held` are a lease; None if they never were.

        The Q-th largest send time of acknowledged renewals over the voters in `held`, plus
        TTL(1-rho) - epsilon.
        """
        try:
            return self._until[held]
        except KeyError:
            until = self._until[held] = self._compute_until_ms(held)
            return until

    def _compute_until_ms(self, held: int) -> int | None:
        voters = held & ((1 << self._voters) - 1)
        sent = [t for i in bits(voters) if (t := self.renewed_ms[i]) is not None]
        quorum = quorum_of(self._voters)
        if len(sent) < quorum:
            return None
        return reached_by_quorum(sent, quorum) + self.times.hold_ms
