"""How fast a place is drained: as slowly as its deadline permits, never faster than is allowed.

A hand-over keeps writes to its shard waiting for about five round trips to a quorum. While, of all
shards, less than one in a hundred is waiting at any moment, the 99th percentile of writes does not
show it; that is what a bound on it below such a pause comes to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controlplane.planning.limits import Limits

MINUTE_MS: Final = 60_000
ROUND_TRIPS: Final = 5
PAUSE_MS: Final = 20
ARRIVAL_MS: Final = 1_000
"""From the entry that releases a shard until it is led elsewhere, mostly."""
TAIL_MS: Final = 3_000
"""From the release of the last shard until everybody knows that nothing is led there any more."""
IN_HAND: Final = 1.25
"""A deadline is promised with so much more time than the rate allows: some shards take longer to
arrive, and while as many as may be are on their way, no more are released."""
SHARE_UNSEEN: Final = 0.01


def pause_ms(quorum_round_trip_ms: float) -> float:
    """How long a hand-over keeps writes waiting."""
    return ROUND_TRIPS * quorum_round_trip_ms + PAUSE_MS


def quorum_ms(round_trips_ms: Iterable[float], quorum: int) -> float:
    """The round trip to a quorum of voters, given the one to each of them."""
    return sorted(round_trips_ms)[quorum - 1]


def allowed_per_minute(
    limits: Limits,
    scope: str,
    leaders: int,
    pause: float,
    added_p99_ms: int | None,
    nodes: int = 1,
) -> float:
    """How many shards a minute may be handed over by a drain of a `node` or a `region`.

    `leaders` is how many shards there are in the fleet, `pause` how long one waits (ms), `nodes`
    how many hand over.
    """
    most = limits.in_flight_max
    room = min(most[scope], most["kind"], max(1, nodes) * most["node"])
    rate = min(limits.drain_per_minute_max, room * MINUTE_MS / ARRIVAL_MS)
    if added_p99_ms is not None and added_p99_ms < pause:
        rate = min(rate, SHARE_UNSEEN * leaders * MINUTE_MS / pause)
    return rate


def soonest_ms(left: int, allowed: float) -> int:
    """In how many milliseconds so many shards are sure to be handed over, at this rate a minute."""
    return round(IN_HAND * left * MINUTE_MS / allowed) + TAIL_MS


def needed_per_minute(left: int, ms_left: int | None, allowed: float) -> float:
    """At which rate to hand over so many shards in the time that is left; None: any time."""
    if ms_left is None:
        return allowed
    return min(allowed, left * MINUTE_MS / max(1, ms_left - TAIL_MS))
