"""The looks of `leadplane doctor`: each at one thing, with the runbook that goes on from there.

A look gets the whole sight and answers with the troubles it finds; none means that all is well.
*Grave* is what takes service away, or a promise; everything else is to be seen to by daylight.
`LOOKS` is the registry, in the order in which a person at night should read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from controlplane.doctor.sight import Row, Sight

NAMED_MAX = 5
"""So many shards, nodes or writes are called by name; of the others only how many."""
DIFFERS = "holds other data than its peers"
"""How the page of a store begins to say that its copies are not those of the others."""
STUCK = "stuck"
"""The phase of a rollout that could not be taken back."""
FROZEN = "frozen"
"""The pause of a rollout that goes on by itself, at a time that was set."""


class Occasion(StrEnum):
    """What a check-up is for; each one looks at all that the one before it does."""

    INCIDENT = "incident"
    """Something is wrong: only what can be."""
    PRODUCTION = "production"
    """From time to time: also what the next loss would cost."""
    PREPRODUCTION = "preproduction"
    """Before anybody relies on it: also how it is laid out."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be, and what to do first."""

    what: str
    first: str
    is_grave: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """A look at one thing. `runbook` is the name of a page of docs/runbooks, without its ending."""

    name: str
    question: str
    runbook: str
    occasion: Occasion
    find: Callable[[Sight], Iterator[Trouble]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a look; no trouble: all is well."""

    look: Look
    troubles: tuple[Trouble, ...]

    @property
    def is_grave(self) -> bool:
        """Whether any of it takes service away."""
        return any(trouble.is_grave for trouble in self.troubles)


def _unasked(look: str, sight: Sight) -> Iterator[Trouble]:
    """What could not be looked at is not well; who is without a global leader knows why."""
    if sight.status["global_leader"] is not None and look in sight.unasked:
        yield Trouble(f"nobody could say: {sight.unasked[look]}", "leadplane status", False)


def check_up(sight: Sight, occasion: Occasion) -> tuple[Result, ...]:
    """Every look of an occasion, in the order of `LOOKS`."""
    order = list(Occasion)
    due = order.index(occasion)
    return tuple(
        Result(look, (*look.find(sight), *_unasked(look.name, sight)))
        for look in LOOKS
        if order.index(look.occasion) <= due
    )


def lone_regions(status: Row) -> list[str]:
    """Regions that have nodes, of which none shows a sign of life."""
    return [r["region"] for r in status["regions"] if r["nodes"] and not r["nodes_alive"]]


def drained_regions(status: Row) -> list[str]:
    """Regions whose nodes that live are all drained."""
    alive = [node for node in status["nodes"] if node["alive"]]
    may_lead = {node["region"] for node in alive if not node.get("drained")}
    return sorted({node["region"] for node in alive} - may_lead)


def _named(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


# -- what can be wrong


def _majorities(sight: Sight) -> Iterator[Trouble]:
    for group in sight.status["groups"]:
        name = group["group"]
        if group.get("lost"):
            yield Trouble(
                f"{name}: too few of its stores remember what they promised "
                f"({', '.join(group['lost'])} forgot)",
                f"leadplane regions force-recover {name} --dry-run",
            )
        elif group.get("seen", True) and group["reachable"] < group["quorum"]:
            yield Trouble(
                f"{name}: {group['reachable']} of {len(group['voters'])} stores answer, "
                f"{group['quorum']} are needed",
                "start its stores again; leadplane status names them",
            )


def _unled(sight: Sight) -> Iterator[Trouble]:
    """Those whose group has its majority: the others are told of by their group."""
    unled = sight.status["shards_total"] - sight.status["shards_led"]
    if unled > 0 and "leaders" in sight.unasked:
        yield Trouble(f"{unled} without a leader", "leadplane shards")
    groups = {group["group"]: group for group in sight.status["groups"]}
    by_why: dict[str, list[str]] = {}
    for shard in sight.unled:
        group = groups.get(shard["group"])
        if group is None or group["reachable"] >= group["quorum"]:
            by_why.setdefault(shard["why"] or "no reason is known", []).append(shard["shard"])
    for why, names in by_why.items():
        yield Trouble(
            f"{len(names)} without a leader ({_named(names)}): {why}",
            f"leadplane shards get {names[0]}",
        )


def _global_leader(sight: Sight) -> Iterator[Trouble]:
    if sight.status["global_leader"] is None:
        yield Trouble(
            "nobody leads the system shard: nothing is placed, rolled out or recorded",
            "leadplane shards get system",
        )


def _regions(sight: Sight) -> Iterator[Trouble]:
    for region in sight.status["regions"]:
        name = region["region"]
        if region["nodes"] and not region["nodes_alive"]:
            yield Trouble(f"{name}: no node is left", f"leadplane regions get {name}")
        elif region["nodes_alive"] < region["nodes"]:
            silent = [
                node["node"]
                for node in sight.status["nodes"]
                if node["region"] == name and not node["alive"]
            ]
            yield Trouble(
                f"{name}: {_named(silent)} silent", f"leadplane nodes get {silent[0]}", False
            )


def _stores(sight: Sight) -> Iterator[Trouble]:
    for store in sight.status["stores"]:
        if store["state"] != "up":
            why = f": {store['why']}" if store["why"] else ""
            yield Trouble(
                f"{store['store']} is {store['state']}{why}", "leadplane status -o wide", False
            )


def _copies(sight: Sight) -> Iterator[Trouble]:
    for store in sight.status["stores"]:
        if store["state"] == "up" and store["why"].startswith(DIFFERS):
            yield Trouble(
                f"{store['store']} {store['why']}", "keep its files: the difference is the evidence"
            )


def _headroom(sight: Sight) -> Iterator[Trouble]:
    for group in sight.status["groups"]:
        if group.get("full"):
            yield Trouble(
                f"{group['group']} takes nothing that needs room: {group['full']}",
                "give its stores memory or disk, or take keys away",
            )
    for store in sight.status["stores"]:
        if store["state"] == "up" and store["why"] and not store["why"].startswith(DIFFERS):
            yield Trouble(
                f"{store['store']}: {store['why']}",
                "give it memory or disk, or take keys away",
                False,
            )


def _front_doors(sight: Sight) -> Iterator[Trouble]:
    alive = {node["node"] for node in sight.alive}
    for node in sight.nodes:
        if node.node in alive and node.why:
            yield Trouble(
                f"{node.node} renews its leases, and does not answer here: {node.why}",
                f"leadplane nodes drain {node.node}",
            )
        for check in node.failed:
            yield Trouble(
                f"{node.node} is not ready, {check['name']}: {check['why']}",
                f"leadplane nodes get {node.node}",
                False,
            )


def _fenced(sight: Sight) -> Iterator[Trouble]:
    for node in sight.nodes:
        if node.fenced:
            yield Trouble(
                f"{node.node} remembers {node.fenced} writes whose leader lost its shard, and that"
                " are not known to have happened",
                f"leadplane fenced list {node.node}",
                False,
            )


def _versions(sight: Sight) -> Iterator[Trouble]:
    found: dict[str, list[str]] = {}
    alive = {node["node"] for node in sight.alive}
    for node in sight.nodes:
        if node.node in alive and not node.why:
            found.setdefault(node.version or "an earlier one", []).append(node.node)
    if len(found) > 1:
        listed = "; ".join(f"{version}: {_named(names)}" for version, names in found.items())
        yield Trouble(
            f"nodes are of {len(found)} releases ({listed})", "leadplane fleet upgrade", False
        )


def _restless(sight: Sight) -> Iterator[Trouble]:
    if restless := list(sight.status.get("restless", ())):
        yield Trouble(
            f"leaders of {_named(restless)} change again and again",
            f"leadplane shards history {restless[0]}",
            False,
        )


def _moves(sight: Sight) -> Iterator[Trouble]:
    if sight.placement is None:
        return
    pause, admission = sight.placement["pause"], sight.placement["admission"]
    if pause is not None:
        yield Trouble(
            f"moves are held up by {pause['principal']}: {pause['reason'] or 'no reason given'}",
            "leadplane placement resume",
            False,
        )
    if admission["braked"]:
        yield Trouble(
            f"{admission['crashes']} nodes went down of what they had been given",
            "leadplane placement release, once you know why",
            False,
        )
    if admission["suspects"]:
        suspects = list(admission["suspects"])
        yield Trouble(
            f"{_named(suspects)} came back of late, and is given nothing",
            "leadplane nodes",
            False,
        )


def _drained(sight: Sight) -> Iterator[Trouble]:
    for drain in () if sight.placement is None else sight.placement["drains"]:
        scope, name, within = drain["scope"], drain["name"], drain["within"]
        undrain = f"leadplane {'nodes' if scope == 'node' else 'regions'} undrain {within or name}"
        yield Trouble(
            f"{scope} {name} leads nothing: drained by {drain['principal']}, "
            f"{drain['reason'] or 'no reason given'}",
            f"{undrain}{f' --zone {name}' if within else ''}, once it may lead",
            False,
        )


def _rollouts(sight: Sight) -> Iterator[Trouble]:
    for rollout in sight.rollouts or ():
        number, pause = rollout["rollout"], rollout["pause"]
        if rollout["phase"] == STUCK:
            yield Trouble(
                f"rollout {number} of {rollout['document']} could not be taken back: "
                f"{rollout['why']}",
                f"leadplane rollouts get {number}",
            )
        if not rollout["over"] and pause is not None and pause["why"] != FROZEN:
            detail = f": {pause['detail']}" if pause["detail"] else ""
            yield Trouble(
                f"rollout {number} of {rollout['document']} stands still, {pause['why']}{detail}",
                f"leadplane rollouts get {number}",
                False,
            )


def _leases(sight: Sight) -> Iterator[Trouble]:
    for group in sight.status["groups"]:
        needed_ms = group.get("needed_ttl_ms")
        if needed_ms and needed_ms > group["ttl_ms"]:
            yield Trouble(
                f"{group['group']}: its lease of {group['ttl_ms']:,} ms is too short for its "
                f"round trips, which need {needed_ms:,} ms",
                f"leadplane regions lease {group['group']} {needed_ms}",
                False,
            )


# -- what the next loss would cost


def _spare(sight: Sight) -> Iterator[Trouble]:
    for group in sight.status["groups"]:
        if (
            group.get("seen", True)
            and group["spare"] <= 0
            and group["reachable"] >= group["quorum"]
        ):
            yield Trouble(
                f"{group['group']} cannot lose another store", "leadplane status -o wide", False
            )


def _lone_nodes(sight: Sight) -> Iterator[Trouble]:
    for region in sight.status["regions"]:
        if region["nodes_alive"] == 1:
            yield Trouble(
                f"{region['region']} has a single node: nobody else there can lead",
                "start another node there",
                False,
            )


def _forced(sight: Sight) -> Iterator[Trouble]:
    for group in sight.status["groups"]:
        if (forced := group.get("forced")) is not None:
            yield Trouble(
                f"{group['group']} goes on without {', '.join(forced['without'])} by force "
                f"of {forced['by']}: {forced['why']}",
                "compare what clients know with what is there",
                False,
            )


def _audit(sight: Sight) -> Iterator[Trouble]:
    if sight.audit is not None and not sight.audit["valid"]:
        yield Trouble(f"it is not whole: {sight.audit['problem']}", "leadplane audit verify")


# -- how it is laid out


def _voters(sight: Sight) -> Iterator[Trouble]:
    places = {store["store"]: store for store in sight.status["stores"]}
    for group in sight.status["groups"]:
        voters = group["voters"]
        if len(voters) < 3:
            yield Trouble(f"{group['group']} has {len(voters)} stores: it outlives no loss",
                          f"leadplane regions stores add {group['group']} STORE")  # fmt: skip
        elif len(voters) % 2 == 0:
            yield Trouble(
                f"{group['group']} has {len(voters)} stores: one less would outlive as much",
                f"leadplane regions stores add {group['group']} STORE",
                False,
            )
        zones = [(places[v]["region"], places[v]["zone"]) for v in voters if v in places]
        most = max((zones.count(zone) for zone in zones), default=0)
        if len(voters) >= 3 and most > len(voters) - group["quorum"]:
            yield Trouble(
                f"{group['group']} has {most} of its stores in one zone: it stops with that zone",
                "leadplane regions stores replace",
            )


def _regions_few(sight: Sight) -> Iterator[Trouble]:
    regions = sight.status["regions"]
    if len(regions) < 3:
        yield Trouble(
            f"{len(regions)} regions: no group outlives the loss of one of fewer than three",
            "leadplane regions create",
            False,
        )


LOOKS = (
    Look("majorities", "has every group the majority of its stores?", "store-lost",
         Occasion.INCIDENT, _majorities),
    Look("global leader", "does somebody lead the whole?", "global-leader-lost",
         Occasion.INCIDENT, _global_leader),
    Look("leaders", "is every shard led?", "stuck-election", Occasion.INCIDENT, _unled),
    Look("regions", "is somebody there in every region?", "region-lost",
         Occasion.INCIDENT, _regions),
    Look("front doors", "does every node serve that renews?", "deaf-leader",
         Occasion.INCIDENT, _front_doors),
    Look("stores", "does every store answer?", "store-lost", Occasion.INCIDENT, _stores),
    Look("copies", "do all stores hold the same?", "store-lost", Occasion.INCIDENT, _copies),
    Look("headroom", "is there room in every store?", "store-full",
         Occasion.INCIDENT, _headroom),
    Look("fenced writes", "did clients learn what became of theirs?", "stale-leader",
         Occasion.INCIDENT, _fenced),
    Look("rest", "do leaders stay where they are?", "flapping", Occasion.INCIDENT, _restless),
    Look("moves", "does nothing hold moves up?", "flapping", Occasion.INCIDENT, _moves),
    Look("drained", "may every place lead?", "region-lost", Occasion.INCIDENT, _drained),
    Look("rollouts", "does no rollout stand still?", "rollout-stuck",
         Occasion.INCIDENT, _rollouts),
    Look("releases", "are all nodes of one release?", "version-skew",
         Occasion.INCIDENT, _versions),
    Look("leases", "are leases as long as round trips need?", "flapping",
         Occasion.INCIDENT, _leases),
    Look("spare stores", "can every group lose another store?", "store-lost",
         Occasion.PRODUCTION, _spare),
    Look("spare nodes", "can every region lose a node?", "region-lost",
         Occasion.PRODUCTION, _lone_nodes),
    Look("forced", "did nobody force a group to go on?", "store-lost",
         Occasion.PRODUCTION, _forced),
    Look("audit log", "is the audit log whole?", "blind-spot", Occasion.PRODUCTION, _audit),
    Look("voters", "does every group outlive a zone?", "store-lost",
         Occasion.PREPRODUCTION, _voters),
    Look("three regions", "can a region be lost?", "region-lost",
         Occasion.PREPRODUCTION, _regions_few),
)  # fmt: skip
