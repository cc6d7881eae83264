"""A node that does as it is told, and remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from config.feed import Feed
from controlplane.machine import Answer, Effect, Event, Requested
from controlplane.node.directory import Directory
from controlplane.node.reshardings import Reshardings
from controlplane.node_plan import Place
from controlplane.requests import Evicted
from controlplane.views import FleetView, ReplicaView, ShardView

FAR_MS = 1 << 50
FLEET = FleetView("n1", "here", None, 1, 0, (), (), (), 0, 0, 0)


class ScriptedNode:
    """Stands in for the pure node: `react` says which effects an event has."""

    def __init__(self, react: Callable[[Event], list[Effect]] | None = None) -> None:
        self.deadline_ms = FAR_MS
        self.map_version = 1
        self.leadership_revision = 0
        self.feed = Feed()
        self.places: dict[str, Place] = {}
        self.directory = Directory(cast(Any, self))
        self.reshardings = Reshardings(cast(Any, self))
        self.changed_rows: set[str] = set()
        self.batches: list[list[Event]] = []
        self.advanced_ms: list[int] = []
        self.refused: list[tuple[str, str]] = []
        self._react = react or answer_at_once
        self._stepped: list[Event] = []
        self._effects: list[Effect] = []

    def step(self, event: Event, now_ms: int) -> None:
        self._stepped.append(event)
        self._effects += self._react(event)

    def advance(self, now_ms: int) -> None:
        self.advanced_ms.append(now_ms)
        self.deadline_ms = FAR_MS

    def take(self, now_ms: int) -> list[Effect]:
        if self._stepped:
            self.batches.append(self._stepped)
        effects, self._effects, self._stepped = self._effects, [], []
        return effects

    def take_changed_rows(self) -> set[str]:
        changed, self.changed_rows = self.changed_rows, set()
        return changed

    def fleet(self, now_ms: int) -> FleetView:
        return FLEET

    def shard_names(self) -> set[str]:
        return set()

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        return ()

    def shard_view(self, shard: str, now_ms: int) -> ShardView | None:
        return None

    def replicas(self, shard: str, now_ms: int) -> tuple[ReplicaView, ...]:
        return ()

    def store_refused(self, store: str, why: str, *, forgot: bool) -> None:
        self.refused.append((store, why))


def answer_at_once(event: Event) -> list[Effect]:
    """Answer every request, whatever it was."""
    if isinstance(event, Requested):
        return [Answer(event.id, Evicted("s1", event.id, "n1"))]
    return []


class RecordingPerformer:
    """Remembers effects instead of carrying them out."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.call = self.drop = self.fetch = self.tell = self.probe = self.done.append
