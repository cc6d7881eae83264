"""Rollouts on a fleet of real processes: in waves, back by themselves, whoever dies meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess, Problem
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

OVER_S_MAX = 120.0
NUMBERS = count(1)
QUICK = {"name": "linear", "bake_ms": 1_000, "final_bake_ms": 1_000}
TO_BE_SEEN = {"name": "linear", "bake_ms": 2_000, "final_bake_ms": 4_000}
"""Whoever looks late sees every phase, too."""


@contextmanager
def page(status: int) -> Iterator[str]:
    """A page that answers with this status: a gate to be asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def send(access: FleetAccess, path: str, **body: Any) -> Any:
    """An order. Raises Problem."""
    headers = {"Content-Type": "application/json"}
    return access.send("POST", path, headers=headers, body=json.dumps(body).encode()).document()


def edit(access: FleetAccess, name: str, number: int) -> None:
    """Another version of a document."""
    headers = {"Content-Type": "application/json"}
    headers |= {"If-None-Match": "*"} if number == 1 else {"If-Match": "*"}
    body = json.dumps({"content": {"n": number}}).encode()
    access.send("PUT", f"/v1/config/{name}", None, headers, body)


def rollout(access: FleetAccess, number: int) -> dict[str, Any]:
    """How far it is."""
    found: dict[str, Any] = access.get(f"/v1/rollouts/{number}")
    return found


def until_over(access: FleetAccess, number: int) -> dict[str, Any]:
    """The rollout when it is over."""

    def look() -> dict[str, Any] | None:
        found = rollout(access, number)
        return found if found["over"] else None

    return wait_for(look, f"rollout {number} is over", OVER_S_MAX)


def until(access: FleetAccess, number: int, **wanted: Any) -> dict[str, Any]:
    """The rollout when its fields are so."""

    def look() -> dict[str, Any] | None:
        found = rollout(access, number)
        return found if all(found[name] == value for name, value in wanted.items()) else None

    return wait_for(look, f"rollout {number} is {wanted}", OVER_S_MAX)


def runs(fleet: FleetOnTest, name: str) -> dict[str, int]:
    """Which version each node runs, 0 for none."""
    found = {}
    for node in fleet.state()["nodes"]:
        try:
            applied = fleet.at(node["id"]).get(f"/v1/config/{name}/effective")["applied"]
        except Problem as problem:
            if problem.kind != "unknown-document":
                raise
            applied = None
        found[node["id"]] = 0 if applied is None else applied["version"]
    return found


def everywhere(fleet: FleetOnTest, name: str, version: int) -> None:
    """Every node runs it."""
    wait_for(lambda: set(runs(fleet, name).values()) == {version}, f"all run version {version}")


def only_these_run(fleet: FleetOnTest, name: str, version: int, nodes: set[str]) -> None:
    """These nodes run it, and no other does."""

    def look() -> bool:
        found = runs(fleet, name)
        return {node for node, each in found.items() if each == version} == nodes

    wait_for(look, f"{sorted(nodes)} run version {version}, and nobody else")


def ready(fleet: FleetOnTest) -> str:
    """A document of which version 1 is in force everywhere, and version 2 nowhere."""
    name = f"it-rollout-{next(NUMBERS)}"
    edit(fleet.access, name, 1)
    at_once = {"name": "all-at-once", "final_bake_ms": 0}
    begun = send(fleet.access, "/v1/rollouts", document=name, strategy=at_once, gates=[])
    assert until_over(fleet.access, begun["rollout"])["phase"] == "succeeded"
    everywhere(fleet, name, 1)
    edit(fleet.access, name, 2)
    return name


@pytest.fixture
def name(fleet: FleetOnTest) -> str:
    """A document that is ready to be rolled out."""
    return ready(fleet)


