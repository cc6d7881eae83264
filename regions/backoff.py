"""How long to wait before trying again, so that many who failed together do not return together.

Full jitter: a uniform draw between zero and a ceiling that doubles with every failure. It spreads
retries better than a fixed part plus a random one, because the whole interval is used (Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Randomness is the caller's: the
same draws give the same waits, in production and in the simulator.
"""

from __future__ import annotations

_DOUBLINGS_MAX = 32
"""Beyond this many doublings every sensible ceiling is reached; keeps the numbers small."""


def full_jitter_ms(attempt: int, *, first_ms: int, ceiling_ms: int, draw: float) -> int:
    """Give the wait in ms before the next try: `draw` of min(ceiling_ms, first_ms * 2**attempt).

    `attempt` counts failures so far and starts at 0. `draw` is uniform in [0, 1).
    """
    assert attempt >= 0, attempt
    assert min(first_ms, ceiling_ms) >= 0, (first_ms, ceiling_ms)
    assert 0.0 <= draw < 1.0, draw
    span_ms = min(ceiling_ms, first_ms << min(attempt, _DOUBLINGS_MAX))
    return int(span_ms * draw)


def election_backoff_ms(attempt: int, *, ttl_ms: int, rtt_ms: float, draw: float) -> int:
    """Give the wait in ms of a candidate that found no majority: U(0, min(TTL/2, 2 RTT 2**k)).

    Two round trips are what one honest attempt takes, so even the first wait lets a rival
    finish; half a lease is where waiting longer would only add to the time without a leader.
    """
    first_ms = max(1, round(2 * rtt_ms))
    return full_jitter_ms(attempt, first_ms=first_ms, ceiling_ms=ttl_ms // 2, draw=draw)
