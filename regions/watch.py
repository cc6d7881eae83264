"""Watching the sessions of others: who renews, who has fallen silent, how fresh a store is.

Theory of operation. Each store is polled (`observe`). For every session and store the watch keeps
the counter last reported and when a reply first showed it. A session whose counter has stood still
at a store for the whole wait, on this process's own clock, may be declared dead *at that store*, by
compare-and-set on exactly that counter; at a store where this watch saw nothing it may not.

Freshness. A renewal carries `seen`: the greatest opseq its sender had received from that store. A
poll of ours that returned a smaller opseq was answered before that renewal was sent, so what the
store vouches for now includes all that was acknowledged before that poll was *sent*. When a counter
was first seen bounds nothing: the renewal may have been long in flight.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from regions.lease_times import LeaseTimes, older_bound_ms
from regions.quorum import reached_by_quorum

_POLLS_MAX = 64


@dataclass(slots=True)
class Sighting:
    """One session as one store shows it: its counter, since when, and since when the session.

    `fresh_ms`: what the session vouches for at this store is as of then, or newer; None: nothing is
    known of that.
    """

    counter: int
    first_seen_ms: int
    appeared_ms: int
    node: str
    region: str
    url: str
    fresh_ms: int | None = None


@dataclass(slots=True)
class Peer:
    """A live session seen at some store, with the shortest silence over the stores."""

    sid: str
    node: str
    region: str
    url: str
    silent_ms: int
    appeared_ms: int


class Watch:
    """What one process sees of one group's sessions, store by store."""

    __slots__ = (
        "_earlier_wait_ms", "_newest", "_polls", "_upto", "first_heard_ms", "opseq", "polled_ms",
        "sightings", "times",
    )  # fmt: skip

    def __init__(self, stores: int, times: LeaseTimes, earlier_wait_ms: int = 0) -> None:
        """`earlier_wait_ms`: so long after this version was first seen, a lease of a version before
        may be left, when such leases were longer than those of this version; else 0."""
        self.times = times
        self._earlier_wait_ms = earlier_wait_ms
        self.sightings: list[dict[str, Sighting]] = [{} for _ in range(stores)]
        self._newest: dict[str, Sighting] | None = None  # over all stores; None: not known yet
        self.polled_ms: list[int | None] = [None] * stores
        self.first_heard_ms: int | None = None
        self.opseq = [0] * stores
        self._upto = [0] * stores
        self._polls: list[deque[tuple[int, int]]] = [
            deque(maxlen=_POLLS_MAX) for _ in range(stores)
        ]

    def since(self, store: int) -> int:
        """The opseq from which the next poll of this store goes on."""
        return self._upto[store]

    def polled(
        self, store: int, sent_ms: int, now_ms: int, opseq: int, payload: list[Any]
    ) -> list[list[Any]]:
        """Take the payload of an `observe` sent at `sent_ms`; returns its changed grants."""
        sessions, dead, upto = payload[0], payload[1], payload[3]
        changed: list[list[Any]] = payload[2]
        known = self.sightings[store]
        fresh: dict[str, Sighting] = {}
        for sid, counter, _revision, node, region, url, seen in sessions:
            old = known.get(sid)
            if old is not None and old.counter == counter:
                fresh[sid] = old
                continue
            appeared_ms = now_ms if old is None else old.appeared_ms
            fresh_ms = self._vouched_ms(store, seen)
            if fresh_ms is None and old is not None:
                fresh_ms = old.fresh_ms
            fresh[sid] = Sighting(counter, now_ms, appeared_ms, node, region, url, fresh_ms)
        for sid in dead:
            fresh.pop(sid, None)
        self.sightings[store] = fresh
        self._newest = None
        self.polled_ms[store] = sent_ms
        if self.first_heard_ms is None:
            self.first_heard_ms = now_ms
        self._upto[store] = upto
        self.heard(store, opseq, sent_ms)
        return changed

    def heard(self, store: int, opseq: int, sent_ms: int | None = None) -> None:
        """Note an opseq received from the store; with `sent_ms` it also dates later freshness."""
        self.opseq[store] = max(self.opseq[store], opseq)
        if sent_ms is not None:
            self._polls[store].append((opseq, sent_ms))

    def counter_still(self, store: int, sid: str, now_ms: int) -> int | None:
        """The counter with which `sid` may be declared dead here, None while it may not."""
        sighting = self.sightings[store].get(sid)
        if sighting is None or now_ms - sighting.first_seen_ms < self.times.wait_ms:
            return None
        return sighting.counter

    def still_at_ms(self, sid: str, stores: int, quorum: int) -> int | None:
        """When `counter_still` will answer at so many of the first stores, if it goes on so."""
        known = [sightings.get(sid) for sightings in self.sightings[:stores]]
        seen_ms = sorted([sighting.first_seen_ms for sighting in known if sighting is not None])
        return None if len(seen_ms) < quorum else seen_ms[quorum - 1] + self.times.wait_ms

    def is_version_old(self, now_ms: int) -> bool:
        """Whether the whole wait has passed since a store first answered in this version.

        No lease of the version before is left then, whoever had it.
        """
        heard_ms = self.first_heard_ms
        wait_ms = max(self.times.wait_ms, self._earlier_wait_ms)
        return heard_ms is not None and now_ms - heard_ms >= wait_ms

    def answering(self, store: int, now_ms: int) -> bool:
        """Whether the store answered a recent poll: one sent within three poll intervals."""
        polled = self.polled_ms[store]
        return polled is not None and now_ms - polled <= 3 * self.times.poll_every_ms + 20

    def staleness_ms(self, store: int, seen: int, now_ms: int) -> int | None:
        """How old a store's vouched data may be, given the `seen` it holds; None if not known."""
        vouched_ms = self._vouched_ms(store, seen)
        return None if vouched_ms is None else older_bound_ms(vouched_ms, now_ms)

    def _vouched_ms(self, store: int, seen: int) -> int | None:
        """When the last poll was sent that was answered before a renewal with this `seen`."""
        for opseq, sent_ms in reversed(self._polls[store]):
            if opseq < seen:
                return sent_ms
        return None

    def last_sign_ms(self, sid: str, stores: int, quorum: int) -> int | None:
        """When so many of the first stores had last shown a new counter of `sid`; None where
        fewer show it at all."""
        known = [sightings.get(sid) for sightings in self.sightings[:stores]]
        seen_ms = [sighting.first_seen_ms for sighting in known if sighting is not None]
        return None if len(seen_ms) < quorum else reached_by_quorum(seen_ms, quorum)

    def peers(self, now_ms: int) -> dict[str, Peer]:
        """Sessions shown alive by some store, by session id."""
        if self._newest is None:
            self._newest = self._newest_sightings()
        return {
            sid: Peer(sid, s.node, s.region, s.url, now_ms - s.first_seen_ms, s.appeared_ms)
            for sid, s in self._newest.items()
        }

    def _newest_sightings(self) -> dict[str, Sighting]:
        newest: dict[str, Sighting] = {}
        for sightings in self.sightings:
            for sid, sighting in sightings.items():
                old = newest.get(sid)
                if old is None or sighting.first_seen_ms > old.first_seen_ms:
                    newest[sid] = sighting
        return newest
