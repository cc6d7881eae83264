"""Beginning a rollout: what it is to do, region by region, held against what goes on already.

Everything is decided before anything is written, so that a preview is what would be begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from config.document import Kind, kind_of
from config.feed import Feed
from config.gate import FLEET_GATE, Gate
from config.references import named_by, references_of
from config.revision import Revision
from config.rollout import FORWARD, Phase, RegionStep, Rollout
from config.rollout_orders import Order, Unfit, ordered
from config.strategy import (
    RegionFacts,
    Strategy,
    StrategyName,
    Waves,
    percents_of,
    waves_of,
)
from controlplane.api.service import Service
from controlplane.node.following import SYSTEM
from controlplane.node.load_reports import Gathered
from controlplane.problems import InputError, RequestRefused, invalid
from controlplane.rollouts.book import InForce, RolloutBook, Shelf, ended
from controlplane.rollouts.leading import are_related
from controlplane.rollouts.looking import is_gone

DISRUPTIVE: Final = frozenset({Kind.TIMEOUTS})
"""Kinds that change how nodes themselves work: they go to one region at a time."""
ATTEMPTS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants rolled out, and how; `queue` and `supersede` say what is to become of it,
    or of the others, when a rollout of the document, or of a related one, goes on."""

    strategy: Strategy
    principal: str
    reason: str
    wall_ms: int
    gates: tuple[Gate, ...] = (FLEET_GATE,)
    queue: bool = False
    supersede: bool = False


@dataclass(frozen=True, slots=True)
class Beginning:
    """A rollout that can be begun: its first record, and those that it takes the place of."""

    rollout: Rollout
    replaced: tuple[Rollout, ...]
    shelf: Shelf


class Beginnings:
    """Begins rollouts, at the global leader."""

    def __init__(self, service: Service, gathered: Gathered) -> None:
        self._service = service
        self._gathered = gathered
        self.book = RolloutBook(service)

    async def begin(self, revision: Revision, wish: Wish) -> Rollout:
        """Write it down. Raises RequestRefused."""
        for _ in range(ATTEMPTS_MAX):
            found = await self.plan(revision, wish)
            if await self.book.begin(found.rollout, revision, found.shelf, found.replaced):
                return found.rollout
        raise RequestRefused("overloaded", "other rollouts were begun first, again and again")

    async def plan(self, revision: Revision, wish: Wish) -> Beginning:
        """What would be written down. Raises RequestRefused."""
        if wish.strategy.name is StrategyName.EMERGENCY and not wish.reason.strip():
            complaint = "an emergency needs one: it is kept in the audit log"
            raise invalid(InputError(complaint, parameter="reason"))
        shelf = await self.book.shelf()
        in_force = await self.book.in_force(revision.name)
        rollout = self._first_record(revision, wish, in_force, shelf.count + 1)
        holders = [each for each in shelf.unfinished() if are_related(rollout, each)]
        replaced: tuple[Rollout, ...] = ()
        if holders and wish.supersede:
            rollout, replaced = _superseding(rollout, holders, wish)
        elif holders and not wish.queue:
            raise _unfinished(rollout, holders[0])
        elif not holders and _is_everywhere(rollout, in_force):
            detail = f"version {revision.version} of {revision.name} is in force everywhere"
            raise RequestRefused("rollout-refused", detail)
        return Beginning(rollout, replaced, shelf)

    async def going_on(self, revision: Revision) -> Rollout | None:
        """An unfinished rollout of this very version that does not go back. Raises
        RequestRefused."""
        wanted = (revision.name, revision.version)
        for each in (await self.book.shelf()).unfinished():
            is_forward = each.phase is Phase.PENDING or each.phase in FORWARD
            if is_forward and (each.document, each.version) == wanted:
                return each
        return None

    async def is_everywhere(self, revision: Revision) -> bool:
        """Whether every region is to run this version. Raises RequestRefused."""
        in_force = await self.book.in_force(revision.name)
        wanted = (revision.version, revision.digest if revision.version else "")
        found = [in_force.target(each.region) for each in self._region_facts(revision)]
        return all(target.is_for_all(*wanted) for target in found)

    def _first_record(
        self, revision: Revision, wish: Wish, in_force: InForce, number: int
    ) -> Rollout:
        facts = self._region_facts(revision)
        regions = [RegionStep(each.region, *in_force.target(each.region).settled) for each in facts]
        disruptive = kind_of(revision.name) in DISRUPTIVE
        waves = waves_of(wish.strategy, facts, disruptive=disruptive)
        _check_strategy(wish.strategy, [each.region for each in facts], waves)
        return Rollout(
            id=number,
            document=revision.name,
            version=revision.version,
            digest=revision.digest if revision.version else "",
            strategy=wish.strategy,
            waves=waves,
            percents=percents_of(wish.strategy, disruptive=disruptive) if waves else (),
            regions=tuple(regions),
            principal=wish.principal,
            reason=wish.reason,
            began_ms=wish.wall_ms,
            related=_related(revision, self._service.documents()),
            gates=wish.gates,
        )

    def _region_facts(self, revision: Revision) -> list[RegionFacts]:
        """Every region in which a node is known, with what comes in there; none that is no part of
        the fleet any more, or will not be after this revision."""
        fleet = self._service.fleet()
        asked: dict[str, float] = {}
        for shard in self._gathered.load.shards():
            for region, rates in self._gathered.load.of(shard).items():
                asked[region] = asked.get(region, 0.0) + rates.requests
        voters = {
            voter for g in fleet.groups if g.group == self._system_group() for voter in g.voters
        }
        stores = Counter(store.region for store in fleet.stores if store.store in voters)
        feed = self._service.documents()
        if kind_of(revision.name) is Kind.REGION and revision.deleted:
            feed = feed.with_one(revision)
        known = {node.region for node in fleet.nodes}
        names = sorted(name for name in known if not is_gone(name, feed, fleet))
        return [RegionFacts(name, asked.get(name, 0.0), stores[name]) for name in names]

    def _system_group(self) -> str:
        view = self._service.shard_view(SYSTEM)
        return view.group if view is not None else ""


