"""Who led which shard when, and for how long nobody did.

Theory of operation. A tenure is known twice: by the line of history in the shard's own stores, and
by the event `elected` that the system shard keeps of the same epoch. The line counts, since it
was written in the entry that opened the epoch; the event also tells how long the election took. The
line is there for the last tenures of a shard, the event as long as it is kept: each fills in what
the other has not any more.

Nobody led for `unled_ms` before a tenure began, as its leader measured it on its own clock. A
tenure ends where that time begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

from config.audit import SYSTEM_PRINCIPAL
from controlplane.node.elections import BY_A_NODE
from controlplane.node.event_records import ELECTED
from controlplane.node.upkeep import ENDINGS

CHANGES: Final = ("planned", "unplanned")
"""Causes of tenures that follow that of somebody else."""
FAILOVER: Final = "unplanned"

Row = Mapping[str, Any]


class Window(NamedTuple):
    """From a moment until before another one, in ms since 1970."""

    from_ms: int
    to_ms: int

    @property
    def lasts_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms

    def has(self, wall_ms: int) -> bool:
        """Whether a moment is in it."""
        return self.from_ms <= wall_ms < self.to_ms

    def shared_ms(self, from_ms: int, to_ms: int) -> int:
        """How much of a time is in it."""
        return max(0, min(to_ms, self.to_ms) - max(from_ms, self.from_ms))


@dataclass(frozen=True, slots=True)
class Tenure:
    """One epoch of a shard; `ended` says why the one before it was over.

    `unled_ms` is None of a first tenure, of one that the same leader renewed, and where whoever
    took over did not see when the leader before fell silent.
    """

    shard: str
    epoch: int
    node: str
    region: str
    wall_ms: int
    before: str
    ended: str
    cause: str
    unled_ms: int | None
    took_ms: int | None
    principal: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody led a shard, before a tenure."""

    shard: str
    from_ms: int
    to_ms: int
    epoch: int
    cause: str
    ended: str

    @property
    def lasts_ms(self) -> int:
        """How long it was, all of it."""
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class Reign:
    """When a tenure was on; `to_ms` is None of the last one that is known."""

    tenure: Tenure
    to_ms: int | None


def person(principal: str) -> str:
    """Who did something; "" when no person did."""
    is_one = principal != SYSTEM_PRINCIPAL and not principal.startswith(BY_A_NODE)
    return principal if is_one else ""


def tenure_of_line(shard: str, line: Row) -> Tenure:
    """A line of history; of a shard that was split off, those of its parent come with it."""
    return Tenure(
        str(line.get("shard") or shard), int(line["epoch"]), str(line.get("node") or ""),
        str(line.get("region") or ""), int(line.get("wall_ms") or 0), str(line.get("before") or ""),
        str(line.get("ended") or ""), str(line.get("cause") or ""), line.get("unled_ms"), None,
        str(line.get("principal") or ""), str(line.get("reason") or ""),
    )  # fmt: skip


def tenure_of_event(event: Row) -> Tenure:
    """The same, of the event `elected`."""
    detail = event["detail"]
    why = str(detail.get("why") or "")
    return Tenure(
        event["shard"], event["epoch"], event["node"], event["region"], event["wall_ms"],
        str(detail.get("before") or ""), ENDINGS.get(why, why), str(detail.get("cause") or ""),
        detail.get("unled_ms"), detail.get("took_ms"), str(detail.get("principal") or ""),
        str(detail.get("reason") or ""),
    )  # fmt: skip


def merged(
    histories: Mapping[str, Sequence[Row]], events: Iterable[Row]
) -> dict[str, tuple[Tenure, ...]]:
    """All tenures that are known, by shard, in the order of their epochs."""
    found: dict[str, dict[int, Tenure]] = {}
    for event in events:
        if event["kind"] == ELECTED:
            tenure = tenure_of_event(event)
            found.setdefault(tenure.shard, {})[tenure.epoch] = tenure
    for shard, lines in histories.items():
        for line in lines:
            tenure = tenure_of_line(shard, line)
            known = found.setdefault(tenure.shard, {})
            if (told := known.get(tenure.epoch)) is not None:
                tenure = replace(tenure, took_ms=told.took_ms)
            known[tenure.epoch] = tenure
    return {
        shard: tuple(tenures[epoch] for epoch in sorted(tenures))
        for shard, tenures in sorted(found.items())
    }


def gaps_in(tenures: Iterable[Tenure], window: Window) -> list[Gap]:
    """Times without a leader that reach into a window, the earliest first."""
    found = [
        Gap(t.shard, t.wall_ms - t.unled_ms, t.wall_ms, t.epoch, t.cause, t.ended)
        for t in tenures
        if t.unled_ms
    ]
    within = [gap for gap in found if window.shared_ms(gap.from_ms, gap.to_ms)]
    return sorted(within, key=lambda gap: (gap.from_ms, gap.shard, gap.epoch))


def reigns_in(tenures: Sequence[Tenure], window: Window) -> list[Reign]:
    """The tenures of one shard that reach into a window, in their order."""
    found = [
        Reign(tenure, max(tenure.wall_ms, after.wall_ms - (after.unled_ms or 0)))
        for tenure, after in pairwise(tenures)
    ]
    found += [Reign(tenure, None) for tenure in tenures[-1:]]
    return [
        reign
        for reign in found
        if reign.tenure.wall_ms < window.to_ms
        and (reign.to_ms is None or reign.to_ms > window.from_ms)
    ]
