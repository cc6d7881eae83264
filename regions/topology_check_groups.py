"""Can the groups of a topology do what groups are for: agree while a place is lost?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from regions.findings import Finding, Severity, pointer_to
from regions.latency import TTL_ROUND_TRIPS, ttl_needed_ms
from regions.settings import LeaseSettings
from regions.topology import (
    GLOBAL_GROUP,
    MULTI_GROUP_PREFIX,
    REGION_GROUP_PREFIX,
    Group,
    StoreSite,
    Topology,
)

TTL_DOUBTFUL_MS = 60_000


def check_groups(topology: Topology, settings: LeaseSettings) -> Iterator[Finding]:
    """Check the groups that the document names, as far as their names resolve."""
    seen: set[str] = set()
    for at, group in enumerate(topology.groups):
        place = pointer_to("groups", at)
        if group.name in seen:
            yield _error(f"{place}/name", f"{group.name!r} is given twice", "delete one of them")
        seen.add(group.name)
        unresolved = list(_check_names(topology, group, place))
        yield from unresolved
        if not unresolved:
            yield from _check_members(topology, group, place)
        yield from _check_ttl(topology, group, place, settings)


def check_implied_groups(written: Topology, complete: Topology) -> Iterator[Finding]:
    """Check the groups that `complete` has and the document, `written`, leaves to the product."""
    named = {group.name for group in written.groups}
    for group in complete.groups:
        if group.name not in named:
            yield from _check_members(complete, group, "/groups")


def _error(pointer: str, message: str, hint: str) -> Finding:
    return Finding(Severity.ERROR, pointer, message, hint)


def _warning(pointer: str, message: str, hint: str) -> Finding:
    return Finding(Severity.WARNING, pointer, message, hint)


def _check_names(topology: Topology, group: Group, place: str) -> Iterator[Finding]:
    ids = {store.id for store in topology.stores}
    seen: set[str] = set()
    for part, members in (("stores", group.stores), ("followers", group.followers)):
        for at, member in enumerate(members):
            here = f"{place}/{part}/{at}"
            if member not in ids:
                hint = "name a store by the id it has under /stores"
                yield _error(here, f"there is no store {member!r}", hint)
            elif member in seen:
                hint = "a store votes or follows, and counts once"
                yield _error(here, f"{member!r} is in this group already", hint)
            seen.add(member)
    expected = _regions_in_name(group)
    known = {region.name for region in topology.regions}
    for region in sorted((expected or set()) - known):
        hint = "name the group after regions of this document"
        yield _error(f"{place}/name", f"there is no region {region!r}", hint)


def _check_members(topology: Topology, group: Group, place: str) -> Iterator[Finding]:
    voters = [topology.store(voter) for voter in group.stores]
    expected = _regions_in_name(group)
    strangers = [store.id for store in voters if expected and store.region not in expected]
    if strangers:
        message = f"{group.name}: {', '.join(strangers)} stands elsewhere"
        yield _error(f"{place}/stores", message, "let it follow instead, or rename the group")
    if len(voters) == 1:
        message = f"{group.name}: a single store votes, and its loss stops the group"
        yield _warning(f"{place}/stores", message, "fit for development only; use three stores")
        return
    if len(voters) % 2 == 0:
        message = f"{group.name}: {len(voters)} voters survive no more losses "
        message += f"than {len(voters) - 1}, and need one more answer"
        yield _error(f"{place}/stores", message, "let one of them follow, or add one")
    yield from _check_spread(topology, group, voters, place)


def _check_spread(
    topology: Topology, group: Group, voters: list[StoreSite], place: str
) -> Iterator[Finding]:
    """Name the place whose loss takes the quorum with it, if there is one."""
    within_region = group.name.startswith(REGION_GROUP_PREFIX)
    kind = "zone" if within_region else "region"
    places = Counter(_place_of(store, kind) for store in voters)
    name, count = places.most_common(1)[0]
    if len(voters) - count >= group.quorum:
        return
    region = voters[0].region
    rivals = topology.stores_in(region) if within_region else topology.stores
    avoidable = len({_place_of(store, kind) for store in rivals}) > 1
    every = "every voter" if count == len(voters) else f"{count} of {len(voters)} voters"
    verb = "stands" if count == len(voters) else "stand"
    message = f"{group.name}: {every} {verb} in {kind} {name}, and its loss stops the group"
    must_spread = count == len(voters) and (group.name == GLOBAL_GROUP or within_region)
    finding = _error if must_spread and avoidable else _warning
    hint = f"spread the voters over three {kind}s or more"
    yield finding(f"{place}/stores", message, hint)


def _place_of(store: StoreSite, kind: str) -> str:
    return store.zone if kind == "zone" else store.region


def _check_ttl(
    topology: Topology, group: Group, place: str, settings: LeaseSettings
) -> Iterator[Finding]:
    here = f"{place}/ttl_ms"
    needed_ms, why = settings.ttl_floor_ms, "shorter leases are lost to ordinary hiccups"
    try:
        round_trip_ms = topology.quorum_round_trip_ms(group.stores)
    except KeyError:  # an unknown name or a hole in the matrix, which has its own finding
        round_trip_ms = 0.0
    if ttl_needed_ms(round_trip_ms) > needed_ms:
        needed_ms = ttl_needed_ms(round_trip_ms)
        why = f"a majority takes {round_trip_ms:g} ms, and a lease {TTL_ROUND_TRIPS} times that"
    if group.ttl_ms < needed_ms:
        message = f"{group.name}: a lease of {group.ttl_ms} ms is unsafe: {why}"
        yield _error(here, message, f"write {needed_ms} or more")
    elif group.ttl_ms > TTL_DOUBTFUL_MS:
        message = f"{group.name}: after a crash nobody leads for {group.ttl_ms} ms"
        yield _warning(here, message, f"write {TTL_DOUBTFUL_MS} or less")


def _regions_in_name(group: Group) -> set[str] | None:
    """Give the regions that the name promises, None where it promises nothing."""
    for prefix in (REGION_GROUP_PREFIX, MULTI_GROUP_PREFIX):
        if group.name.startswith(prefix):
            return set(group.name.removeprefix(prefix).split("+"))
    return None
