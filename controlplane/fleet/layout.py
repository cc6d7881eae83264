"""From wishes to a fleet on paper: a topology with ports that are free, settings for each node."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import yaml

from controlplane.embedded import free_ports
from controlplane.errors import FleetFailed
from controlplane.fleet.directory import FleetDirectory, FleetOptions, write_whole
from controlplane.fleet.node_process import LOOPBACK
from controlplane.proxy_links import link_id
from regions.reference import DEFAULT_BASE_PORT, default_topology
from regions.topology import NodeSite, StoreSite, Topology, address_of
from regions.topology_file import load_topology

_BLOCK = 100
"""Without a wish for a base port, the next block of ports is tried so far away."""
_BLOCKS_MAX = 100
DRAIN_MS_MAX = 10_000
"""How long a node of a fleet that stops may take to hand over."""


def lay_out(regions: Path | None, base_port: int | None) -> Topology:
    """Make the topology of a new fleet on this machine.

    With a document, its regions, zones, stores and nodes are taken; it must put everything on
    loopback. With a base port, ports count up from it, 0 meaning any free ones. Raises
    TopologyInvalid, and FleetFailed when a port is taken or a host is not this one.
    """
    if regions is None:
        return _default_fleet(base_port)
    topology = load_topology(regions)
    if base_port is not None:
        topology = _with_ports(topology, _ports(_count(topology), base_port))
    for site in sites_of(topology):
        if site.host not in LOOPBACK:
            message = f"{site.id} stands at {site.host}, but `up` starts processes on this machine"
            raise FleetFailed(message, hint="use 127.0.0.1 in the document, or start it elsewhere")
    if not topology.nodes:
        raise FleetFailed(f"{regions} names no nodes", hint="list at least one node a region")
    _require_free([site.port for site in sites_of(topology)])
    return topology


def write_settings(
    directory: FleetDirectory,
    topology: Topology,
    options: FleetOptions,
    proxy_ports: Mapping[str, int],
) -> None:
    """Write each node's settings file. With proxy ports, it goes through them to other regions."""
    for node in topology.nodes:
        document = {
            "node": node.id,
            "topology": str(directory.topology_path),
            "first_shards": {"count": options.shards, "survival": str(options.survival)},
            "drain_ms_max": DRAIN_MS_MAX,
            "dial": _dial(topology, node, proxy_ports),
        }
        text = yaml.safe_dump(document, sort_keys=False)
        write_whole(directory.settings_path(node.id), text.encode())


def _dial(topology: Topology, node: NodeSite, proxy_ports: Mapping[str, int]) -> dict[str, str]:
    """The ways of a node: links of its own, else those that it shares with its region."""
    ways = {}
    for site in sites_of(topology):
        own, shared = link_id(node.id, site.id), link_id(node.region, site.id)
        port = proxy_ports.get(own, proxy_ports.get(shared))
        if port is not None:
            ways[site.address] = address_of("127.0.0.1", port)
    return ways


def sites_of(topology: Topology) -> tuple[StoreSite | NodeSite, ...]:
    """List everything that has an address: nodes, then stores."""
    sites: list[StoreSite | NodeSite] = [*topology.nodes]
    sites += topology.stores
    return tuple(sites)


def _default_fleet(base_port: int | None) -> Topology:
    paper = default_topology()
    if base_port is not None:
        return default_topology(ports=_ports(_count(paper), base_port))
    count = _count(paper)
    for block in range(_BLOCKS_MAX):
        first = DEFAULT_BASE_PORT + block * _BLOCK
        if all(is_free(port) for port in range(first, first + count)):
            return default_topology(base_port=first)
    return default_topology(ports=free_ports(count))


def _count(topology: Topology) -> int:
    return len(topology.stores) + len(topology.nodes)


def _ports(count: int, base_port: int) -> list[int]:
    if base_port == 0:
        return free_ports(count)
    if base_port + count > 65_536:
        message = f"a fleet takes {count} ports, and there are not that many from {base_port}"
        raise FleetFailed(message, hint="choose a lower --base-port")
    ports = list(range(base_port, base_port + count))
    _require_free(ports)
    return ports


def _require_free(ports: list[int]) -> None:
    for port in ports:
        if not is_free(port):
            hint = "stop that process, or choose other ports with --base-port"
            raise FleetFailed(f"port {port} is used by another process", hint=hint)


def is_free(port: int) -> bool:
    """Say whether nobody listens on this port of 127.0.0.1 at present."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _with_ports(topology: Topology, ports: list[int]) -> Topology:
    supply = iter(ports)
    return topology.model_copy(
        update={
            "nodes": tuple(n.model_copy(update={"port": next(supply)}) for n in topology.nodes),
            "stores": tuple(s.model_copy(update={"port": next(supply)}) for s in topology.stores),
        }
    )
