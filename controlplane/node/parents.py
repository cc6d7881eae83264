"""What the leader of a parent does for a resharding: it fills the drafts, closes, and wipes.

Theory of operation. Whoever leads a parent of an unfinished resharding fills the drafts at all
stores of the children's groups, one question at a time each and over bulk lanes (shards/drafting),
so that no renewal waits. It reports how far it is to the global leader, again and again. When the
record says `closing`, it writes the closing entry, once, and what is left of the log flows into the
drafts. It counts the voters of a child that are ripe in one version of the child's group [!]; when
they are a majority, it tells their stores where the child is placed, and all nodes that the child
may be stood for. After the map was switched it goes on until no voter within reach is a draft any
more, wipes the parent, and lets it go when the record says that everything is swept.

A later leader of the parent does the same from the beginning: what is there already is shown by the
drafts themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.machine import Tell
from controlplane.node.drafts import Drafts
from controlplane.node.group import Group
from controlplane.node.switching import Report
from shards.leadership import Leadership, State
from shards.resharding import Phase, Resharding

if TYPE_CHECKING:
    from controlplane.node.node import Node

TICK_MS = 20
LET_GO_EVERY_MS = 500  # all that is led is looked through
HURRIED_MS = 5  # while a parent is closed and its children are not in the map: clients wait
REPORT_EVERY_MS = 100
SWEPT_AFTER_TTLS = 3  # so long a wiped shard's leader waits for stores that do not answer


class Work:
    """One parent at its leader, in one epoch."""

    def __init__(self, resharding: Resharding, parent: int, drafts: Drafts, epoch: int) -> None:
        self.number = resharding.number
        self.parent = parent
        self.drafts = drafts
        self.epoch = epoch
        self.began_at = 0  # what every store had applied when drafts began to be filled
        self.told: set[int] = set()  # children that were told to be ripe at a majority
        self.wiped_at = 0  # the entry that wipes
        self.wiped_ms = 0
        self.swept = False
        self.next_report_ms = 0


class Parents:
    """The parents that one node leads."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._works: dict[tuple[str, str], Work] = {}
        self._attempts = 0
        self._next_ms = 0
        self._let_go_at_ms = 0

    @property
    def deadline_ms(self) -> int | None:
        """When `advance` has something to do."""
        return self._next_ms if self._works or self._node.reshardings.is_anything_on else None

    def advance(self, now_ms: int) -> None:
        """Go on with every parent that is led here."""
        if now_ms < self._next_ms:
            return
        unfinished = self._node.reshardings.unfinished()
        hurried = self._node.reshardings.is_any_closing
        self._next_ms = now_ms + (HURRIED_MS if hurried else TICK_MS)
        known: set[tuple[str, str]] = set()
        for resharding in unfinished:
            if any(child.group not in self._node.groups for child in resharding.children):
                continue  # one that was made, and has not been joined here yet
            for number, parent in enumerate(resharding.parents):
                group = self._node.groups.get(parent.group)
                leadership = None if group is None else group.led.get(parent.shard)
                if group is None or leadership is None or leadership.state is not State.LEADING:
                    continue
                known.add(leadership.place)
                work = self._work(resharding, number, leadership)
                self._go_on(resharding, work, group, leadership, now_ms)
        for place in [place for place in self._works if place not in known]:
            del self._works[place]
        self._let_go(now_ms)

    def wake(self, now_ms: int) -> None:
        """A draft is ripe: look now who may be told."""
        self._next_ms = now_ms

    def _work(self, resharding: Resharding, parent: int, leadership: Leadership) -> Work:
        work = self._works.get(leadership.place)
        number, epoch = resharding.number, leadership.epoch
        if work is None or (work.number, work.epoch) != (number, epoch):
            self._attempts += 1
            drafts = Drafts(self._node, resharding, parent, self._attempts)
            work = self._works[leadership.place] = Work(resharding, parent, drafts, epoch)
            assert leadership.log is not None, "a leading shard has a log"
            work.began_at = min(f.covered for f in leadership.log.followers)
        return work

    def _go_on(
        self, resharding: Resharding, work: Work, group: Group, leadership: Leadership, now_ms: int
    ) -> None:
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        match resharding.phase:
            case Phase.CANCELLED:
                work.swept = work.drafts.drop(now_ms)
            case Phase.CLOSING if not leadership.is_closed and leadership.serves(now_ms):
                log.close(resharding.number)
                group.dirty(leadership)
                detail = {"resharding": resharding.number}
                self._node.happened("closed", leadership.shard, leadership.epoch, detail)
        if resharding.phase is not Phase.CANCELLED and not work.wiped_at:
            work.drafts.advance(group, leadership, now_ms)
        if resharding.phase in (Phase.CLOSING, Phase.DONE):
            self._tell_ripe(resharding, work, now_ms)
        if resharding.phase is Phase.DONE and leadership.is_closed:
            self._sweep(work, group, leadership, now_ms)
        if now_ms >= work.next_report_ms:
            work.next_report_ms = now_ms + REPORT_EVERY_MS
            self._report(resharding, work, log.commit)

    def drafted_to(self, leadership: Leadership) -> int | None:
        """Up to where the drafts of a shard have its log, the one that lacks most; None without any
        that goes on. While pages are read, they have what every store had when that began."""
        work = self._works.get(leadership.place)
        if work is None or work.epoch != leadership.epoch:
            return None
        cursors = work.drafts.cursors()
        if not cursors:
            return None
        return min(work.began_at if cursor is None else cursor for cursor in cursors)

    # -- children

    def _tell_ripe(self, resharding: Resharding, work: Work, now_ms: int) -> None:
        for number, child in enumerate(resharding.children):
            if not work.drafts.is_ripe(number):
                continue
            work.drafts.place(number)
            if number in work.told:
                continue
            work.told.add(number)
            work.next_report_ms = now_ms
            message = {
                "kind": "ripe", "number": resharding.number, "child": child.shard,
                "group": child.group, "epoch": work.drafts.epoch_max,
                "revision": resharding.revision, "regions": list(child.regions),
                "heir": work.drafts.heir(number),
            }  # fmt: skip
            for node in self._everybody():
                self._node.out.append(Tell(node, message))
            self.child_is_ripe(message, now_ms)

    def _everybody(self) -> list[str]:
        peers = {peer.node for peer in self._node.plan.peers}
        for group in self._node.groups.values():
            peers.update(peer.node for peer in group.watch.peers(self._node.now_ms).values())
        return sorted(peers - {self._node.plan.node})

    def child_is_ripe(self, message: dict[str, Any], now_ms: int) -> None:
        """A majority of a child's voters was counted to be ripe: it may be stood for."""
        match message:
            case {
                "child": str() as child, "group": str() as name, "epoch": int() as epoch,
                "revision": int() as revision, "regions": list() as regions, "heir": str() as heir,
            }:  # fmt: skip
                self._node.reshardings.ripe.add(child)
                group = self._node.groups.get(name)
                if group is None or group.session is None:
                    return
                sighted = group.sighted(child)
                sighted.tried = max(sighted.tried, epoch)
                if sighted.placement_rev < revision:
                    sighted.placement_rev = revision
                    sighted.regions = tuple(str(region) for region in regions)
                    sighted.pin = heir
                self._node.standing[name].hurry(now_ms)

    # -- the end of a parent

    def _sweep(self, work: Work, group: Group, leadership: Leadership, now_ms: int) -> None:
        """Wipe, once no voter within reach is a draft any more; then wait until stores have it."""
        log = leadership.log
        assert log is not None, "a leading shard has a log"
        if not work.wiped_at:
            if work.drafts.all_have_ended():
                work.wiped_at, work.wiped_ms = log.wipe().sequence, now_ms
                group.dirty(leadership)
            return
        everywhere = all(
            log.followers[store].committed >= work.wiped_at for store in range(group.stores)
        )
        late = now_ms - work.wiped_ms > SWEPT_AFTER_TTLS * group.times.ttl_ms
        if log.commit >= work.wiped_at and (everywhere or late):
            work.swept = True

    def _let_go(self, now_ms: int) -> None:
        """What was closed and swept is of nobody any more."""
        reshardings, rows = self._node.reshardings, self._node.directory.rows
        if now_ms < self._let_go_at_ms:
            return
        self._let_go_at_ms = now_ms + LET_GO_EVERY_MS
        for group in self._node.groups.values():
            for leadership in list(group.led.values()):
                ended = leadership.is_closed and leadership.shard not in rows
                if ended and not reshardings.may_be_led(leadership.shard, group.group):
                    leadership.end("resharded", now_ms)

    # -- reports

    def _report(self, resharding: Resharding, work: Work, commit: int) -> None:
        children = range(len(resharding.children))
        near = [work.drafts.is_near(child, commit) for child in children]
        ripe = [work.drafts.is_ripe(child) for child in children]
        behind = work.drafts.lag(commit)
        leader = self._node.census.global_leader()
        if leader is None:
            return
        if leader.node == self._node.plan.node:
            report = Report(tuple(near), tuple(ripe), work.swept, behind, self._node.now_ms)
            self._node.reshardings.switching.take(work.number, work.parent, report)
            return
        message = {
            "kind": "drafted", "number": work.number, "parent": work.parent, "near": near,
            "ripe": ripe, "swept": work.swept, "behind": behind,
        }  # fmt: skip
        self._node.out.append(Tell(leader.node, message))
