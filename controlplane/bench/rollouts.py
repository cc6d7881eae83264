"""Benchmark `rollouts`: how long a document takes to every node, and back when its gate fails.

Then many documents with many revisions: what listing, comparing and reading one costs.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, sleep, time
from typing import Any
from urllib.parse import urlsplit

from config.check import DOCUMENTS_MAX
from config.gate import INTERVAL_MS
from controlplane.bench.bench_fleet import BenchFleet
from controlplane.bench.comparison import Tell
from controlplane.bench.document_events import EventWatch, Told, watched_events
from controlplane.bench.leadership import round_trip_ms, wait_until_settled
from controlplane.bench.report import Figure, Findings, NotMeasured
from controlplane.bench.spread import nearest_rank
from controlplane.cli.connection import FleetAccess, Problem
from controlplane.cli.kv import key_path

NAME = "bench"
GATE_KEY = "{bench}/gate"
"""Its page is a gate: it is there, and then it is not."""
GROUP = "global"
AT_ONCE = {"name": "all-at-once", "final_bake_ms": 0}
WATCHED = {"name": "all-at-once", "final_bake_ms": 120_000}
APPLIED_S_MAX = 30.0
BACK_S_MAX = 60.0
PAUSE_S = 0.3
IDLE_S = 6.0
"""By then nobody hurries because of the rollout before."""
IDLE_RUNS = 3
"""So often a rollout begins after such a rest."""
CONTENT_BYTES = 10_000
READS = 300
READ_MS_MAX = 20.0
APPLIED_MS_MAX = 200.0
APPLIED_P99_MS_MAX = 1_000.0
BEGUN_MS_MAX = 500.0
BEGUN_TRIPS_MAX = 8
BACK_MS_MAX = INTERVAL_MS + 2_000.0


@dataclass(frozen=True, slots=True)
class Rolling:
    """How much is rolled out and kept."""

    rollouts: int = 50
    failures: int = 3
    documents: int = 1_000
    revisions: int = 10_000


def rolling(rollouts: int, revisions: int) -> Rolling:
    """So many rollouts, and revisions of about a tenth as many documents."""
    documents = max(2, min(DOCUMENTS_MAX, revisions // 10))
    return Rolling(rollouts, documents=documents, revisions=revisions)


@dataclass(frozen=True, slots=True)
class Spread:
    """One rollout: from the request until its step was decided, and from there to each node."""

    begun_ms: int
    applied_ms: dict[str, int]


def measure_rollouts(fleet: BenchFleet, rolling: Rolling, tell: Tell) -> Findings:
    """Everything, on the default fleet."""
    wait_until_settled(fleet)
    urls = {str(node["id"]): str(node["url"]) for node in fleet.nodes}
    with watched_events(urls) as events:
        spreads = [_spread(fleet, events, run, tell) for run in range(rolling.rollouts)]
        backs = [_back(fleet, events, run, tell) for run in range(rolling.failures)]
    edit_ms = _fill(fleet, rolling, tell)
    reads = {what: _reads(fleet, path) for what, path in _paths(rolling).items()}
    trip_ms, slow_ms = round_trip_ms(fleet, GROUP), round_trip_ms(fleet, GROUP, p99=True)
    figures = _figures(spreads, backs, trip_ms, slow_ms)
    figures += _kept_figures(reads, edit_ms)
    for figure in figures:
        tell(f"{figure.what}: {figure.ours:g} {figure.unit}")
    return Findings(
        "rollouts", "", _method(rolling, trip_ms, slow_ms), tuple(figures),
        (
            {"begun_ms": [each.begun_ms for each in spreads]},
            {"applied_ms": [each.applied_ms for each in spreads]},
            {"back_ms": backs},
            {"read_ms": {what: [round(ms, 2) for ms in found] for what, found in reads.items()}},
        ),
    )  # fmt: skip


# -- how long it takes


def _spread(fleet: BenchFleet, events: EventWatch, run: int, tell: Tell) -> Spread:
    """Have a revision in force everywhere at once, and see when each node has it."""
    version = _edit(fleet.access, NAME, {"run": run})
    sleep(IDLE_S if run < IDLE_RUNS else PAUSE_S)
    asked_ms = time() * 1_000
    begun = _post(fleet.access, "/v1/rollouts", document=NAME, strategy=AT_ONCE, gates=[])
    number = begun["rollout"]
    nodes = {str(node["id"]) for node in fleet.nodes}

    def all_have_it(told: Sequence[Told]) -> bool:
        return nodes <= _applied(told, version).keys()

    told = events.until(all_have_it, f"version {version} is applied", APPLIED_S_MAX)
    done = _until_over(fleet.access, number)
    ordered_ms = max(int(each["since_ms"]) for each in done["regions"])
    decided_ms = min(
        each.wall_ms
        for each in told
        if each.kind == "rollout"
        and each.detail["rollout"] == str(number)
        and any(word in each.detail["regions"] for word in ("sent", "applied", "healthy"))
    )
    applied = {n: max(0, at_ms - ordered_ms) for n, at_ms in _applied(told, version).items()}
    found = Spread(round(decided_ms - asked_ms), applied)
    tell(f"rollout {number}: decided after {found.begun_ms} ms, applied {max(applied.values())} ms")
    return found


def _applied(told: Sequence[Told], version: int) -> dict[str, int]:
    return {
        each.node: each.wall_ms
        for each in told
        if each.kind == "document-applied"
        and (each.detail["document"], each.detail["version"]) == (NAME, str(version))
    }


def _back(fleet: BenchFleet, events: EventWatch, run: int, tell: Tell) -> int:
    """From the moment at which a gate begins to fail until all nodes are back."""
    before = _edit(fleet.access, NAME, {"run": -1})
    access = fleet.access
    _until_over(access, _begun(access, AT_ONCE, []))
    version = _edit(access, NAME, {"failure": run})
    page = key_path(GATE_KEY)
    access.send("PUT", page, body=b"well")
    gate = {"name": "page", "kind": "http", "url": f"{fleet.nodes[0]['url']}{page}"}
    number = _begun(access, WATCHED, [gate])
    nodes = {str(node["id"]) for node in fleet.nodes}
    events.until(
        lambda told: nodes <= _applied(told, version).keys(), "it is applied", APPLIED_S_MAX
    )
    sleep(1.7 * (run + 1))  # now early between two looks, now late
    failed_ms = time() * 1_000
    access.send("DELETE", page)

    def all_are_back(told: Sequence[Told]) -> bool:
        return nodes <= {
            node for node, at_ms in _applied(told, before).items() if at_ms >= failed_ms
        }

    told = events.until(all_are_back, "it is rolled back", BACK_S_MAX)
    took_ms = round(max(_applied(told, before).values()) - failed_ms)
    done = _until_over(access, number)
    if done["phase"] != "rolled-back":
        raise NotMeasured(f"rollout {number} is {done['phase']}")
    tell(f"rollout {number}: back after {took_ms} ms")
    return took_ms


# -- many documents


def _fill(fleet: BenchFleet, rolling: Rolling, tell: Tell) -> list[float]:
    """Make all documents and revisions; what each edit took, in milliseconds."""
    names = _names(rolling)
    times: list[float] = []
    each = max(1, rolling.revisions // len(names))
    for round_ in range(each):
        times += [_timed_edit(fleet.access, name, round_) for name in names]
        tell(f"{len(times)} revisions of {len(names)} documents")
    _until_over(fleet.access, _begun(fleet.access, AT_ONCE, [], document=names[0]))
    return times


def _names(rolling: Rolling) -> list[str]:
    return [f"bench-{number:04}" for number in range(rolling.documents - 1)]


def _timed_edit(access: FleetAccess, name: str, round_: int) -> float:
    began_s = perf_counter()
    _edit(access, name, {"round": round_, "filling": "x" * CONTENT_BYTES})
    return (perf_counter() - began_s) * 1_000


def _paths(rolling: Rolling) -> dict[str, str]:
    name = _names(rolling)[0]
    return {
        "listing documents": "/v1/config",
        "listing versions": f"/v1/config/{name}/versions",
        "diff of two versions": f"/v1/config/{name}/diff",
        "reading what is in force": f"/v1/config/{name}/effective",
    }


def _reads(fleet: BenchFleet, path: str) -> list[float]:
    """One client, one connection, at the global leader: what each of many reads took."""
    leader = fleet.access.get("/v1/leader")["node"]
    parts = urlsplit(next(str(node["url"]) for node in fleet.nodes if node["id"] == leader))
    connection, times = http.client.HTTPConnection(parts.hostname or "", parts.port), []
    for _ in range(READS):
        began_s = perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise NotMeasured(f"GET {path}: status {answer.status}")
        times.append((perf_counter() - began_s) * 1_000)
    connection.close()
    return times


# -- requests


def _edit(access: FleetAccess, name: str, content: dict[str, Any]) -> int:
    """Another revision; its version."""
    found = _send(access, "PUT", f"/v1/config/{name}", {"If-Match": "*"}, {"content": content})
    version: int = found["document"]["version"]
    return version


def _send(
    access: FleetAccess, method: str, path: str, headers: dict[str, str], body: dict[str, Any]
) -> Any:
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    try:
        return access.send(method, path, None, kind | headers, data).document()
    except Problem as problem:
        if problem.kind != "unknown-document":
            raise
        return access.send(method, path, None, kind | {"If-None-Match": "*"}, data).document()


def _post(access: FleetAccess, path: str, **body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    return access.send("POST", path, None, headers, json.dumps(body).encode()).document()


def _begun(
    access: FleetAccess, strategy: dict[str, Any], gates: list[dict[str, Any]], document: str = NAME
) -> int:
    found = _post(access, "/v1/rollouts", document=document, strategy=strategy, gates=gates)
    number: int = found["rollout"]
    return number


def _until_over(access: FleetAccess, number: int) -> Any:
    ends_s = perf_counter() + BACK_S_MAX
    while perf_counter() < ends_s:
        items = access.items("/v1/rollouts", limit=1_000)["items"]  # one begun just now may lack
        found = next((each for each in items if each["rollout"] == number), None)
        if found is not None and found["over"]:
            return found
        sleep(0.02)
    raise NotMeasured(f"rollout {number} does not end")


# -- figures


def _figures(
    spreads: Sequence[Spread], backs: Sequence[int], trip_ms: float, slow_ms: float
) -> list[Figure]:
    applied = sorted(ms for each in spreads for ms in each.applied_ms.values())
    begun = sorted(each.begun_ms for each in spreads)
    applied_max, begun_max = trip_ms + APPLIED_MS_MAX, BEGUN_TRIPS_MAX * slow_ms + BEGUN_MS_MAX
    p95, p99, worst_back = nearest_rank(applied, 0.95), nearest_rank(applied, 0.99), max(backs)
    return [
        Figure(
            f"from the step to 95 % of {len(applied)} nodes", p95, "ms",
            target=f"at most a round trip + 200 ms = {applied_max:g} ms",
            reached=p95 <= applied_max,
        ),
        Figure(
            "from the step to 99 % of them", p99, "ms",
            target=f"at most {APPLIED_P99_MS_MAX:g} ms", reached=p99 <= APPLIED_P99_MS_MAX,
        ),
        Figure("from the request to the step, p50", nearest_rank(begun, 0.5), "ms"),
        Figure(
            "from the request to the step, p99", nearest_rank(begun, 0.99), "ms",
            target=f"at most 8 round trips + 500 ms = {begun_max:g} ms",
            reached=nearest_rank(begun, 0.99) <= begun_max,
        ),
        Figure(
            f"from a gate that fails to all nodes back, worst of {len(backs)}", worst_back, "ms",
            target=f"at most {BACK_MS_MAX:,.0f} ms", reached=worst_back <= BACK_MS_MAX,
        ),
    ]  # fmt: skip


def _kept_figures(reads: dict[str, list[float]], edit_ms: Sequence[float]) -> list[Figure]:
    figures = []
    for what, times in reads.items():
        p99 = round(nearest_rank(sorted(times), 0.99), 2)
        figures += [
            Figure(f"{what}, p50", round(nearest_rank(sorted(times), 0.5), 2), "ms"),
            Figure(
                f"{what}, p99 of {len(times)}", p99, "ms",
                target=f"less than {READ_MS_MAX:g} ms", reached=p99 < READ_MS_MAX,
            ),
        ]  # fmt: skip
    last = sorted(edit_ms[-1_000:])
    p50 = round(nearest_rank(last, 0.5), 1)
    figures.append(Figure(f"an edit, p50 of the last {len(last)}", p50, "ms"))
    return figures


def _method(rolling: Rolling, trip_ms: float, slow_ms: float) -> str:
    return (
        f"`leadplane up`, three regions. {rolling.rollouts} rollouts of a small document with "
        "`all-at-once`, the first few after a rest, each to every node. The step is "
        "timed when the global leader decides on it, before it is written, and a node when it says "
        "that it has applied it; the request, from before it is sent until the first node shows "
        f"that the step is decided. {rolling.failures} more have a key's page as their gate, which "
        "is deleted when all nodes have the version, at different moments between two looks. "
        f"Then {rolling.documents:,} documents of {CONTENT_BYTES // 1_000} KB with "
        f"{rolling.revisions:,} revisions are made; one client reads, at the global leader. A "
        f"quorum round trip takes {trip_ms:g} ms, its p99 {slow_ms:g} ms, as the first node "
        "measured them in this run."
    )
