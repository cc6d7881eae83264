"""Processes in network namespaces of their own: reachable, cut off on purpose, removed by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from controlplane.chaos import namespaces
from controlplane.chaos.namespaces import PREFIX, Namespaces, remove_abandoned, separated
from regions.reference import default_topology
from regions.topology import Topology

pytestmark = [
    pytest.mark.needs_binary("ip", "nft"),
    pytest.mark.skipif(bool(namespaces.why_not()), reason=namespaces.why_not() or "possible"),
]

GONE_PID = 2**22 + 1
LISTEN = """
import socket
server = socket.create_server((%r, %d))
print(flush=True)
server.accept()[0].recv(1)
"""
CALL = "import socket; socket.create_connection((%r, %d), timeout=2)"


@pytest.fixture
def network() -> Iterator[tuple[Topology, Namespaces]]:
    paper = default_topology(("eu-central-1",), zones=2, nodes_per_region=1)
    with separated(paper) as made:
        yield made


def existing() -> list[str]:
    """All namespaces of this machine."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listing.stdout.splitlines()]


def spaces() -> list[str]:
    """The namespaces of this process that exist."""
    return [name for name in existing() if f"{PREFIX}-{os.getpid()}-" in name]


def reaches(network: Namespaces, topology: Topology, origin: str, target: str) -> bool:
    """Whether a process at one site gets a connection to one at another."""
    site = next(s for s in topology.stores if s.id == target)
    within = network.within()
    listener = subprocess.Popen(
        [*within[target].command, sys.executable, "-c", LISTEN % (site.host, site.port)],
        stdout=subprocess.PIPE,
    )
    assert listener.stdout is not None
    try:
        listener.stdout.readline()
        call = [*within[origin].command, sys.executable, "-c", CALL % (site.host, site.port)]
        return subprocess.run(call, capture_output=True, check=False).returncode == 0
    finally:
        listener.kill()
        listener.communicate()


def test_looking_whether_it_is_possible_leaves_nothing_behind() -> None:
    assert namespaces.why_not() == ""
    assert spaces() == []


async def test_a_cut_holds_for_its_way_only_and_is_counted(
    network: tuple[Topology, Namespaces],
) -> None:
    topology, ways = network
    node, one, two = topology.nodes[0].id, topology.stores[0].id, topology.stores[1].id
    assert len({site.host for site in (*topology.nodes, *topology.stores)}) == 3
    assert reaches(ways, topology, node, one)
    await ways.cut("cut0", {(node, one)})
    assert not reaches(ways, topology, node, one)
    assert reaches(ways, topology, node, two)
    told = await ways.mend("cut0", loses=False)
    assert reaches(ways, topology, node, one)
    assert int(told.split()[0]) > 0
    assert told.endswith("packets were dropped by nftables")


def test_everything_is_removed_by_its_name_and_the_thread_comes_home() -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    paper = default_topology(("eu-central-1",), zones=1, nodes_per_region=1)
    with separated(paper):
        assert len(spaces()) == 3
        assert os.readlink("/proc/thread-self/ns/net") != home
    assert spaces() == []
    assert os.readlink("/proc/thread-self/ns/net") == home


def test_what_a_runner_that_died_left_is_removed_and_nothing_else() -> None:
    left, other = f"{PREFIX}-{GONE_PID}-0", f"{PREFIX}-other"
    for name in (left, other):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        assert remove_abandoned() == [left]
        listing = subprocess.run(
            ["ip", "netns", "list"], capture_output=True, text=True, check=True
        )
        assert other in listing.stdout
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True)
