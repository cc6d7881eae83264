"""What planned moves are for, and what hinders one: words of the API and of metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MoveKind(StrEnum):
    """What a move is for, what comes first first."""

    SAFETY = "safety"
    """Away from what is failing."""
    DRAIN = "drain"
    """Away from a place that somebody wants empty."""
    OPERATOR = "operator"
    """To where a person has it go, now."""
    SURVIVAL = "survival"
    """To where a loss can be outlived."""
    PREFERENCE = "preference"
    """To the region that is preferred."""
    COST = "cost"
    """To where it is cheaper, or nearer to its clients."""
    BALANCE = "balance"
    """To where less is led."""
    BULK = "bulk"
    """To other stores: whatever the shard holds is copied."""

    @property
    def rank(self) -> int:
        """0 comes first."""
        return RANKS[self]

    @property
    def is_optional(self) -> bool:
        """Whether nothing is wrong as long as it is not made."""
        return self.rank > RANKS[MoveKind.SURVIVAL]


RANKS: Final = {kind: rank for rank, kind in enumerate(MoveKind)}


class Hindrance(StrEnum):
    """Why a move is not made: never (the first of them), or not yet."""

    CHANGED = "changed"
    """The shard is not where it was found when the move was decided."""
    NO_CANDIDATE = "no-candidate"
    """No node that may lead it is alive there."""
    GONE = "gone"
    """There is no such shard any more."""
    DRAINED = "drained"
    """The place is to lead nothing."""
    RESIDENCE = "residence"
    """It was moved a short while ago, and nothing presses."""
    NO_GROUP = "no-group"
    """No stores decide together there, and none can be made to."""
    CANCELLED = "cancelled"
    """Somebody cancelled its resharding."""
    OVERTAKEN = "overtaken"
    """Something that comes first moved it meanwhile."""
    NOT_BEGUN = "not-begun"
    """It had to wait for too long."""
    NOT_FINISHED = "not-finished"
    """It was begun, and the shard did not get there in time."""
    UNLED = "unled"
    """Nobody leads the shard at this moment."""
    NOT_BETTER = "not-better"
    """Who was to take it is not placed better than who leads it."""
    PINNED = "pinned"
    """It is pinned to another node."""
    PAUSED = "paused"
    """Somebody holds all moves up."""
    COLD_START = "cold-start"
    """This global leader does not know the fleet for long enough."""
    BRAKE = "brake"
    """Nodes that were just given shards went down: what was moved stays."""
    ROLLOUT = "rollout"
    """A rollout changes, watches or takes back something in a region that it leaves or goes to."""
    COOLING = "cooling"
    """A move of this shard failed a short while ago."""
    SUSPECT = "suspect"
    """Whoever would take it was silent a short while ago."""
    GROUP_MAKING = "group-making"
    """The group that it is to go to is being made."""
    IN_FLIGHT = "in-flight"
    """As many shards as may be are on their way at once."""
    RATE = "rate"
    """As many as may be were moved of late."""


FOR_GOOD: Final = frozenset(
    {
        Hindrance.CHANGED, Hindrance.NO_CANDIDATE, Hindrance.GONE, Hindrance.DRAINED,
        Hindrance.RESIDENCE, Hindrance.NO_GROUP, Hindrance.CANCELLED, Hindrance.OVERTAKEN,
        Hindrance.NOT_BEGUN, Hindrance.NOT_FINISHED, Hindrance.NOT_BETTER, Hindrance.PINNED,
    }
)  # fmt: skip


_WAYS_OUT: Final[dict[str, str]] = {
    Hindrance.PAUSED: "leadplane placement resume",
    Hindrance.BRAKE: "once you know why nodes went down: leadplane placement release",
}


def waiting_text(hindrance: str | None) -> str:
    """What a move waits for, behind how far it is, with what a person can do about it."""
    if not hindrance:
        return ""
    way_out = _WAYS_OUT.get(hindrance)
    return f", waiting: {hindrance}" + (f" ({way_out})" if way_out else "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A move that somebody wants; `to_node` and `to_region` are "" where it does not matter.

    `from_node` is "" where nobody knows. `to_group` and `size_bytes` are of a move to other stores.
    """

    shard: str
    group: str
    kind: MoveKind
    from_node: str
    from_region: str
    to_region: str = ""
    to_node: str = ""
    to_group: str = ""
    size_bytes: float = 0.0
