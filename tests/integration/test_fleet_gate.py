"""The fleet's own gate on real processes: a region that is really bad takes the rollout back."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from controlplane.cli.connection import CommandFailed, FleetAccess
from controlplane.cli.kv import key_path
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for
from tests.integration.test_rollouts import everywhere, ready, send, until, until_over

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

BAKE_MS = 60_000
ASK_EVERY_S = 0.02
ASKED_MIN = 400
"""So much clients ask before the wave: enough for the gate to know how it was."""
ASKED_S_MAX = 180.0


def canary_of(fleet: FleetOnTest) -> tuple[str, str, FleetAccess]:
    """A region that does not lead the others, its node, and the way to all other nodes."""
    leader, nodes = fleet.access.get("/v1/leader"), fleet.state()["nodes"]
    node = next(n for n in nodes if n["region"] != leader["region"])
    return node["region"], node["id"], fleet.without(node["id"])


def begin(access: FleetAccess, name: str, canary: str, **gate: Any) -> int:
    """Roll out version 2, to this region first, watched by the fleet itself."""
    strategy = {"name": "linear", "bake_ms": BAKE_MS, "final_bake_ms": 1_000, "order": [canary]}
    gates = [{"name": "fleet", **gate}]
    begun = send(access, "/v1/rollouts", document=name, strategy=strategy, gates=gates)
    assert begun["waves"][0]["regions"] == [canary]
    number: int = begun["rollout"]
    until(access, number, phase="baking")
    return number


def check_went_back(fleet: FleetOnTest, name: str, done: dict[str, Any], canary: str) -> None:
    """It went back from the one region that had it, and reached no other."""
    reached = {each["region"]: each["reached"] for each in done["regions"]}
    assert (done["phase"], reached.pop(canary)) == ("rolled-back", "reverted")
    assert set(reached.values()) == {"waiting"}
    fleet.until_whole()
    everywhere(fleet, name, 1)


def test_a_node_that_dies_with_the_new_version_takes_it_back(fleet: FleetOnTest) -> None:
    name = ready(fleet)
    canary, node, others = canary_of(fleet)
    number = begin(others, name, canary, measures=["nodes"])
    assert fleet.process("nodes", node).signal(signal.SIGKILL)
    done = until_over(others, number)
    assert f"{node} died" in done["why"]
    check_went_back(fleet, name, done, canary)


@contextmanager
def asking(access: FleetAccess, path: str) -> Iterator[list[bool]]:
    """A client that reads again and again; what it notes is whether each read was answered."""
    answered: list[bool] = []
    over = Event()

    def ask() -> None:
        while not over.is_set():
            try:
                access.send("GET", path)
            except CommandFailed:
                answered.append(False)
            else:
                answered.append(True)
            time.sleep(ASK_EVERY_S)

    client = Thread(target=ask, daemon=True)
    client.start()
    try:
        yield answered
    finally:
        over.set()
        client.join()


def test_errors_of_the_region_that_has_it_take_it_back(fleet: FleetOnTest) -> None:
    name = ready(fleet)
    canary, node, others = canary_of(fleet)
    shard = fleet.shard(f"region/{canary}")
    key = f"{{{shard['partition']}}}/gate"
    fleet.put(fleet.access, key, "well")
    stores = [store["id"] for store in fleet.state()["stores"] if store["region"] == canary]
    with asking(fleet.at(node), key_path(key)) as answered:
        wait_for(
            lambda: len(answered) > ASKED_MIN and all(answered[-ASKED_MIN:]),
            "clients are answered",
            ASKED_S_MAX,
        )
        before = len(answered)
        number = begin(others, name, canary, measures=["errors"])
        with ExitStack() as stack:
            for store in stores[1:]:  # the first one is of the group that all regions share
                stack.enter_context(asleep(fleet.process("stores", store)))
            done = until_over(others, number)
    assert "errors" in done["why"]
    assert not all(answered[before:])
    check_went_back(fleet, name, done, canary)
