"""What the global leader sees of the regions of a rollout: what they run, and which are gone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from config.document import REGION_PREFIX, Kind, region_name
from config.effect import first_in_line, place_in_line
from config.feed import Feed
from config.freezes import Freeze, Freezes, Hold, freezes_of, held
from config.revision import Revision
from config.rollout import Phase, Reached, Rollout, Why
from config.rollout_step import Ack
from controlplane.views import FleetView

LOGGER: Final = logging.getLogger(__name__)


def acks_of(rollout: Rollout, fleet: FleetView, said: Mapping[str, Ack]) -> dict[str, Ack]:
    """By region, what all of its living nodes run that were told to take the version, or to go
    back; of a region with none alive, or in which they differ, nothing is known."""
    told = rollout.reached(Reached.SENT, Reached.UNREACHABLE)
    within = {each.region: each.within for each in told}
    by_region: dict[str, set[Ack | None]] = {}
    for node in fleet.nodes:
        last = within.get(node.region, 0)
        is_meant = not last or place_in_line(rollout.document, node.node) <= last
        if node.alive and is_meant:
            by_region.setdefault(node.region, set()).add(said.get(node.node))
    return {
        region: ack
        for region, acks in by_region.items()
        if len(acks) == 1 and (ack := next(iter(acks))) is not None
    }


def within_of(rollout: Rollout, fleet: FleetView) -> dict[str, int]:
    """By region, up to which place in line its nodes take the version in the present wave: so many
    of all that are known, since the dead come back; and one that lives, to tell how it goes."""
    percent = rollout.percent(rollout.wave)
    if percent == 100:
        return {}
    known: dict[str, list[str]] = {}
    living: dict[str, int] = {}
    for node in fleet.nodes:
        known.setdefault(node.region, []).append(node.node)
        if node.alive:
            place = place_in_line(rollout.document, node.node)
            living[node.region] = min(place, living.get(node.region, place))
    return {
        region: max(first_in_line(rollout.document, nodes, percent), living.get(region, 0))
        for region, nodes in known.items()
    }


def is_gone(region: str, feed: Feed, fleet: FleetView) -> bool:
    """Whether a region is no part of the fleet any more: nothing describes it, and nobody is there.
    A fleet that describes no region at all has only not read its documents."""
    is_described = feed.get(region_name(region)) is not None or not feed.beginning(REGION_PREFIX)
    return not is_described and not any(n.alive and n.region == region for n in fleet.nodes)


class FreezeReader:
    """The windows of the document `rollouts`, read again when it is another one; and what they
    hold, found again when that is over."""

    def __init__(self) -> None:
        self._revision: Revision | None = None
        self._freezes = Freezes()
        self._holds: dict[tuple[Freeze, ...], tuple[int, Hold]] = {}  # with when it was found

    def frozen(self, rollout: Rollout, feed: Feed, wall_ms: int) -> dict[str, Hold]:
        """By region of the present wave, what keeps a step from beginning there; looked at only
        where one may begin."""
        self._read(feed)
        is_held = rollout.pause is not None and rollout.pause.why is Why.FROZEN
        if rollout.phase is not Phase.APPLYING or not (rollout.pause is None or is_held):
            return {}
        regions: dict[tuple[Freeze, ...], list[str]] = {}
        for each in rollout.in_wave():
            if each.reached is Reached.WAITING:
                of = self._freezes.of(rollout.document, rollout.strategy.name, (each.region,))
                regions.setdefault(of, []).append(each.region)
        holds = {windows: self._held(windows, wall_ms) for windows in regions}
        return {
            region: hold
            for windows, hold in holds.items()
            if hold is not None
            for region in regions[windows]
        }

    def _held(self, windows: tuple[Freeze, ...], wall_ms: int) -> Hold | None:
        found_ms, known = self._holds.get(windows, (0, None))
        if known is not None and found_ms <= wall_ms < known.until_ms:
            return known
        hold = held(windows, wall_ms)
        if hold is not None:
            self._holds[windows] = (wall_ms, hold)
        return hold

    def _read(self, feed: Feed) -> None:
        revision = feed.get(Kind.ROLLOUTS.value)
        if revision is not self._revision:
            self._revision = revision
            self._holds.clear()
            self._freezes = Freezes() if revision is None else freezes_of(revision.content)
            if revision is not None and self._freezes.unread:
                LOGGER.warning(
                    "document rollouts, version %s: %s windows cannot be read, and are left out",
                    revision.version, self._freezes.unread,
                )  # fmt: skip
