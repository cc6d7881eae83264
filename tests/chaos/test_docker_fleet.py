"""The adapter to the Docker Engine, against a stub of its API: there is no Engine here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controlplane.chaos.docker_fleet import DockerFleet, compose_fleet, lonely_in
from controlplane.chaos.roles import Kind, Site
from controlplane.chaos.scenario_file import load_scenario
from controlplane.chaos.ways import Hindrance
from controlplane.errors import ChaosImpossible
from tests.chaos.engine_stub import PROJECT, served
from tests.chaos.paper_fleet import PaperFleet

SITES = (
    Site("n1", Kind.NODE, "eu", ""),
    Site("n2", Kind.NODE, "eu", ""),
    Site("s1", Kind.STORE, "eu", "a"),
)
STATUS: dict[str, Any] = {
    "nodes": [{"node": "n1", "region": "eu"}, {"node": "n2", "region": "eu"}],
    "stores": [{"store": "s1", "region": "eu", "zone": "a"}],
}


async def driven(
    drive: Callable[[DockerFleet], Awaitable[object]], status: dict[str, Any] | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """What the stub was asked for, and what was done to the fleet behind it."""
    paper = PaperFleet(SITES)
    paper.urls = {"n1": "http://127.0.0.1:7401", "n2": "http://127.0.0.1:7402"}
    async with served(paper) as (stub, address):
        make = compose_fleet(PROJECT, status or STATUS, address)
        async with make(load_scenario("leader-killed")) as fleet:
            await drive(fleet)
        return stub.asked, paper.done


async def test_it_knows_its_sites_and_says_that_the_engine_is_a_stub() -> None:
    async def look(fleet: DockerFleet) -> None:
        assert fleet.sites == SITES
        assert fleet.urls == {"n1": "http://127.0.0.1:7401", "n2": "http://127.0.0.1:7402"}
        assert (
            fleet.says_of_itself()
            == "containers of the compose project stub, by a stub of the Engine API"
        )

    assert await driven(look) == ([], [])


async def test_containers_are_paused_killed_and_restarted() -> None:
    async def drive(fleet: DockerFleet) -> None:
        await fleet.stop("n1")
        await fleet.go_on("n1")
        await fleet.end("n2")
        await fleet.kill("s1")
        await fleet.hold("s1")
        await fleet.kill("s1")
        await fleet.let_go("s1")

    asked, done = await driven(drive)
    assert asked == [
        "pause n1",
        "unpause n1",
        "restart n2",
        "kill s1",
        "start s1",
        "kill s1",
        "start s1",
    ]
    assert done[:3] == [("stop", "n1"), ("go on", "n1"), ("end", "n2")]


async def test_a_container_is_taken_off_its_networks_and_put_back() -> None:
    async def drive(fleet: DockerFleet) -> None:
        alone = {("n1", "n2"), ("n2", "n1"), ("n1", "s1"), ("s1", "n1")}
        await fleet.ways.cut("cut0", alone)
        assert await fleet.ways.mend("cut0", loses=False) == "n1 was off 1 networks"

    asked, done = await driven(drive)
    assert asked == ["disconnect n1", "connect n1"]
    assert done == [("cut", 4), ("mend", True)]


async def test_what_the_engine_cannot_do_is_refused() -> None:
    async def drive(fleet: DockerFleet) -> None:
        with pytest.raises(ChaosImpossible, match="cannot damage the data of a store"):
            await fleet.forget("s1", "wiped")
        with pytest.raises(ChaosImpossible, match="cannot fill a store"):
            await fleet.fill("s1", "disk", 1)
        with pytest.raises(ChaosImpossible, match="cannot make ways worse"):
            await fleet.ways.hamper("h", ["s1"], Hindrance())
        with pytest.raises(ChaosImpossible, match="cannot break single connections"):
            await fleet.ways.snap(["s1"])
        with pytest.raises(ChaosImpossible, match="more than one site"):
            await fleet.ways.cut("cut0", {("n1", "s1")})

    assert await driven(drive) == ([], [])


async def test_a_service_must_be_called_as_its_site_is() -> None:
    status = {**STATUS, "stores": [{"store": "s9", "region": "eu", "zone": "a"}]}
    with pytest.raises(ChaosImpossible, match="no service s9"):
        await driven(lambda _: asyncio.sleep(0), status)


def test_one_site_alone_is_recognised_in_a_cut() -> None:
    alone = {("b", "a"), ("a", "b"), ("b", "c"), ("c", "b")}
    assert lonely_in(alone, ["a", "b", "c"]) == "b"
