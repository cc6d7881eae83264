"""The documents in force here, and acknowledging them: a reader of the system shard, one feed.

Theory of operation. What this region is to run are targets, and the revisions that they name
(config/effect); the node reads both at its region's copy of the system shard and puts the feed
together of them. It does so when it has read all that the copy knows to be decided, be it that the
copy has not got all of it yet: who was away takes up what counts now, and nothing that was ordered
and taken back meanwhile. Only a node that has just begun, and so has nothing in force, takes up
what there is when the rest does not come within `PATIENCE_MS`. A target counts
once its revision is there and is what the target's digest says; until then, and if it never comes,
what was in force stays so. A target that an older global leader ordered than the one known is
refused.

While a rollout speaks of this region, the node tells the global leader what it runs: at once when
that changed, and again every `REPEAT_MS`, so that nothing that is lost is waited for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from config.effect import (
    EVERYWHERE,
    PARTITION,
    PREFIX,
    Target,
    live_key,
    place_of,
    read_target,
    target_key,
    version_of,
)
from config.feed import Feed
from config.revision import Revision, read_revision
from config.rollout_step import Ack
from controlplane.machine import Tell
from controlplane.node.following import SYSTEM
from controlplane.requests import Request, Write

if TYPE_CHECKING:
    from controlplane.node.node import Node

REPEAT_MS: Final = 1_000
HURRY_MS: Final = 5_000
"""For so long after something changed, this region's copy is looked at more often."""
ROWS_MAX: Final = 1_000
PATIENCE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Said:
    """What a node said of one document."""

    rollout: int
    ack: Ack
    at_ms: int