def _check_strategy(strategy: Strategy, regions: list[str], waves: Waves) -> None:
    """Refuse what names regions or waves that there are not. Raises RequestRefused."""
    if unknown := [region for region in strategy.order if region not in regions]:
        detail = f"no node stands in {', '.join(unknown)}, which `order` names"
        raise RequestRefused("rollout-refused", detail)
    if strategy.approvals and strategy.approvals[-1] >= len(waves):
        wave = strategy.approvals[-1] + 1
        detail = f"there is no wave {wave} to approve: there are {len(waves)}"
        raise RequestRefused("rollout-refused", detail)


def _superseding(
    rollout: Rollout, holders: list[Rollout], wish: Wish
) -> tuple[Rollout, tuple[Rollout, ...]]:
    """The rollout as one that takes over from another of the same document, and from all that wait
    for that one."""
    if others := [each for each in holders if each.document != rollout.document]:
        raise _unfinished(rollout, others[0])
    replaced = []
    for each in holders:
        over = ordered(each, Order.SUPERSEDE, wish.principal, f"rollout {rollout.id}")
        if isinstance(over, Unfit):
            raise RequestRefused("rollout-refused", f"{over.why}; {over.hint}")
        replaced.append(ended(over, wish.wall_ms))
    holder = holders[0]
    known: Mapping[str, RegionStep] = {each.region: each for each in holder.regions}
    reached = {each.region for each in holder.may_have_other()}
    regions = tuple(
        each
        if each.region not in known
        else replace(
            each,
            before=known[each.region].before,
            before_digest=known[each.region].before_digest,
            inherits=each.region in reached,
        )
        for each in rollout.regions
    )
    return replace(rollout, regions=regions), tuple(replaced)


def _related(revision: Revision, feed: Feed) -> frozenset[str]:
    """Documents that it names, and that name it; regions name each other, and count for nothing."""
    names = {each.names for each in references_of(revision, feed)}
    names |= {each.document for each in named_by(revision.name, feed)}
    return frozenset(name for name in names if kind_of(name) is not Kind.REGION)


def _is_everywhere(rollout: Rollout, in_force: InForce) -> bool:
    wanted = (rollout.version, rollout.digest)
    found = [in_force.target(each.region) for each in rollout.regions]
    return all(target.is_for_all(*wanted) for target in found)


def _unfinished(rollout: Rollout, holder: Rollout) -> RequestRefused:
    what = "it" if holder.document == rollout.document else f"the related {holder.document}"
    state = "paused" if holder.pause is not None else holder.phase.value
    detail = f"{rollout.document} waits: rollout {holder.id} of {what} is {state}"
    hint = "let it queue, or wait, or abort that one"
    if holder.document == rollout.document and holder.phase is not Phase.ROLLING_BACK:
        hint = "let it queue, or supersede that one"
    return RequestRefused("rollout-unfinished", f"{detail}; {hint}", more={"rollout": holder.id})
