"""What is put between the processes of a fleet follows from what a scenario does, and from whoever
runs it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from controlplane.chaos import local_fleet
from controlplane.chaos.local_fleet import network_for, topology_of, why_not
from controlplane.chaos.scenario import FleetShape, Scenario
from controlplane.chaos.scenario_file import load_scenario

AS_ROOT, AS_ANYBODY = "", "only root can make network namespaces"


@pytest.mark.parametrize(
    ("name", "cannot", "network"),
    [
        ("leader-killed", AS_ROOT, None),
        ("bridge", AS_ROOT, "namespaces"),
        ("bridge", AS_ANYBODY, "proxy"),
        ("black-hole", AS_ROOT, "proxy"),
        ("bad-ways", AS_ROOT, "proxy"),
        ("late-mail", AS_ROOT, "proxy"),
    ],
)
def test_the_network_is_what_can_do_all_that_is_asked(
    name: str, cannot: str, network: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_fleet.namespaces, "why_not", lambda: cannot)
    assert network_for(load_scenario(name)) == network


def test_distances_need_the_proxy() -> None:
    far = load_scenario("region-cut").model_dump()
    far["fleet"]["latency"] = 0.5
    assert network_for(Scenario.model_validate(far)) == "proxy"


def test_a_scenario_that_insists_on_namespaces_cannot_be_run_by_anybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_fleet.namespaces, "why_not", lambda: AS_ANYBODY)
    insists = load_scenario("bridge").model_dump()
    insists["fleet"]["network"] = "namespaces"
    assert why_not(Scenario.model_validate(insists)) == AS_ANYBODY
    assert why_not(load_scenario("bridge")) == ""


def test_a_shape_becomes_a_topology_with_its_lease() -> None:
    topology = topology_of(FleetShape(regions=2, stores=1, nodes=2, ttl_ms=900))
    assert (len(topology.nodes), len(topology.stores)) == (4, 2)
    assert {group.ttl_ms for group in topology.groups} == {900}
    assert len({site.port for site in (*topology.nodes, *topology.stores)}) == 6


def test_a_load_can_be_changed_and_the_rest_stays() -> None:
    scenario = load_scenario("leader-killed")
    changed = scenario.with_load(reads=0.9, lasts_s=60)
    assert (changed.load.reads, changed.lasts_s) == (0.9, 60)
    assert changed.faults == scenario.faults
    assert scenario.with_load(None, None) == scenario
    with pytest.raises(ValidationError, match="ends 23 s after the start"):
        scenario.with_load(None, 10)
