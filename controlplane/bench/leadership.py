"""Benchmarks `failover`, `transfer` and `evict`: what a client sees of a change of leader."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.numbered_writes import Ack, NumberedWrites
from controlplane.bench.report import Figure, Findings, NotMeasured
from controlplane.bench.spread import spread
from controlplane.cli.connection import CommandFailed
from controlplane.process_identity import identity_of
from shards.key_in_slot import key_in_slot

SYSTEM = "system"
SETTLE_S = 0.2
SETTLED_S_MAX = 60.0
CHANGE_S_MAX = 60.0
POLL_S = 0.1
PAGE = 1_000


class ChangeFailed(NotMeasured):
    """A change of leader did not end as it must; the message says which and what was seen."""


@dataclass(frozen=True, slots=True)
class Place:
    """A shard under test: who leads it, a key in it, and a node nearby that does not."""

    shard: str
    group: str
    epoch: int
    leader: str
    led: int
    """How many shards its leader leads."""
    key: str
    witness: Mapping[str, Any]

    def key_of(self, number: int) -> str:
        """Every number goes to the same key."""
        return self.key


def measure_transfers(fleet: BenchFleet, group: str, runs: int, tell: Tell) -> Findings:
    """Hand a shard to and fro while a client writes to it."""
    changes = _changes(fleet, group, runs, _transfer, "transfer", tell)
    trip_ms, slow_ms = round_trip_ms(fleet, group), round_trip_ms(fleet, group, p99=True)
    p50_max, p99_max = 5 * trip_ms + 20, 5 * slow_ms + 50
    return _findings(
        "transfer",
        f"POST /v1/shards/{{id}}/transfer in group {group}; from the last write that the old epoch "
        "acknowledged to the first that the new one did, as a client sees it that writes without "
        f"pause. A quorum round trip takes {trip_ms} ms, its p99 {slow_ms} ms, as the first node "
        "measured them in this run.",
        changes,
        p50=(p50_max, f"at most 5 round trips + 20 ms = {p50_max:g} ms"),
        p99=(p99_max, f"at most 5 p99 round trips + 50 ms = {p99_max:g} ms"),
    )


def measure_evictions(fleet: BenchFleet, group: str, runs: int, tell: Tell) -> Findings:
    """Take a shard from its leader while a client writes to it."""
    changes = _changes(fleet, group, runs, _evict, "evict", tell)
    return _findings(
        "evict",
        f"POST /v1/shards/{{id}}/evict in group {group}; the pause as a client sees it that writes "
        "without pause.",
        changes,
    )


def measure_failovers(fleet: BenchFleet, group: str, runs: int, tell: Tell) -> Findings:
    """Kill the leader's process (SIGKILL) while a client writes; the supervisor starts it again."""
    changes = _changes(fleet, group, runs, _kill, "failover", tell)
    ttl_ms, trip_ms = fleet.ttl_ms(group), round_trip_ms(fleet, group)
    limit_ms = round(1.15 * ttl_ms + 5 * trip_ms + 500)
    return _findings(
        "failover",
        f"kill -9 of the node that leads a shard of group {group} (TTL {ttl_ms} ms); the pause as "
        "a client sees it that writes without pause by way of another node.",
        changes,
        p99=(limit_ms, f"at most 1.15 TTL + 5 round trips + 500 ms = {limit_ms} ms"),
    )


def _findings(
    name: str,
    method: str,
    changes: list[Changed],
    p50: tuple[float, str] | None = None,
    p99: tuple[float, str] | None = None,
) -> Findings:
    summary = spread([each.pause_ms for each in changes])
    led = [each.led for each in changes]
    method += f" The leader led {min(led)} to {max(led)} shards."
    figures = [
        Figure(
            f"{name}, {which} of {summary.count}",
            value,
            "ms",
            target=target[1] if target else "",
            reached=value <= target[0] if target else None,
        )
        for which, value, target in (("p50", summary.p50_ms, p50), ("p99", summary.p99_ms, p99))
    ]
    runs = tuple({"pause_ms": round(each.pause_ms, 2), "led": each.led} for each in changes)
    return Findings(name, "", method, tuple(figures), runs)


