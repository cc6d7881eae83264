"""The records of rollouts as this node knows them: a reader of the system shard.

Every node can be asked how far rollouts are, and tells of each transition as it learns of it; the
global leader goes on with them (controlplane/rollouts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.rollout import Phase, Rollout
from config.rollout_record import PARTITION, PREFIX, read_rollout
from controlplane.node.following import SYSTEM

if TYPE_CHECKING:
    from controlplane.node.node import Node


class Rollouts:
    """What one node knows of rollouts."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, tuple[Rollout, int]] = {}
        self._on: set[str] = set()  # keys of those of which something goes on
        self._unseen: set[str] = set()  # keys that a scan has not shown so far

    def begun(self) -> None:
        """What is known stays so, unless the scan does not show it."""
        self._unseen = set(self._known)

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A rollout is so."""
        self._unseen.discard(key)
        known = self._known.get(key)
        if known is not None and known[1] >= version:
            return
        try:
            rollout = read_rollout(value)
        except ValueError as complaint:
            detail = {"key": key, "why": str(complaint)}
            self._node.happened("rollout-unreadable", SYSTEM, 0, detail)
            return
        self._known[key] = (rollout, version)
        (self._on.add if _goes_on(rollout) else self._on.discard)(key)
        if known is None or not _are_alike(known[0], rollout):
            self._node.happened("rollout", SYSTEM, 0, _told(rollout))

    def deleted(self, key: str, version: int) -> None:
        """A rollout that was over long ago is not remembered any more."""
        self._forget(key)

    def scanned(self) -> None:
        """What was not shown is not remembered any more."""
        for key in self._unseen:
            self._forget(key)
        self._unseen = set()

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        self._on.discard(key)

    @property
    def is_any_on(self) -> bool:
        """Whether a rollout goes on; one that is paused or stuck stands still."""
        return bool(self._on)

    def known(self) -> tuple[tuple[Rollout, int], ...]:
        """Every record with its version, by number."""
        return tuple(self._known[key] for key in sorted(self._known))


def _goes_on(rollout: Rollout) -> bool:
    return not (rollout.is_over or rollout.pause is not None or rollout.phase is Phase.STUCK)


def _are_alike(one: Rollout, other: Rollout) -> bool:
    """Whether there is nothing to tell: time was written down."""
    return (one.phase, one.wave, one.pause, one.regions) == (
        other.phase, other.wave, other.pause, other.regions,
    )  # fmt: skip


def _told(rollout: Rollout) -> dict[str, str]:
    reached: dict[str, list[str]] = {}
    for each in rollout.regions:
        reached.setdefault(each.reached.value, []).append(each.region)
    return {
        "rollout": str(rollout.id),
        "document": rollout.document,
        "version": str(rollout.version),
        "sequence": str(rollout.sequence),
        "phase": rollout.phase.value,
        "wave": f"{rollout.wave + 1} of {len(rollout.waves)}",
        "paused": rollout.pause.why.value if rollout.pause is not None else "",
        "why": rollout.why,
        "regions": "; ".join(f"{name}: {', '.join(reached[name])}" for name in sorted(reached)),
    }
