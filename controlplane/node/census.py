"""Who is who, as far as is known here: groups of shards, nodes of sessions, leaders' addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import LeaderHint
from shards.leadership import Leadership

if TYPE_CHECKING:
    from controlplane.node.node import Node

GLOBAL = "global"


class Census:
    """Look-ups over everything one node has seen."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._draining: set[str] = set()
        self._leaving: dict[str, str] = {}  # by node, its last process that said so

    def drains(self, node: str, process: str) -> None:
        """A process said that it is going."""
        self._draining.add(process)
        self._leaving[node] = process

    def group_of(self, shard: str) -> Group | None:
        """The group a shard belongs to, as the map says."""
        row = self._node.directory.rows.get(shard)
        if row is not None:
            return self._node.groups.get(row.group)
        if shard == SYSTEM:
            return self.system_group()
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

    def nodes_of(self, group: Group) -> set[str]:
        """Nodes configured to stand in a group: those of its voters' regions."""
        regions = {store.region for store in group.plan.voters}
        found = {peer.node for peer in self._node.plan.peers if peer.region in regions}
        return found | {self._node.plan.node}

    def is_leaving(self, node: str, process: str | None) -> bool:
        """Whether a node is being stopped, or was; `process` is its present one, if there is."""
        left = self._leaving.get(node)
        return left is not None and process in (None, left)

    def is_draining(self, process: str) -> bool:
        """Whether a process said that it is going; its node's next process is another one."""
        return process in self._draining
