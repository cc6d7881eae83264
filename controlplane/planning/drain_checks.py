"""Whether a drain can be begun, or ended, and why not: said before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from controlplane.node.drains import Drain, DrainState, Scope
from controlplane.planning.drain_facts import DrainFacts, site_of
from controlplane.planning.limits import Limits
from controlplane.planning.pace import soonest_ms
from controlplane.views import NodeView


class Refusal(StrEnum):
    """Why a drain is refused."""

    NOTHING_LEFT = "nothing-left"
    """No node that may lead would be left."""
    CONTRADICTS = "contradicts"
    """Another drain says something else of the same place, or of one around it."""
    DEADLINE = "deadline"
    """It cannot be kept at the rate that is allowed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A drain that is not begun, or not ended; `soonest_ms`: the deadline that could be kept."""

    why: Refusal
    detail: str
    soonest_ms: int | None = None


def check_begin(
    wanted: Drain, facts: DrainFacts, known: Iterable[Drain], limits: Limits
) -> Refused | None:
    """Whether a drain may begin; `known` are all records, newer than what `facts` heeds."""
    known = [drain for drain in known if drain.is_on]
    around = _around(wanted, known, facts.nodes)
    if around is not None:
        return Refused(
            Refusal.CONTRADICTS, f"{place_text(around)} is {around.state} already, and covers it"
        )
    heirs = [n for n in facts.heirs if not any(drain.covers(site_of(n)) for drain in known)]
    if not heirs:
        return Refused(
            Refusal.NOTHING_LEFT, f"without {place_text(wanted)} no node is left that may lead"
        )
    if facts.led and facts.led <= facts.stays:
        return Refused(
            Refusal.NOTHING_LEFT,
            f"nobody else may lead any of the {len(facts.led)} shards that {place_text(wanted)} "
            "leads: their groups vote there alone",
        )
    if wanted.deadline_wall_ms is None:
        return None
    moving = len(facts.led - facts.stays)
    soonest = soonest_ms(moving, facts.allowed_per_minute(limits, wanted))
    if wanted.deadline_wall_ms - wanted.began_wall_ms < soonest:
        detail = f"{moving} shards take at least {soonest / 1_000:.1f} s at the rate allowed"
        return Refused(Refusal.DEADLINE, detail, soonest)
    return None


def check_end(wanted: Drain, known: Iterable[Drain], nodes: Iterable[NodeView]) -> Refused | None:
    """Whether a place may lead again: not as long as one around it is drained."""
    covered = [node for node in nodes if wanted.covers(site_of(node))]
    around = _around(wanted, known, covered)
    if around is None:
        return None
    return Refused(
        Refusal.CONTRADICTS, f"{place_text(around)} is {around.state}, and covers it: undrain that"
    )


def is_same(wanted: Drain, known: Drain) -> bool:
    """Whether a drain that is on is just the one that is wanted."""
    if known.state is DrainState.DRAINED:
        return True
    asked = _asked_ms(wanted), wanted.added_p99_ms
    return asked == (_asked_ms(known), known.added_p99_ms)


def place_text(drain: Drain) -> str:
    """A place, for people."""
    if drain.scope is Scope.ZONE:
        return f"zone {drain.name} of {drain.within}"
    return f"{drain.scope} {drain.name}"


def _around(wanted: Drain, known: Iterable[Drain], nodes: Iterable[NodeView]) -> Drain | None:
    """A drain that is on and covers the whole place, and more."""
    sites = [site_of(node) for node in nodes]
    for drain in known:
        is_other = drain.is_on and drain.key != wanted.key
        if is_other and sites and all(drain.covers(site) for site in sites):
            return drain
    return None


def _asked_ms(drain: Drain) -> int | None:
    if drain.deadline_wall_ms is None:
        return None
    return drain.deadline_wall_ms - drain.began_wall_ms