class Documents:
    """What one node knows of the documents, and what it is told of others as the global leader."""

    partition = PARTITION
    prefix = PREFIX

    def __init__(self, node: Node) -> None:
        self._node = node
        self._is_read = False
        self._wait_until_ms: int | None = None  # of a node that has just begun
        self._targets: dict[tuple[str, str], tuple[Target, int]] = {}  # with the entry's position
        self._live: dict[tuple[str, int], Revision] = {}
        self._versions: dict[str, int] = {}  # the position of the newest entry of each key
        self._said: dict[str, dict[str, _Said]] = {}  # by document, then node
        self._refused: set[tuple[str, int]] = set()
        self._unseen: set[str] = set()  # keys that a scan has not shown so far
        self._touched: dict[str, int] = {}  # documents to look at, with the newest entry's position
        self._changed_ms = -HURRY_MS
        self._next_ms = node.now_ms + REPEAT_MS
        self._listener: tuple[str, int] = ("", 0)
        self._is_news = False
        self.feed = Feed(node.plan.documents)

    @property
    def deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return self._node.now_ms if self._is_news else self._next_ms

    def decided(self, request: Request) -> None:
        """This node led what was written there; of what rollouts order, all are to know soon."""
        if type(request) is Write and any(m.partition == PARTITION for m in request.mutations):
            self.hurry()
            for peer in self._node.census.peers(self._node.now_ms):
                self._node.out.append(Tell(peer.node, {"kind": "read-on"}))

    def hurry(self) -> None:
        """Read on now, and often for a while: something was decided."""
        self._changed_ms = self._node.now_ms
        self._node.following.deadline_ms = self._node.now_ms

    def is_hurried(self, now_ms: int) -> bool:
        """Whether something changed a moment ago, so that more is to be expected."""
        return now_ms - self._changed_ms < HURRY_MS

    # -- what is in force

    def begun(self) -> None:
        """What is known stays in force; what no scan shows any more is gone at its end."""
        self._unseen = {target_key(*place) for place in self._targets}
        self._unseen |= {live_key(*live) for live in self._live}

    def put(self, key: str, value: bytes | str, version: int) -> None:
        """A target is so, or a revision is in force somewhere."""
        self._unseen.discard(key)
        if self._versions.get(key, -1) >= version:
            return
        self._versions[key] = version
        try:
            if (place := place_of(key)) is not None:
                self._targeted(place, read_target(value), version)
            elif (live := version_of(key)) is not None:
                self._live[live] = read_revision(value)
                self._touched[live[0]] = version
        except ValueError as complaint:
            detail = {"key": key.removeprefix(PREFIX), "why": str(complaint)}
            self._node.happened("document-unreadable", SYSTEM, 0, detail)

    def deleted(self, key: str, version: int) -> None:
        """A region is not spoken of any more, or a revision is in force nowhere."""
        if self._versions.get(key, -1) >= version:
            return
        self._versions[key] = version
        if (place := place_of(key)) is not None:
            self._targets.pop(place, None)
            self._touched[place[0]] = version
        elif (live := version_of(key)) is not None:
            self._live.pop(live, None)

    def scanned(self) -> None:
        """What is not there any more is gone."""
        for key in sorted(self._unseen):
            self.deleted(key, self._versions[key] + 1)
        self._unseen = set()

    def settle(self, now_ms: int, *, is_all: bool) -> None:
        """Everything that the region's copy has was put: have in force what follows from it, if
        that `is_all` that the copy knows to be decided."""
        if not is_all:
            if self._wait_until_ms is None:
                self._wait_until_ms = now_ms + PATIENCE_MS
            if self._is_read or now_ms < self._wait_until_ms:
                return
        touched, self._touched = self._touched, {}
        for document, position in touched.items():
            self._take_up(document, position)
        self._is_read = True  # what comes now is news

    def target(self, document: str) -> Target | None:
        """What this node is to run; None where nobody has ever said it."""
        for region in (self._node.plan.region, EVERYWHERE):
            if (found := self._targets.get((document, region))) is not None:
                return found[0].at(document, self._node.plan.node)
        return None

    def _targeted(self, place: tuple[str, str], target: Target, version: int) -> None:
        document, region = place
        known = self._targets.get(place)
        if known is not None and target.epoch < known[0].epoch:
            detail = {"document": document, "region": region, "epoch": str(target.epoch)}
            self._node.happened("target-refused", SYSTEM, target.epoch, detail)
            return
        self._targets[place] = (target, version)
        if region in (self._node.plan.region, EVERYWHERE):
            self._touched[document] = version

    def _take_up(self, document: str, position: int) -> None:
        """Have in force what this region is to run, if it is known."""
        self._changed_ms = self._node.now_ms
        target = self.target(document)
        if target is None or target.version == 0:
            revision = None
        else:
            revision = self._live.get((document, target.version))
            if revision is None:
                return
            if revision.digest != target.digest:
                self._refuse(document, target)
                return
        self._is_news = True
        if not self.feed.have(document, revision, position):
            return
        if revision is None:
            self._node.sites.forgotten(document)
        else:
            self._node.sites.documented(revision)
        if self._is_read:
            self._tell_of(document, revision)

    def _refuse(self, document: str, target: Target) -> None:
        if (document, target.version) not in self._refused:
            self._refused.add((document, target.version))
            detail = {"document": document, "version": str(target.version), "why": "digest"}
            self._node.happened("document-refused", SYSTEM, target.epoch, detail)

    def _tell_of(self, document: str, revision: Revision | None) -> None:
        detail = {
            "document": document,
            "version": str(revision.version if revision is not None else 0),
            "digest": revision.digest if revision is not None else "",
            "deleted": "yes" if revision is None or revision.deleted else "no",
        }
        self._node.happened("document-applied", SYSTEM, 0, detail)

    # -- acknowledging

    def advance(self, now_ms: int) -> None:
        """Tell the global leader what is run here, where a rollout waits for it."""
        if not self._is_news and now_ms < self._next_ms:
            return
        self._next_ms = now_ms + REPEAT_MS
        self._is_news = False  # without a leader to tell, it is said again before long
        leader = self._node.census.global_leader()
        if leader is None:
            return
        if (leader.node, leader.epoch) != self._listener:
            self._listener = (leader.node, leader.epoch)
            self._said.clear()
        rows = self._rows()
        for at in range(0, len(rows), ROWS_MAX):
            message = {"kind": "in-force", "rows": rows[at : at + ROWS_MAX]}
            if leader.node == self._node.plan.node:
                self.heard(leader.node, message, now_ms)
            else:
                self._node.out.append(Tell(leader.node, message))

    def _rows(self) -> list[list[Any]]:
        """What is run of every document of which this region has a target of its own."""
        found = []
        for (document, region), (target, _) in self._targets.items():
            if region != self._node.plan.region:
                continue
            target = target.at(document, self._node.plan.node)
            applied = self.feed.in_force(document)
            version, digest = (applied.version, applied.digest) if applied else (0, "")
            if version == target.version:
                digest = target.digest if version == 0 else digest
                found.append([document, target.rollout, version, digest, target.step])
        return found

    def heard(self, sender: str, message: dict[str, Any], now_ms: int) -> None:
        """A node says what it runs; what has not the shape of it is ignored."""
        rows = message.get("rows")
        for row in rows[:ROWS_MAX] if isinstance(rows, list) else ():
            match row:
                case [
                    str() as document, int() as rollout, int() as version, str() as digest,
                    int() as step,
                ]:  # fmt: skip
                    ack = Ack(version, digest, step)
                    self._said.setdefault(document, {})[sender] = _Said(rollout, ack, now_ms)

    def acks(self, document: str, rollout: int) -> dict[str, Ack]:
        """By node, what was said to this one, as the global leader, in a rollout."""
        return {
            node: said.ack
            for node, said in self._said.get(document, {}).items()
            if said.rollout == rollout
        }
