"""A fleet on paper: free ports, loopback only, settings that its nodes can read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.errors import DirectoryInUse, FleetFailed
from controlplane.fleet.directory import FleetDirectory, FleetOptions
from controlplane.fleet.layout import is_free, lay_out, sites_of, write_settings
from controlplane.settings import load_settings
from controlplane.survival import Survival
from regions.reference import default_topology
from regions.topology_file import dump_topology


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_new_fleet_gets_ports_of_its_own() -> None:
    topology = lay_out(None, 0)
    ports = [site.port for site in sites_of(topology)]
    assert len(set(ports)) == len(ports) == 15
    assert all(is_free(port) for port in ports)


def test_a_port_in_use_is_named(taken_port: int) -> None:
    with pytest.raises(FleetFailed, match=f"port {taken_port} is used"):
        lay_out(None, taken_port)


def test_a_document_must_stand_on_this_machine(tmp_path: Path) -> None:
    text = dump_topology(default_topology()).replace("127.0.0.1", "10.1.2.3")
    (tmp_path / "regions.yaml").write_text(text)
    with pytest.raises(FleetFailed, match=r"10\.1\.2\.3"):
        lay_out(tmp_path / "regions.yaml", 0)


def test_a_document_without_nodes_is_refused(tmp_path: Path) -> None:
    text = dump_topology(default_topology(nodes_per_region=0))
    (tmp_path / "regions.yaml").write_text(text)
    with pytest.raises(FleetFailed, match="names no nodes"):
        lay_out(tmp_path / "regions.yaml", 0)


def test_a_fleet_is_laid_out_once_and_read_back(tmp_path: Path) -> None:
    directory = FleetDirectory(tmp_path / "fleet")
    topology, options = lay_out(None, 0), FleetOptions(5, Survival.ZONE)
    assert not directory.is_made
    directory.make(topology, options)
    assert directory.is_made
    assert FleetDirectory(tmp_path / "fleet").load() == (topology, options)


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(FleetFailed, match="neither empty nor"):
        FleetDirectory(tmp_path).make(lay_out(None, 0), FleetOptions())
    with pytest.raises(FleetFailed, match="neither empty nor"), FleetDirectory(tmp_path).locked():
        pytest.fail("locked what is not ours")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_laying_out_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    directory = FleetDirectory(tmp_path)
    directory.make(lay_out(None, 0), FleetOptions())
    directory.options_path.rename(directory.options_path.with_name("options.json.new"))
    topology = lay_out(None, 0)
    directory.make(topology, FleetOptions(7))
    assert directory.load() == (topology, FleetOptions(7))


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(FleetFailed, match=r"cannot be used .*: Not a directory"),
        FleetDirectory(tmp_path / "file" / "fleet").locked(),
    ):
        pytest.fail("locked in a file")


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    with (
        FleetDirectory(tmp_path).locked(),
        pytest.raises(DirectoryInUse, match="runs in"),
        FleetDirectory(tmp_path).locked(),
    ):
        pytest.fail("locked twice")
    with FleetDirectory(tmp_path).locked():
        assert True


def test_nodes_can_read_their_settings_and_dial_through_the_proxy(tmp_path: Path) -> None:
    directory = FleetDirectory(tmp_path / "fleet")
    topology, options = lay_out(None, 0), FleetOptions(5, Survival.ZONE)
    directory.make(topology, options)
    here, there = topology.nodes[0], topology.stores_in("us-east-1")[0]
    write_settings(directory, topology, options, {f"{here.region}>{there.id}": 12345})
    settings = load_settings(directory.settings_path(here.id))
    assert settings.site == here
    assert settings.dial == {there.address: "127.0.0.1:12345"}
    assert (settings.first_shards.count, settings.first_shards.survival) == (5, Survival.ZONE)
    assert load_settings(directory.settings_path("us-east-1-n1")).dial == {}


def test_a_node_prefers_ways_of_its_own_to_those_of_its_region(tmp_path: Path) -> None:
    directory = FleetDirectory(tmp_path / "fleet")
    topology, options = lay_out(None, 0), FleetOptions(5, Survival.ZONE)
    directory.make(topology, options)
    here, there = topology.nodes[0], topology.stores_in("us-east-1")[0]
    ports = {f"{here.region}>{there.id}": 12345, f"{here.id}>{there.id}": 12346}
    write_settings(directory, topology, options, ports)
    settings = load_settings(directory.settings_path(here.id))
    assert settings.dial == {there.address: "127.0.0.1:12346"}
