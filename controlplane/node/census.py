"""Who is who, as far as is known here: groups of shards, nodes of sessions, leaders' addresses.

A node that the topology does not know is known by its sessions. One that stands in no group which
is looked at here has none. It tells some others where it is, with all that it tells them anyway,
and they pass it on, with its age: so all hear of it within seconds, however many they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.node_plan import PeerPlan
from controlplane.requests import LeaderHint
from shards.grant import process_of
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

GLOBAL = "global"
LOOK_EVERY_MS = 1_000
FORGET_AFTER_MS = 10_000
ROWS_MAX = 1_000
WORD_MAX = 512


@dataclass(frozen=True, slots=True)
class Told:
    """Where another node said it is, and when, on this node's clock."""

    region: str
    url: str
    told_ms: int


class Census:
    """Look-ups over everything one node has seen."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._draining: set[str] = set()
        self._leaving: dict[str, str] = {}  # by node, its last process that said so
        self._told: dict[str, Told] = {}
        self._with_session: set[str] = set()
        self._peers: tuple[PeerPlan, ...] = node.plan.peers
        self._look_at_ms = 0  # when peers are looked for anew

    def drains(self, node: str, process: str) -> None:
        """A process said that it is going."""
        self._draining.add(process)
        self._leaving[node] = process

    def told_of(self, now_ms: int) -> list[list[Any]]:
        """This node, and those that have no session here, for other nodes; each with its age."""
        plan = self._node.plan
        rows: list[list[Any]] = [[plan.node, plan.region, plan.url, 0]]
        for node, told in self.without_session(now_ms).items():
            rows.append([node, told.region, told.url, now_ms - told.told_ms])
        return rows[:ROWS_MAX]

    def heard(self, rows: Any, now_ms: int) -> None:
        """Take what another node tells; what has not its shape is ignored."""
        for row in rows[:ROWS_MAX] if isinstance(rows, list) else ():
            match row:
                case [str(node), str(region), str(url), int(age_ms)] if (
                    url and age_ms >= 0 and max(map(len, (node, region, url))) <= WORD_MAX
                ):
                    known, told_ms = self._told.get(node), now_ms - age_ms
                    is_news = known is None or known.told_ms < told_ms
                    if is_news and node != self._node.plan.node:
                        self._told[node] = Told(region, url, told_ms)

    def without_session(self, now_ms: int) -> dict[str, Told]:
        """What is told of nodes that stand in no group which is looked at here."""
        self._look(now_ms)
        oldest_ms = now_ms - FORGET_AFTER_MS
        return {
            node: told
            for node, told in self._told.items()
            if told.told_ms >= oldest_ms and node not in self._with_session
        }

    def peers(self, now_ms: int) -> tuple[PeerPlan, ...]:
        """The other nodes: those of the topology, then by name those that are alive besides."""
        self._look(now_ms)
        return self._peers

    def _look(self, now_ms: int) -> None:
        """Look at who is there, if the last look was long ago."""
        if now_ms < self._look_at_ms:
            return
        self._look_at_ms = now_ms + LOOK_EVERY_MS
        oldest_ms = now_ms - FORGET_AFTER_MS
        self._told = {node: told for node, told in self._told.items() if told.told_ms >= oldest_ms}
        others = {node: PeerPlan(node, told.region, told.url) for node, told in self._told.items()}
        self._with_session = set()
        for group in self._node.groups.values():
            for peer in group.watch.peers(now_ms).values():
                self._with_session.add(peer.node)
                if peer.silent_ms < group.times.silent_ms:
                    others[peer.node] = PeerPlan(peer.node, peer.region, peer.url)
        plan = self._node.plan
        known = {plan.node, *(peer.node for peer in plan.peers)}
        self._peers = (*plan.peers, *(others[node] for node in sorted(others.keys() - known)))

    def group_of(self, shard: str) -> Group | None:
        """The group a shard belongs to, as the map says; while there is none, as stores do."""
        directory = self._node.directory
        row = directory.rows.get(shard)
        if row is not None:
            return self._node.groups.get(row.group)
        if shard == SYSTEM:
            return self.system_group()
        if directory.is_known:
            return None
        return next((g for g in self._node.groups.values() if shard in g.shards), None)

    def system_group(self) -> Group | None:
        """The group of the system shard, in its present version."""
        return self._node.groups.get(GLOBAL)

    def leadership(self, shard: str) -> tuple[Group, Leadership] | None:
        """This node's leadership of a shard."""
        group = self.group_of(shard)
        found = None if group is None else group.led.get(shard)
        return None if group is None or found is None else (group, found)

    def leader_hint(self, group: Group, shard: str) -> LeaderHint | None:
        """Who leads a shard, as far as is known here."""
        sighted = group.shards.get(shard)
        leading = None if sighted is None else sighted.leading_grant()
        if leading is None:
            return None
        if group.is_mine(leading.holder):
            if shard not in group.led:
                return None
            plan = self._node.plan
            return LeaderHint(plan.node, plan.region, plan.url, leading.epoch)
        for sightings in group.watch.sightings:
            seen = sightings.get(leading.holder)
            if seen is not None:
                return LeaderHint(seen.node, seen.region, seen.url, leading.epoch)
        return None

    def global_leader(self) -> LeaderHint | None:
        """Who leads the system shard."""
        group = self.system_group()
        return None if group is None else self.leader_hint(group, SYSTEM)

    def node_name(self, sid: str) -> str:
        """The node of a session, or the session id when its node is not known any more."""
        for group in self._node.groups.values():
            if sid and group.is_mine(sid):
                return self._node.plan.node
            for sightings in group.watch.sightings:
                if sid in sightings:
                    return sightings[sid].node
        return sid

    def region_of(self, sid: str) -> str:
        """The region of a session's node; "" when nothing is known of that any more."""
        for group in self._node.groups.values():
            for sightings in group.watch.sightings:
                if sid in sightings:
                    return sightings[sid].region
        plan, node = self._node.plan, process_of(sid).rpartition(".")[0]
        if node == plan.node:
            return plan.region
        return next((peer.region for peer in self._peers if peer.node == node), "")

    def nodes_of(self, group: Group) -> set[str]:
        """Nodes configured to stand in a group: those of its voters' regions."""
        regions = {store.region for store in group.plan.voters}
        found = {peer.node for peer in self._node.plan.peers if peer.region in regions}
        return found | {self._node.plan.node}

    def is_leaving(self, node: str, process: str | None) -> bool:
        """Whether a node is being stopped, or was; `process` is its present one, if there is."""
        left = self._leaving.get(node)
        return left is not None and process in (None, left)

    def left(self, node: str) -> str:
        """The last process of a node that said it was going; "" if none did."""
        return self._leaving.get(node, "")

    def is_draining(self, process: str) -> bool:
        """Whether a process said that it is going; its node's next process is another one."""
        return process in self._draining
