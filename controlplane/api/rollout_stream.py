"""One rollout as a stream of server-sent events: as it is, then after every transition, to its end.

The id of an event is the rollout's sequence: a client that comes back with it misses nothing that
counts, since each event says all there is. Transitions that follow each other within a moment may
come as one.
"""

from __future__ import annotations

from aiohttp import web

from config.rollout import Rollout
from controlplane.api.edge import Edge
from controlplane.api.journal import frame
from controlplane.api.rollout_orders import number_in_path
from controlplane.api.rollout_views import freezes_in, rollout_document
from controlplane.api.streams import RETRY, settled, since_in, stream
from controlplane.problems import RequestRefused


class RolloutJournal:
    """What a stream asks of a journal, for one rollout."""

    oldest = 1

    def __init__(self, edge: Edge, rollout: Rollout, since: int) -> None:
        self._edge = edge
        self._number = rollout.id
        self._told = since
        self._frames: list[bytes] = []
        self._asked = 0

    @property
    def closed(self) -> bool:
        """Whether nothing more comes: it is over and told, or the server stops."""
        rollout = self._now()
        is_told = rollout is None or (rollout.is_over and rollout.sequence <= self._told)
        is_sent = self._asked >= len(self._frames)
        return self._edge.event_feed.journal.closed or (is_told and is_sent)

    def after(self, revision: int) -> list[bytes]:
        """What is to be told, and was not, of those that were found so far."""
        rollout, self._asked = self._now(), revision
        if rollout is not None and rollout.sequence > self._told:
            self._told = rollout.sequence
            document = rollout_document(rollout, freezes_in(self._edge.service.documents()))
            self._frames.append(frame("rollout", rollout.sequence, document))
        return self._frames[revision:]

    async def changed(self) -> None:
        """Wait until there may be something new."""
        await self._edge.event_feed.journal.changed()

    def _now(self) -> Rollout | None:
        return rollout_here(self._edge, self._number)


async def watch_rollout(edge: Edge, request: web.Request) -> web.StreamResponse:
    """GET /v1/rollouts/{rollout}/events: the rollout after each of its transitions."""
    number, since = number_in_path(request), since_in(request)
    rollout = rollout_here(edge, number)
    if rollout is None:
        raise RequestRefused("unknown-rollout", f"there is no rollout {number}, or none is kept")
    journal = RolloutJournal(edge, rollout, -1 if since is None else since)
    return await stream(edge, request, journal, 0, RETRY, settled)


def rollout_here(edge: Edge, number: int) -> Rollout | None:
    """A rollout as this node knows it."""
    found = (rollout for rollout, _ in edge.service.rollouts() if rollout.id == number)
    return next(found, None)
