"""Whether a problem of placement makes sense; what does not is named by its JSON pointer.

Only what is wrong in itself is found here: a negative price, a hole, a rule that nothing can keep.
That constraints conflict *with each other's load* is found by solving, and is explained by
`infeasible`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regions.findings import Finding, Severity, pointer_to
from shards.placement.errors import ProblemInvalid
from shards.placement.problem import (
    NOWHERE,
    REGIONS_MAX,
    Problem,
    Survival,
    bits_of,
    leads_for,
    usable_for,
)

VOTERS = (1, 3, 5)
SHOWN_MAX = 20
"""Of the shards with the same fault, so many are named."""


def checked(problem: Problem) -> Problem:
    """Give the problem back if it can be solved at all. Raises ProblemInvalid with every reason."""
    findings = list(_places(problem)) or [
        *_prices(problem),
        *_capacities(problem),
        *_shards(problem),
        *_groups(problem),
    ]
    findings = findings or list(_rules(problem))
    if findings:
        raise ProblemInvalid(findings)
    return problem


def wrong(message: str, hint: str, *place: str | int) -> Finding:
    """A finding that forbids the use of the problem."""
    return Finding(Severity.ERROR, pointer_to(*place), message, hint)


def _places(problem: Problem) -> Iterator[Finding]:
    names = problem.regions
    if len(names) > REGIONS_MAX:
        yield wrong(f"{len(names)} regions", f"at most {REGIONS_MAX}", "regions")
    count = len(names)
    shapes = {
        "rtt_ms": (problem.rtt_ms, (count, count)),
        "egress_usd_per_gb": (problem.egress_usd_per_gb, (count, count)),
        "storage_usd_per_gb_month": (problem.storage_usd_per_gb_month, (count,)),
        "instance_usd_per_hour": (problem.instance_usd_per_hour, (count,)),
        "capacities/leaders": (problem.capacities.leaders, (count,)),
        "capacities/writes_per_s": (problem.capacities.writes_per_s, (count,)),
        "capacities/size_bytes": (problem.capacities.size_bytes, (count,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            said = f"has the shape {list(array.shape)}, not {list(shape)}"
            yield wrong(said, "give one figure for each region", *name.split("/"))
    rows = len(problem.shards)
    for name in ("writes_per_s", "reads_per_s"):
        array = getattr(problem.shards, name)
        if array.shape != (rows, count):
            said = f"has the shape {list(array.shape)}, not {[rows, count]}"
            yield wrong(said, "give a row for each shard", "shards", name)
    vectors = ("write_bytes", "read_bytes", "size_bytes", "strong_share", "survival", "voters")
    for name in (*vectors, "leader", "present", "allowed", "pin", "preference"):
        array = getattr(problem.shards, name)
        if array.shape != (rows,):
            said = f"has the shape {list(array.shape)}, not {[rows]}"
            yield wrong(said, "give one figure for each shard", "shards", name)


def _prices(problem: Problem) -> Iterator[Finding]:
    for name in ("rtt_ms", "egress_usd_per_gb", "storage_usd_per_gb_month"):
        yield from _amounts(getattr(problem, name), name)
    yield from _amounts(problem.instance_usd_per_hour, "instance_usd_per_hour")
    weights = problem.weights
    for name in weights.__slots__:
        value = getattr(weights, name)
        positive = name in (
            "writes_per_s_per_instance",
            "reads_per_s_per_instance",
            "payback_months",
        )
        if not 0 <= value < np.inf or (positive and value == 0):
            least = "more than 0" if positive else "0 or more"
            yield wrong(f"{value} is no weight", f"give {least}", "weights", name)
    for name in ("moved_bytes", "moved_leaders"):
        value = getattr(problem.budget, name)
        if not value >= 0:
            yield wrong(f"{value} is no budget", "give 0 or more, or null", "budget", name)


def _capacities(problem: Problem) -> Iterator[Finding]:
    for name in problem.capacities.__slots__:
        for place, value in enumerate(getattr(problem.capacities, name)):
            if not value > 0:
                hint = "give more than 0, or null for no limit; to empty a region, drain it"
                said = f"a capacity of {value:g} for {problem.regions[place]}"
                yield wrong(said, hint, "capacities", name, place)
    everywhere = (1 << problem.region_count) - 1
    for name in ("drained", "quarantined"):
        if getattr(problem, name) & ~everywhere:
            yield wrong("names a region that is not there", "name those of the problem", name)
    if problem.drained & everywhere == everywhere:
        yield wrong("every region is drained", "keep at least one", "drained")


def _shards(problem: Problem) -> Iterator[Finding]:
    shards = problem.shards
    if len(set(shards.ids)) != len(shards.ids):
        yield wrong("an id is there twice", "name each shard once", "shards", "ids")
    loads = ("writes_per_s", "reads_per_s", "write_bytes", "read_bytes", "size_bytes")
    for name in (*loads, "strong_share"):
        yield from _amounts(getattr(shards, name), "shards", name)
    yield from _each(shards.strong_share > 1, "is more than 1", "give a share", "strong_share")
    odd = ~np.isin(shards.voters, VOTERS)
    yield from _each(odd, "is no number of voters", "give 1, 3 or 5", "voters")
    yield from _each(shards.survival > 1, "is no survival goal", "give zone or region", "survival")
    count = problem.region_count
    for name in ("leader", "pin"):
        array = getattr(shards, name)
        stray = (array < NOWHERE) | (array >= count)
        yield from _each(stray, "is no region", "name one of the problem's", name)
    orders = shards.preference
    stray = (orders < NOWHERE) | (orders >= len(problem.preferences))
    yield from _each(stray, "is no preference", "number those of `preferences`", "preference")
    beyond = ~np.uint64((1 << count) - 1)
    for name in ("present", "allowed"):
        stray = (getattr(shards, name) & beyond) != 0
        yield from _each(stray, "names a region that is not there", "mend the mask", name)


def _groups(problem: Problem) -> Iterator[Finding]:
    for index, order in enumerate(problem.preferences):
        if len(set(order)) != len(order) or not set(order) <= set(range(problem.region_count)):
            yield wrong("an unknown region, or one twice", "name each once", "preferences", index)
    for index, group in enumerate(problem.anti_affinity):
        if not set(group.shards) <= set(range(len(problem.shards))):
            yield wrong("an unknown shard", "name known ones", "anti_affinity", index, "shards")
        if group.leaders_per_region_max < 1:
            place = ("anti_affinity", index, "leaders_per_region_max")
            yield wrong("no leader is allowed anywhere", "give 1 or more", *place)


def _rules(problem: Problem) -> Iterator[Finding]:
    """Rules of one shard, or of one set of shards, that nothing can keep."""
    shards, names = problem.shards, problem.regions
    yield from _each(shards.allowed == 0, "forbids every region", "allow at least one", "allowed")
    usable = usable_for(problem)
    needed = np.where(shards.survival == Survival.REGION, shards.voters, 1)
    few = (usable.sum(axis=1) < needed) & (shards.allowed != 0)
    hint = "allow more regions, drain fewer, or lower the survival goal"
    yield from _each(few, "leaves fewer regions than there are voters", hint, "allowed")
    pinned = np.flatnonzero(shards.pin != NOWHERE)
    allowed = bits_of(shards.allowed, len(names))
    for row in pinned[~usable[pinned, shards.pin[pinned]]][:SHOWN_MAX]:
        name = names[shards.pin[row]]
        why = "drained" if allowed[row, shards.pin[row]] else "not allowed"
        said = f"{shards.ids[row]} is pinned to {name}, which is {why}"
        yield wrong(said, "take away the pin, or let the region in", "shards", "pin", int(row))
    leads = leads_for(problem, usable)
    for index, group in enumerate(problem.anti_affinity):
        places = int(leads[list(group.shards)].any(axis=0).sum())
        if places * group.leaders_per_region_max < len(group.shards):
            said = f"{len(group.shards)} leaders do not fit into {places} regions"
            hint = "raise leaders_per_region_max, allow more regions, or make the set smaller"
            yield wrong(said, hint, "anti_affinity", index)


def _amounts(array: NDArray[Any], *place: str) -> Iterator[Finding]:
    """Every entry must be a number that is finite and not negative."""
    bad = np.argwhere(~((array >= 0) & (array < np.inf)))
    for entry in bad[:SHOWN_MAX]:
        value = array[tuple(entry)]
        said = "there is a hole" if np.isnan(value) else f"{value:g} is not possible"
        yield wrong(said, "give a number of 0 or more", *place, *(int(i) for i in entry))


def _each(faulty: NDArray[np.bool_], said: str, hint: str, name: str) -> Iterator[Finding]:
    for row in np.flatnonzero(faulty)[:SHOWN_MAX]:
        yield wrong(said, hint, "shards", name, int(row))