def test_regions_change_one_after_the_other_and_not_before(fleet: FleetOnTest, name: str) -> None:
    access, region_of = fleet.access, {n["id"]: n["region"] for n in fleet.state()["nodes"]}
    assert set(runs(fleet, name).values()) == {1}, "an edit has no effect by itself"
    careful = {**QUICK, "approvals": [2]}
    # Nobody asks it for anything, and a busy machine makes elections and lag of its own.
    calm = {"name": "fleet", "measures": ["nodes", "leaders"]}
    begun = send(access, "/v1/rollouts", document=name, strategy=careful, gates=[calm])
    (first,), *_ = (wave["regions"] for wave in begun["waves"])
    until(access, begun["rollout"], phase="paused")
    wanted = {node for node, region in region_of.items() if region == first}
    only_these_run(fleet, name, 2, wanted)
    resumed = send(access, f"/v1/rollouts/{begun['rollout']}/resume")
    assert resumed["pause"] is None
    done = until_over(access, begun["rollout"])
    assert (done["phase"], {r["reached"] for r in done["regions"]}) == ("succeeded", {"healthy"})
    everywhere(fleet, name, 2)

    def is_told() -> bool:
        effective = access.get(f"/v1/config/{name}/effective", region=first)
        return (effective["target"]["rollout"], effective["drift"]) == (begun["rollout"], "none")

    wait_for(is_told, "the region is as the rollout wants it")


def test_what_fails_its_gate_gets_no_further_and_goes_back(fleet: FleetOnTest, name: str) -> None:
    access = fleet.access
    with page(500) as url:
        gate = {"name": "page", "kind": "http", "url": url}
        begun = send(access, "/v1/rollouts", document=name, strategy=QUICK, gates=[gate])
        done = until_over(access, begun["rollout"])
    assert done["phase"] == "rolled-back"
    assert "page" in done["why"]
    (canary,) = done["waves"][0]["regions"]
    reached = {each["region"]: each["reached"] for each in done["regions"]}
    assert reached.pop(canary) == "reverted"
    assert set(reached.values()) == {"waiting"}
    everywhere(fleet, name, 1)


def test_a_region_that_is_cut_off_never_runs_what_was_taken_back_meanwhile(
    fleet: FleetOnTest, name: str
) -> None:
    access = fleet.access
    leader = access.get("/v1/leader")
    nodes = fleet.state()["nodes"]
    region = next(n["region"] for n in nodes if n["region"] != leader["region"])
    away = [n["id"] for n in nodes if n["region"] == region]
    here = fleet.without(*(n["id"] for n in nodes if n["region"] != leader["region"]))
    strategy = {**QUICK, "name": "all-at-once", "step_deadline_ms": 8_000}
    with ExitStack() as stack:
        for node in away:
            stack.enter_context(asleep(fleet.process("nodes", node)))
        begun = send(here, "/v1/rollouts", document=name, strategy=strategy, gates=[])
        paused = until(here, begun["rollout"], phase="paused")
        assert (paused["pause"]["why"], paused["pause"]["detail"]) == ("unreachable", region)
        aborted = send(here, f"/v1/rollouts/{begun['rollout']}/abort")
        assert aborted["phase"] == "rolling-back"
        until(here, begun["rollout"], phase="stuck")
    done = until_over(access, begun["rollout"])
    assert done["phase"] == "rolled-back"
    everywhere(fleet, name, 1)
    for node in away:
        assert 2 not in versions_told(fleet, node, name)


def versions_told(fleet: FleetOnTest, node: str, name: str) -> list[int]:
    """Versions of a document that a node took up, as its events tell."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(str(fleet.record("nodes", node)["url"]))
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=40)
    connection.request("GET", "/v1/events?from=0", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    found: list[int] = []
    while (line := answer.readline()).strip() != b": alive":
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if event.get("kind") == "document-applied" and event["detail"]["document"] == name:
                found.append(int(event["detail"]["version"]))
    connection.close()
    return found


@pytest.mark.parametrize("phase", ["applying", "baking", "final-bake", "rolling-back"])
def test_the_next_global_leader_goes_on_where_the_record_is(
    fleet: FleetOnTest, name: str, phase: str
) -> None:
    leader = fleet.leader()
    others = fleet.without(leader)
    begun = send(others, "/v1/rollouts", document=name, strategy=TO_BE_SEEN, gates=[])
    number = begun["rollout"]
    if phase == "rolling-back":
        until(others, number, wave=2)
        send(others, f"/v1/rollouts/{number}/abort")
    else:
        until(others, number, phase=phase)
    assert fleet.process("nodes", leader).signal(signal.SIGKILL)
    done = until_over(others, number)
    back = phase == "rolling-back"
    assert done["phase"] == ("rolled-back" if back else "succeeded")
    everywhere(fleet, name, 1 if back else 2)
    steps = [each["step"] for each in done["regions"]]
    assert back or sorted(steps) == [1, 2, 3], "each region was ordered once"
    fleet.until_whole()