Change = Callable[[BenchFleet, Place], None]


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of leader: the pause that its client saw, and what the old leader led."""

    pause_ms: float
    led: int


def _changes(
    fleet: BenchFleet, group: str, runs: int, change: Change, name: str, tell: Tell
) -> list[Changed]:
    """What each of `runs` changes of leader cost."""
    changes: list[Changed] = []
    while len(changes) < runs:
        place = _settled_place(fleet, group, len(changes))
        with NumberedWrites(str(place.witness["url"]), place.key_of) as writes:
            first = writes.wait_for_epoch_after(0, CHANGE_S_MAX)
            if first is None:
                raise ChangeFailed(f"{place.shard}: no write was acknowledged before the {name}")
            sleep(SETTLE_S)
            if not _is_as_found(fleet, place):
                continue  # it was moved to where it belongs, by itself: choose again
            change(fleet, place)
            taken = writes.wait_for_epoch_after(place.epoch, CHANGE_S_MAX)
        changes.append(Changed(_pause_ms(writes, taken, place, name), place.led))
        if len(changes) % 10 == 0 or len(changes) == runs:
            tell(f"{name} {len(changes)}/{runs}: {changes[-1].pause_ms:.0f} ms")
    return changes


def _is_as_found(fleet: BenchFleet, place: Place) -> bool:
    """Whether the shard is still led by the same node in the same epoch."""
    row = fleet.access.get(f"/v1/shards/{place.shard}")
    leader = row["leader"]
    return bool(leader) and (leader["node"], row["epoch"]) == (place.leader, place.epoch)


def _pause_ms(writes: NumberedWrites, taken: Ack | None, place: Place, name: str) -> float:
    if taken is None:
        raise ChangeFailed(f"{place.shard}: no write within {CHANGE_S_MAX} s of the {name}")
    return (taken.at_s - writes.before(taken).at_s) * 1000.0


def _transfer(fleet: BenchFleet, place: Place) -> None:
    fleet.access.send(
        "POST",
        f"/v1/shards/{place.shard}/transfer",
        headers={"Content-Type": "application/json"},
        body=b'{"to_node": "%s"}' % str(place.witness["id"]).encode(),
    )


def _evict(fleet: BenchFleet, place: Place) -> None:
    fleet.access.send("POST", f"/v1/shards/{place.shard}/evict")


def _kill(fleet: BenchFleet, place: Place) -> None:
    node = next(n for n in fleet.processes() if n["id"] == place.leader)
    process = identity_of(int(node["pid"]))
    if process is None or not process.signal(signal.SIGKILL):
        raise ChangeFailed(f"{place.leader} (pid {node['pid']}) does not run")


def wait_until_settled(fleet: BenchFleet) -> list[Mapping[str, Any]]:
    """Wait until all nodes renew and all shards are led; give the shards. Raises ChangeFailed."""
    deadline, why = monotonic() + SETTLED_S_MAX, ""
    while True:
        try:
            status = fleet.access.get("/v1/status")
            rows: list[Mapping[str, Any]] = fleet.access.items("/v1/shards", limit=PAGE)["items"]
        except CommandFailed as failure:
            status, rows, why = None, [], str(failure)
        if status is not None:
            alive = [node["node"] for node in status["nodes"] if node["alive"]]
            led = [row for row in rows if row["leader"]]
            knows_map = any(_has_keys(row) for row in rows)  # a node that just started does not
            if knows_map and len(alive) == len(fleet.nodes) and len(led) == len(rows):
                return rows
            why = f"{len(alive)} of {len(fleet.nodes)} nodes renew, {len(led)} of {len(rows)} led"
        if monotonic() > deadline:
            raise ChangeFailed(f"the fleet did not settle within {SETTLED_S_MAX} s: {why}")
        sleep(POLL_S)


def _settled_place(fleet: BenchFleet, group: str, number: int) -> Place:
    """Wait until the fleet has settled; then choose a shard of the group, each in its turn."""
    rows = wait_until_settled(fleet)
    usable = [r for r in rows if r["group"] == group and _has_keys(r)]
    if not usable:
        raise ChangeFailed(f"no shard is in group {group}")
    row = usable[number % len(usable)]
    leader = row["leader"]
    witnesses = [n for n in fleet.nodes if n["id"] != leader["node"]]
    same_region = [n for n in witnesses if n["region"] == leader["region"]]
    witness = (same_region or witnesses)[0]
    led = sum(r["leader"]["node"] == leader["node"] for r in rows)
    return Place(
        row["shard"],
        group,
        row["epoch"],
        leader["node"],
        led,
        key_in_slot(row["first_slot"]),
        witness,
    )


def _has_keys(row: Mapping[str, Any]) -> bool:
    return bool(row["end_slot"] > row["first_slot"])


def round_trip_ms(fleet: BenchFleet, group: str, p99: bool = False) -> float:
    """What a majority of the group's voters takes to answer, as the first node measures it."""
    status = fleet.access.get("/v1/status")
    voters = next(g["voters"] for g in status["groups"] if g["group"] == group)
    figure = "round_trip_p99_ms" if p99 else "round_trip_ms"
    trips = [s[figure] or 0 for s in status["stores"] if s["store"] in voters]
    return float(sorted(trips)[len(trips) // 2])
