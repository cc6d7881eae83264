"""Why nothing keeps all constraints: a smallest set of them that conflict.

Shards that no region can bear by themselves are named first: they must be split. Else constraints
are left out one after the other; one without which there is still no way is not part of the
conflict. What remains is smallest in this sense: leave any one of them out, and there is a way.

Asked is whether shards could be *shared out* over regions to keep everything, with all candidates
of up to `SHARDS_MAX` shards. Where even that fails, no placement exists. Where it does not,
limits are only too tight for whole shards, and the answer says that instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from shards.placement.field import Field, field_of
from shards.placement.master import options_of, solve_program
from shards.placement.nodes import Nodes
from shards.placement.pool import every_pattern, pools_of
from shards.placement.problem import NOWHERE, Floats, Problem, leads_for, usable_for
from shards.placement.seat_program import is_small, together
from shards.placement.solve import Solution
from shards.placement.stages import natural_table
from shards.placement.start import sampled

SHARDS_MAX = 1_500
ENTRIES_MAX = 150_000
NAMED_MAX = 20
SHARED = 1e-6
CAPACITIES = ("leaders", "writes_per_s", "size_bytes")
BEARINGS = ("limits", "zone_limits")
Relaxed = Callable[[Problem], Problem]


@dataclass(frozen=True, slots=True)
class Conflict:
    """What cannot be had together."""

    constraints: tuple[str, ...]
    """JSON pointers into the problem."""
    split: tuple[str, ...]
    """Shards that are too heavy for any region: split these shards."""
    message: str


def conflict_of(problem: Problem, solution: Solution) -> Conflict:
    """Explain a problem for which no placement was found."""
    heavy = too_heavy(problem)
    if heavy:
        pointers = tuple(sorted({pointer for _, pointer in heavy}))
        names = tuple(shard for shard, _ in heavy)
        said = f"{len(names)} shards are too heavy for any region: split them"
        return Conflict(pointers, names, said)
    if _has_way(problem, solution):
        said = "limits leave room for parts of shards only; give a little more of what is scarce"
        return Conflict(tuple(_scarce(problem, solution)), (), said)
    kept: list[str] = []
    groups = _groups(problem)
    relaxed = _smallest(problem, groups, solution, kept)
    single = [
        (f"capacities/{name}/{place}", _without_capacity(name, place))
        for name in CAPACITIES
        if f"capacities/{name}" in kept
        for place in range(problem.region_count)
        if np.isfinite(getattr(problem.capacities, name)[place])
    ]
    if single:
        kept = [each for each in kept if not each.startswith("capacities/")]
        _smallest(relaxed, single, solution, kept)
    said = "these constraints cannot be kept together; without any one of them there is a way"
    return Conflict(tuple(f"/{each}" for each in kept), (), said)


def too_heavy(problem: Problem) -> list[tuple[str, str]]:
    """Shards with more writes, or more bytes, than any region may take that they may be in."""
    shards, capacities = problem.shards, problem.capacities
    usable = usable_for(problem)
    leads = leads_for(problem, usable)
    writes = shards.writes_per_s.sum(axis=1, dtype=np.float64)
    most = np.where(leads, capacities.writes_per_s, 0.0).max(axis=1, initial=0.0)
    led = [] if problem.nodes is None else _too_heavy_for_nodes(problem.nodes, problem)
    each = np.where(shards.survival == 0, shards.voters, 1)
    bears = (shards.size_bytes * each)[:, None] <= capacities.size_bytes[None, :]
    fits = usable & bears
    needed = np.where(shards.survival == 0, 1, shards.voters)
    found = [(shards.ids[row], "/capacities/writes_per_s") for row in np.flatnonzero(writes > most)]
    small = np.flatnonzero(fits.sum(axis=1) < needed)
    found += [(shards.ids[row], "/capacities/size_bytes") for row in small]
    return (found + led)[:NAMED_MAX]


def _too_heavy_for_nodes(nodes: Nodes, problem: Problem) -> list[tuple[str, str]]:
    """Shards that no single node, or no zone, may lead."""
    shards = problem.shards
    loads = {
        "writes_per_s": shards.writes_per_s.sum(axis=1, dtype=np.float64),
        "size_bytes": shards.size_bytes,
    }
    return [
        (shards.ids[row], f"/nodes/{which}/{name}")
        for which in BEARINGS
        for name, load in loads.items()
        for row in np.flatnonzero(load > getattr(getattr(nodes, which), name)).tolist()
    ]


def _groups(problem: Problem) -> list[tuple[str, Relaxed]]:
    """All constraints that there are, by kind, with the problem that lacks each."""
    regions = problem.region_count
    groups: list[tuple[str, Relaxed]] = [
        *(
            (f"capacities/{name}", _without_capacity(name, None))
            for name in CAPACITIES
            if np.isfinite(getattr(problem.capacities, name)).any()
        ),
        *(
            (f"budget/{name}", _without_budget(name))
            for name in ("moved_bytes", "moved_leaders")
            if getattr(problem.budget, name) < inf
        ),
        *(
            (f"anti_affinity/{number}", _without_set(number))
            for number in range(len(problem.anti_affinity))
        ),
    ]
    everywhere = np.uint64((1 << regions) - 1)
    if (problem.shards.allowed != everywhere).any():
        groups.append(("shards/allowed", _with_column("allowed", everywhere)))
    if (problem.shards.pin != NOWHERE).any():
        groups.append(("shards/pin", _with_column("pin", np.int16(NOWHERE))))
    groups += _groups_of_nodes(problem.nodes)
    if problem.drained:
        groups.append(("drained", lambda each: replace(each, drained=0)))
    if problem.quarantined:
        groups.append(("quarantined", lambda each: replace(each, quarantined=0)))
    return groups


def _groups_of_nodes(nodes: Nodes | None) -> list[tuple[str, Relaxed]]:
    if nodes is None:
        return []
    groups = [
        (f"nodes/{which}/{name}", _without_bearing(which, name))
        for which in BEARINGS
        for name in CAPACITIES
        if np.isfinite(getattr(getattr(nodes, which), name))
    ]
    groups += [(f"nodes/apart/{n}", _without_apart(n)) for n in range(len(nodes.apart))]
    if nodes.pins:
        groups.append(("nodes/pins", _with_nodes(lambda each: replace(each, pins=()))))
    return groups


def _with_nodes(change: Callable[[Nodes], Nodes]) -> Relaxed:
    def relaxed(problem: Problem) -> Problem:
        assert problem.nodes is not None, "a rule of nodes without nodes"
        return replace(problem, nodes=change(problem.nodes))

    return relaxed


def _without_bearing(which: str, name: str) -> Relaxed:
    return _with_nodes(
        lambda nodes: replace(nodes, **{which: replace(getattr(nodes, which), **{name: inf})})
    )


def _without_apart(number: int) -> Relaxed:
    """The set stays, with nobody in it, so that the others keep their numbers."""

    def emptied(nodes: Nodes) -> Nodes:
        sets = list(nodes.apart)
        sets[number] = replace(sets[number], shards=())
        return replace(nodes, apart=tuple(sets))

    return _with_nodes(emptied)


def _without_capacity(name: str, place: int | None) -> Relaxed:
    def relaxed(problem: Problem) -> Problem:
        limits = getattr(problem.capacities, name).copy()
        limits[slice(None) if place is None else place] = inf
        return replace(problem, capacities=replace(problem.capacities, **{name: limits}))

    return relaxed


def _without_budget(name: str) -> Relaxed:
    return lambda problem: replace(problem, budget=replace(problem.budget, **{name: inf}))


def _without_set(number: int) -> Relaxed:
    def relaxed(problem: Problem) -> Problem:
        sets = list(problem.anti_affinity)
        sets[number] = replace(sets[number], leaders_per_region_max=len(sets[number].shards) + 1)
        return replace(problem, anti_affinity=tuple(sets))

    return relaxed


def _with_column(name: str, value: np.generic) -> Relaxed:
    def relaxed(problem: Problem) -> Problem:
        column = np.full_like(getattr(problem.shards, name), value)
        return replace(problem, shards=replace(problem.shards, **{name: column}))

    return relaxed


def _smallest(
    problem: Problem, groups: list[tuple[str, Relaxed]], solution: Solution, kept: list[str]
) -> Problem:
    """Leave out what is no part of the conflict; add what is to `kept`."""
    for name, relaxed in groups:
        without = relaxed(problem)
        if _has_way(without, solution):
            kept.append(name)
        else:
            problem = without
    return problem


def _has_way(problem: Problem, solution: Solution) -> bool:
    """Whether shards, shared out over their candidates, can keep everything."""
    field = field_of(problem)
    some, left = _some(field)
    entries = sum(len(ground) * len(ground.patterns) for ground in some.grounds)
    pools = every_pattern(some) if entries <= ENTRIES_MAX else pools_of(some, solution.prices)
    options = options_of(some, pools, [np.arange(len(ground)) for ground in some.grounds])
    count = sum(len(ground) for ground in some.grounds)
    if len(np.unique(options.owner)) < count:
        return False
    bare = replace(options, cost=np.zeros(len(options.cost)))
    answer = solve_program(some, bare, left, some.gathering_max, 1.0)
    if answer is None or answer.passed > SHARED:
        return False
    if problem.nodes is None or some is not field or not is_small(problem, field):
        return True
    return together(problem, field, natural_table(problem)) is not None


def _some(field: Field) -> tuple[Field, Floats]:
    """All shards, or a sample with its part of the limits."""
    some = sampled(field, SHARDS_MAX)
    if some is field:
        return field, field.limits
    part = sum(len(each) for each in some.grounds) / sum(len(each) for each in field.grounds)
    everywhere, _ = field.usage([each.pattern for each in field.bound(field.free()).passes])
    here, _ = some.usage([each.pattern for each in some.bound(field.free()).passes])
    return some, here + (field.limits - everywhere) * part


def _scarce(problem: Problem, solution: Solution) -> list[str]:
    """Limits that have a price."""
    regions = problem.region_count
    found = []
    for number, usd in enumerate(solution.prices.rows.tolist()):
        kind, place = divmod(number, regions)
        if usd > 0 and kind < len(CAPACITIES):
            found.append(f"/capacities/{CAPACITIES[kind]}/{place}")
        elif usd > 0 and number >= 4 * regions:
            name = ("moved_bytes", "moved_leaders")[number - 4 * regions]
            found.append(f"/budget/{name}")
    return found + [f"/{name}" for name, _ in _groups_of_nodes(problem.nodes)]
