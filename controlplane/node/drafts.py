"""The drafts that the leader of one parent fills: every child, at every store of its group.

Everything counted here is counted in one version of the child's group: when the group goes over to
the next, all its stores are asked anew [!].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.node.group import Group
from regions.codec import Code, pack
from regions.codec import Reply as StoreReply
from shards.draft_copy import DraftCopy
from shards.drafting import UNKNOWN_LAG, Drafting, Place, Stage
from shards.leadership import Leadership
from shards.resharding import Resharding

if TYPE_CHECKING:
    from controlplane.node.node import Node

NEAR_ENTRIES = 256  # so few may be left when the parents close
AGAIN_MS = 20
HURRIED_MS = 5  # while a parent is being closed: clients wait, or will in a moment
REST_MS = 200


class Filling:
    """One part of one draft at one store."""

    __slots__ = (
        "asked", "drafting", "dropped", "filler", "incarnation", "is_placed", "not_before_ms",
        "source", "store",
    )  # fmt: skip

    def __init__(self, store: str, incarnation: str, filler: Drafting | DraftCopy) -> None:
        self.store = store
        self.incarnation = incarnation
        self.filler = filler
        self.drafting = filler if isinstance(filler, Drafting) else filler.drafting
        self.source = 0  # counts up: another store of the parent's group is asked
        self.asked = False
        self.not_before_ms = 0
        self.is_placed = False
        self.dropped = False


class Drafts:
    """All drafts that one parent flows into."""

    def __init__(self, node: Node, resharding: Resharding, part: int, attempt: int) -> None:
        self._node = node
        self._resharding = resharding
        self._part = part
        self._parent = resharding.parents[part]
        self._attempt = attempt
        self._again_ms = AGAIN_MS
        self._versions = [0] * len(resharding.children)
        self._fillings: list[list[Filling]] = [[] for _ in resharding.children]

    # -- filling

    def advance(self, group: Group, leadership: Leadership, now_ms: int) -> None:
        """Ask every store what is to be asked of it now."""
        hurried = self._node.reshardings.is_any_closing
        self._again_ms = HURRIED_MS if hurried else AGAIN_MS
        if self._node.is_pressed(group.times.ttl_ms):
            return
        for number, _ in enumerate(self._resharding.children):
            for filling in self._of(number):
                self._ask(number, filling, now_ms)

    def _of(self, number: int) -> list[Filling]:
        """The stores of a child's group, as they are in its present version."""
        child, resharding = self._resharding.children[number], self._resharding
        group = self._node.groups[child.group]
        if self._versions[number] != group.version:
            self._versions[number] = group.version
            parent = self._parent
            shares = tuple((first, end) for first, end in resharding.shares(child))
            place = Place(
                resharding.number, self._part, child.shard, child.group, shares,
                parent.shard, parent.group,
            )  # fmt: skip
            homes = self._node.groups[parent.group].lanes
            own = {(lane.store, lane.incarnation) for lane in homes}
            self._fillings[number] = [
                Filling(
                    lane.store, lane.incarnation,
                    (Drafting if (lane.store, lane.incarnation) in own else DraftCopy)(
                        place, self._node.plan.process, self._attempt
                    ),
                )
                for lane in group.lanes
            ]  # fmt: skip
        return self._fillings[number]

    def _ask(self, number: int, filling: Filling, now_ms: int) -> None:
        drafting, version = filling.drafting, self._versions[number]
        if filling.asked or now_ms < filling.not_before_ms or drafting.is_over:
            return
        filler, home = filling.filler, self._node.groups[self._parent.group]
        asked, asked_version = (filling.store, filling.incarnation), version
        if isinstance(filler, Drafting):
            question = filler.question(version)
        else:
            if filler.is_at_source:
                source = self._source(home, filling)
                if source is None:
                    return
                asked, asked_version = source, home.version
            question = filler.question(home.version, version)
        assert question is not None, "what is over is not asked on"
        filling.asked = True

        def take(reply: StoreReply | None, now_ms: int) -> None:
            filling.asked = False
            result = reply.results[0] if reply is not None and reply.results else None
            if result is None or result[1] != asked_version:
                filling.not_before_ms = now_ms + REST_MS
                filling.source += 1
                return
            if not filler.answered(result):
                filling.not_before_ms = now_ms + self._again_ms
            elif version == self._versions[number]:
                self._ask(number, filling, now_ms)
            if drafting.stage is Stage.RIPE:
                self._node.reshardings.parents.wake(now_ms)

        self._node.bulk.visit(*asked, [question], take)

    def _source(self, home: Group, filling: Filling) -> tuple[str, str] | None:
        """A store of the parent's group: the nearest, and another one after a failure."""
        near = [home.lanes[i] for i in self._node.nearby.local_stores(home)]
        if not near:
            return None
        lane = near[filling.source % len(near)]
        return lane.store, lane.incarnation

    # -- what is counted

    def is_near(self, number: int, commit: int) -> bool:
        """Whether a child's drafts lack little, at all voters within reach, a majority at least."""
        return self._count(number, lambda d: d.lag(commit) <= NEAR_ENTRIES, all_in_reach=True)

    def is_ripe(self, number: int) -> bool:
        """Whether a majority of a child's voters is ripe, in one version of its group [!]."""
        return self._count(number, lambda d: d.stage is Stage.RIPE, all_in_reach=False)

    def _count(self, number: int, holds: Any, *, all_in_reach: bool) -> bool:
        group = self._node.groups[self._resharding.children[number].group]
        if self._versions[number] != group.version:
            return False
        voters = list(zip(self._fillings[number], group.lanes, strict=True))[: group.voters]
        count = sum(bool(holds(filling.drafting)) for filling, _ in voters)
        if all_in_reach and any(
            lane.is_up and not holds(filling.drafting) for filling, lane in voters
        ):
            return False
        return count >= group.quorum

    def lag(self, commit: int) -> int:
        """Entries that the draft lacks which lacks most; -1 where pages are not complete."""
        lags = [f.drafting.lag(commit) for fillings in self._fillings for f in fillings]
        most = max(lags, default=UNKNOWN_LAG)
        return -1 if most == UNKNOWN_LAG else most

    def cursors(self) -> list[int | None]:
        """Where each draft that is still to be filled has the log to; None: pages are read."""
        return [
            filling.drafting.cursor
            for fillings in self._fillings
            for filling in fillings
            if not filling.drafting.is_over and filling.drafting.stage is not Stage.FINAL
        ]

    @property
    def epoch_max(self) -> int:
        """The greatest epoch in which a child may begin, as far as it was shown."""
        return max(f.drafting.epoch_max for fillings in self._fillings for f in fillings)

    def all_have_ended(self) -> bool:
        """Whether no voter within reach is a draft any more, and a majority has not been one."""
        return all(
            self._count(number, lambda d: d.is_over, all_in_reach=True)
            for number, _ in enumerate(self._resharding.children)
        )

    # -- what is said to stores

    def place(self, number: int) -> None:
        """Tell the stores that are ripe where their child is to be led."""
        child = self._resharding.children[number]
        placement = pack([list(child.regions), self.heir(number)])
        for filling in self._fillings[number]:
            if filling.drafting.stage is Stage.RIPE and not filling.is_placed:
                filling.is_placed = True
                command = [
                    "place", child.group, self._versions[number], child.shard,
                    self._resharding.revision, placement,
                ]  # fmt: skip
                self._node.bulk.visit(
                    filling.store, filling.incarnation, [command], lambda reply, now_ms: None
                )

    def heir(self, number: int) -> str:
        """Who leads a child first: this node, if it may. It has the requests that wait already."""
        group = self._node.groups[self._resharding.children[number].group]
        return "" if group.session is None else self._node.plan.node

    def drop(self, now_ms: int) -> bool:
        """Have all stores drop their drafts; says whether all within reach have."""
        gone = True
        for number, child in enumerate(self._resharding.children):
            lanes = self._node.groups[child.group].lanes
            for filling, lane in zip(self._of(number), lanes, strict=True):
                gone = gone and (filling.dropped or not lane.is_up)
                if not filling.dropped and not filling.asked and now_ms >= filling.not_before_ms:
                    self._drop(number, filling)
        return gone

    def _drop(self, number: int, filling: Filling) -> None:
        child = self._resharding.children[number]
        filling.asked = True

        def take(reply: StoreReply | None, now_ms: int) -> None:
            filling.asked = False
            filling.not_before_ms = now_ms + REST_MS
            if reply is not None and reply.results:
                filling.dropped = reply.results[0][0] in (Code.OK, Code.EXISTS)

        command = [
            "undraft", child.group, self._versions[number], child.shard, self._resharding.number,
        ]  # fmt: skip
        self._node.bulk.visit(filling.store, filling.incarnation, [command], take)
