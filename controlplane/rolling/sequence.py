"""One node after the other is emptied, stopped, started anew and let lead again: what comes next.

Theory of operation. `decide` is given how far the sequence is and what the fleet looks like, and
gives one thing to do, with how far the sequence is then. It never assumes that what it asked for
was done: it looks. So whoever carries it out may die at any moment, and another one goes on.

The order: who leads least comes first, and the node of the global leader last. Of each node:
*drain* it; *stop* it, once nobody would miss it; wait until another process of it *rises* and every
shard is led; let it *bake*, if it is to show first what it can do: it leads a few shards for a
while (its canaries), and hands them back by itself when its leadership is not steady, which ends
the sequence; let it *lead* again. Nothing is begun while a node is down that is none of ours, or a
shard has no leader. What takes too long ends the sequence, with the reason; begun again, it goes on
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

from controlplane.planning.reasons import waiting_text


class Step(StrEnum):
    """What is being done with a node."""

    DRAIN = "drain"
    STOP = "stop"
    RISE = "rise"
    BAKE = "bake"
    LEAD = "lead"


@dataclass(frozen=True, slots=True)
class Limits:
    """`canary_share` 0: nodes need not show what they can do. `patience_ms`: for any one wait."""

    canary_share: float = 0.0
    bake_ms: int = 600_000
    patience_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class NodeSight:
    """One node, as the fleet has it; `process` is "" while nobody knows."""

    node: str
    process: str
    alive: bool
    leads: int
    ready: bool = True


@dataclass(frozen=True, slots=True)
class DrainSight:
    """The drain of a node that is on."""

    state: str
    left: int
    total: int
    canaries: int
    reason: str = ""
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What the fleet looks like."""

    nodes: tuple[NodeSight, ...]
    drains: Mapping[str, DrainSight]
    leader: str | None
    shards: int
    shards_led: int

    def of(self, name: str) -> NodeSight | None:
        """One node; None when nobody knows of it."""
        return next((node for node in self.nodes if node.node == name), None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sequence is. `began` are the processes that are to be others in the end."""

    began: Mapping[str, str]
    done: tuple[str, ...] = ()
    at: str | None = None
    step: Step = Step.DRAIN
    baked: bool = False
    """One node has shown what it can do."""
    few_asked: bool = False
    few_seen: bool = False
    told_stop: bool = False
    since_ms: int | None = None
    """When the wait began that is on, by the caller's clock."""
    bakes_since_ms: int | None = None

    def document(self) -> dict[str, Any]:
        """As kept in a file. Waits are not: they begin anew."""
        return {
            "began": dict(self.began), "done": list(self.done), "at": self.at,
            "step": self.step.value, "baked": self.baked, "few_asked": self.few_asked,
            "few_seen": self.few_seen, "told_stop": self.told_stop,
        }  # fmt: skip


def read_progress(document: Mapping[str, Any]) -> Progress:
    """From a file. Raises KeyError, ValueError, TypeError for what is none."""
    return Progress(
        {str(node): str(process) for node, process in document["began"].items()},
        tuple(map(str, document["done"])),
        None if document["at"] is None else str(document["at"]),
        Step(document["step"]),
        bool(document["baked"]),
        bool(document["few_asked"]),
        bool(document["few_seen"]),
        bool(document["told_stop"]),
    )


@dataclass(frozen=True, slots=True)
class Drain:
    """Have everything handed over that a node leads."""

    node: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End a node's process, if nobody would miss it, and have another one started."""

    node: str


@dataclass(frozen=True, slots=True)
class LetLeadFew:
    """Let a drained node lead so large a share of the shards."""

    node: str
    share: float


@dataclass(frozen=True, slots=True)
class LetLead:
    """Let a node lead again."""

    node: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again in a moment; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The sequence ends here."""

    why: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every node runs as another process, and leads again."""


Action: TypeAlias = Drain | Stop | LetLeadFew | LetLead | Wait | GiveUp | Finished


@dataclass(slots=True)
class Sequence:
    """The machine of one run over a fleet."""

    limits: Limits
    progress: Progress
    _held_ms: int | None = field(default=None, init=False)

    def decide(self, sight: Sight, now_ms: int) -> Action:
        """What to do now; the progress is then what it is once that is done."""
        while True:
            action = self._decide(sight, now_ms)
            if action is None:
                self._to(since_ms=None)
                continue
            if not isinstance(action, Wait):
                self._to(since_ms=None)
                return action
            since_ms = self.progress.since_ms
            if since_ms is None:
                self._to(since_ms=now_ms)
            elif self._is_too_long(since_ms, now_ms):
                return self._give_up(action.why)
            return action

    def stopped(self) -> None:
        """The node's process was told to end."""
        self._held_ms = None
        self._to(told_stop=True)

    def not_stopped(self) -> None:
        """It was not, after all."""
        self._to(told_stop=False)

    def held(self, why: str, now_ms: int) -> Action:
        """The node cannot be stopped now: what to do instead."""
        if self._held_ms is None:
            self._held_ms = now_ms
        if self._is_too_long(self._held_ms, now_ms):
            return self._give_up(why)
        return Wait(why)

    def leads_few(self) -> None:
        """The node was let lead a few shards."""
        self._to(few_asked=True, few_seen=False)

    def _is_too_long(self, since_ms: int, now_ms: int) -> bool:
        bakes = self.progress.bakes_since_ms is not None
        return now_ms - since_ms >= self.limits.patience_ms and not bakes

    def _give_up(self, why: str) -> GiveUp:
        self._to(told_stop=False)  # whoever goes on may tell it again
        where = f"{self.progress.at}: " if self.progress.at else ""
        return GiveUp(f"{where}{why}, for {self.limits.patience_ms // 1_000} s")

    def _to(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)

    def _decide(self, sight: Sight, now_ms: int) -> Action | None:
        """None: look at what comes next."""
        at = self.progress.at
        if at is None:
            return self._choose(sight)
        node = sight.of(at)
        if node is None:
            return Wait("nobody knows of it")
        drain = sight.drains.get(at)
        match self.progress.step:
            case Step.DRAIN:
                return self._drain(node, drain)
            case Step.STOP:
                return self._stop(node)
            case Step.RISE:
                return self._rise(node, sight)
            case Step.BAKE:
                return self._bake(node, drain, now_ms)
            case Step.LEAD:
                return self._lead(node, drain, sight)

    def _choose(self, sight: Sight) -> Action | None:
        left = [n for n in sight.nodes if n.node in self.progress.began and not self._is_done(n)]
        if not left and self.progress.began.keys() <= {*self.progress.done}:
            return Finished()
        if not left:
            return Wait(f"{len(self.progress.began) - len(self.progress.done)} nodes are missing")
        trouble = unhealthy(sight)
        if trouble:
            return Wait(trouble)

        def place(node: NodeSight) -> tuple[bool, int, str]:
            return node.node == sight.leader, node.leads, node.node

        chosen = min(left, key=place).node
        self._to(
            at=chosen, step=Step.DRAIN, few_asked=False, few_seen=False, told_stop=False,
            bakes_since_ms=None,
        )  # fmt: skip
        return None

    def _is_done(self, node: NodeSight) -> bool:
        return node.node in self.progress.done

    def _drain(self, node: NodeSight, drain: DrainSight | None) -> Action | None:
        if self._is_another(node):
            self._to(step=Step.RISE)
            return None
        if drain is None:
            return Drain(node.node)
        if drain.state == "drained":
            self._to(step=Step.STOP)
            return None
        waits = waiting_text(drain.waits_for)
        return Wait(f"{drain.left} of {drain.total} leaders left{waits}")

    def _stop(self, node: NodeSight) -> Action | None:
        if self._is_another(node):
            self._to(step=Step.RISE)
            return None
        return Wait("its process ends") if self.progress.told_stop else Stop(node.node)

    def _rise(self, node: NodeSight, sight: Sight) -> Action | None:
        if not node.alive or not node.ready:
            return Wait("another process of it starts")
        trouble = unhealthy(sight)
        if trouble:
            return Wait(trouble)
        bakes = self.limits.canary_share > 0 and not self.progress.baked
        self._to(step=Step.BAKE if bakes else Step.LEAD)
        return None

    def _bake(self, node: NodeSight, drain: DrainSight | None, now_ms: int) -> Action | None:
        if drain is None:  # somebody lets it lead: there is nothing to show any more
            self._to(step=Step.LEAD)
            return None
        if not self.progress.few_asked:
            return LetLeadFew(node.node, self.limits.canary_share)
        if drain.canaries == 0 and self.progress.few_seen:
            self._to(few_asked=False, few_seen=False, bakes_since_ms=None)
            return GiveUp(f"{node.node}: {drain.reason or 'its canaries were handed back'}")
        if drain.canaries == 0:
            return Wait("it is let lead a few shards")
        self._to(few_seen=True)
        if not node.alive or node.leads == 0:
            self._to(bakes_since_ms=None)
            return Wait(f"it is to lead {drain.canaries} shards")
        since_ms = self.progress.bakes_since_ms
        if since_ms is None:
            since_ms = now_ms
            self._to(bakes_since_ms=now_ms)
        left_ms = since_ms + self.limits.bake_ms - now_ms
        if left_ms > 0:
            return Wait(f"leads {node.leads} shards, and more in {-(-left_ms // 1_000)} s")
        self._to(step=Step.LEAD, baked=True, bakes_since_ms=None)
        return None

    def _lead(self, node: NodeSight, drain: DrainSight | None, sight: Sight) -> Action | None:
        if drain is not None:
            return LetLead(node.node)
        trouble = unhealthy(sight)
        if trouble:
            return Wait(trouble)
        self._to(done=(*self.progress.done, node.node), at=None)
        return None

    def _is_another(self, node: NodeSight) -> bool:
        """Whether the process is not the one that was to be stopped any more."""
        return node.alive and node.process not in ("", self.progress.began.get(node.node))


def unhealthy(sight: Sight) -> str:
    """What keeps the next step from being taken, "" if nothing does."""
    down = [node.node for node in sight.nodes if not node.alive]
    if down:
        return f"{', '.join(down)} not alive"
    if sight.shards == 0:
        return "the shard map is not known"
    if sight.leader is None:
        return "there is no global leader"
    if sight.shards_led < sight.shards:
        return f"{sight.shards - sight.shards_led} shards without a leader"
    return ""
