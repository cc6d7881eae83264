"""How long a lease holds, how long a challenger waits, how often both look.

Only clock *rates* are trusted: two processes' clocks run at rates that differ by at most `rho`, so
while the faster counts 1, the slower counts at least 1 - rho.
With it a holder's window (measured from a send time on its own clock) ends before a challenger's
wait (measured from a first sight on its clock) can, whatever the clocks show.

All times are integers of milliseconds of one process's monotonic, suspend-aware clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

RHO_PERCENT = 1
EPSILON_MS = 10


@dataclass(frozen=True)
class LeaseTimes:
    """Times that follow from a group's `ttl_ms`; each is worked out once, and asked for often."""

    ttl_ms: int

    @cached_property
    def hold_ms(self) -> int:
        """From the send of a renewal, how long the holder may rely on it: TTL(1-rho) - epsilon."""
        return self.ttl_ms * (100 - RHO_PERCENT) // 100 - EPSILON_MS

    @cached_property
    def wait_ms(self) -> int:
        """How long a counter must have stood still: TTL(1+rho)/(1-rho) + epsilon, rounded up."""
        return -(-self.ttl_ms * (100 + RHO_PERCENT) // (100 - RHO_PERCENT)) + EPSILON_MS

    @cached_property
    def renew_every_ms(self) -> int:
        """Between renewals, before jitter: TTL/6."""
        return max(20, self.ttl_ms // 6)

    @cached_property
    def poll_every_ms(self) -> int:
        """Between looks at the sessions of others: TTL/10."""
        return max(10, self.ttl_ms // 10)

    @cached_property
    def quiet_ms(self) -> int:
        """Without a majority of renewals for so long, a leader takes no new writes: 2/3 TTL."""
        return self.ttl_ms * 2 // 3

    @cached_property
    def silent_ms(self) -> int:
        """A session silent for so long is not counted on as a candidate: TTL/2."""
        return self.ttl_ms // 2

    @cached_property
    def call_timeout_ms(self) -> int:
        """An unanswered call for so long breaks its lane: TTL/3."""
        return max(50, self.ttl_ms // 3)


def older_bound_ms(since_ms: int, now_ms: int) -> int:
    """An upper bound, on any clock within rho, of the time since `since_ms` on this one.

    This clock may be the slow one: what it counts as `age` was up to age / (1 - rho) for another,
    which is a little more than age * (1 + rho). Two readings can hide a millisecond between them.
    """
    age_ms = now_ms - since_ms + 1
    return -(-age_ms * 100 // (100 - RHO_PERCENT))
