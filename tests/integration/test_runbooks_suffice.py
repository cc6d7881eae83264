"""A fleet is broken, and mended by `leadplane status` and the commands of the runbooks alone.

What the test does itself is what breaks, and what the world mends: power that comes back. The
region comes first, since it is at home a minute later: what follows does not wait for that.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from controlplane.cli.connection import Problem
from controlplane.cli.kv import key_path
from controlplane.embedded import free_ports
from controlplane.process_identity import ProcessIdentity
from regions.reference import default_topology
from regions.settings import LeaseSettings
from regions.topology_file import dump_topology
from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for
from tests.integration.runbook_reader import NOTHING, RunbookReader, found, status, until_well

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("runbooks")]

LEADPLANE = (sys.executable, "-m", "controlplane.cli.main")
UP_S_MAX = 100
SHARDS = 6
LEASES = LeaseSettings(region_ttl_ms=1_000, global_ttl_ms=2_000)
HOME = "eu-central-1"
GROUP = f"region/{HOME}"
VALUE = bytes(range(256)) * 256  # 64 KiB
ROOM = 4 << 20
HOME_S_MAX = 90.0
PUTS_MAX = 8 * ROOM // len(VALUE)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOnTest]:
    """Three regions of three stores and a node; named as in the runbooks, in `.leadplane`."""
    folder = tmp_path_factory.mktemp("night")
    regions = folder / "regions.yaml"
    topology = default_topology(nodes_per_region=1, ports=free_ports(12), settings=LEASES)
    regions.write_text(dump_topology(topology), "utf-8")
    words = ["up", "--regions", regions.name, "--shards", str(SHARDS), "--detach", "-o", "json"]
    run = partial(
        subprocess.run, cwd=folder, capture_output=True, text=True, timeout=UP_S_MAX, check=False
    )
    try:
        up = run([*LEADPLANE, *words])
        assert up.returncode == 0, up.stderr
        fleet = FleetOnTest(folder / ".leadplane")
        partition = partition_of(fleet, GROUP)
        wait_for(lambda: fleet.put(fleet.access, f"{{{partition}}}/kept", "v"), "a write")
        yield fleet
    finally:
        run([*LEADPLANE, "down"])


@pytest.fixture
def fleet(started: FleetOnTest, monkeypatch: pytest.MonkeyPatch) -> FleetOnTest:
    """The fleet, well, as a person finds it who sits in its folder."""
    monkeypatch.chdir(started.directory.parent)
    monkeypatch.delenv("LEADPLANE_URL", raising=False)
    until_well()
    return started


def partition_of(fleet: FleetOnTest, group: str) -> str:
    """A partition whose shard lives in this group."""
    rows = fleet.access.items("/v1/shards", limit=100)["items"]
    shards = {row["shard"] for row in rows if row["group"] == group}
    for number in range(1_000):
        if fleet.access.get("/v1/route", key=f"{{p{number}}}/k")["shard"] in shards:
            return f"p{number}"
    raise AssertionError(f"no partition in {group}")


def wipe(fleet: FleetOnTest, *stores: str) -> None:
    """Kill stores and take their data away; the supervisor starts them again, empty."""
    processes = [fleet.process("stores", store) for store in stores]
    for process in processes:
        process.signal(signal.SIGSTOP)  # they must not write anything while their files go
    for store in stores:
        shutil.rmtree(Path(fleet.record("stores", store)["dir"]) / "appendonlydir")
    for process in processes:
        process.signal(signal.SIGKILL)


@contextmanager
def without_power(fleet: FleetOnTest, *sites: str) -> Iterator[None]:
    """Kill processes that nobody starts again within."""
    state = fleet.state()
    processes = [
        fleet.process(kind, each["id"])
        for kind in ("nodes", "stores")
        for each in state[kind]
        if each["id"] in sites
    ]
    assert len(processes) == len(sites), sites
    with asleep(ProcessIdentity(**state["supervisor"])):
        for process in processes:
            process.signal(signal.SIGKILL)
        yield


def is_kept(fleet: FleetOnTest) -> bool:
    """Whether the group of this region still has what was written when all was well."""
    partition = partition_of(fleet, GROUP)
    return fleet.access.send("GET", key_path(f"{{{partition}}}/kept")).body == b"v"


def takes_writes(fleet: FleetOnTest, group: str) -> None:
    """A write of a shard of this group is acknowledged."""
    key = f"{{{partition_of(fleet, group)}}}/after"
    wait_for(lambda: fleet.put(fleet.access, key, "v"), f"{group} takes writes")


def leads_for_all(fleet: FleetOnTest) -> bool:
    """Whether the region leads a shard for which all regions vote: after the start, some come home
    only now."""
    rows = fleet.access.items("/v1/shards", limit=100)["items"]
    led = {row["group"] for row in rows if (row["leader"] or {}).get("region") == HOME}
    return "global" in led


def test_a_region_that_was_lost_and_is_stuck_in_its_drain(fleet: FleetOnTest) -> None:
    sites = [s["id"] for k in ("nodes", "stores") for s in fleet.state()[k] if s["region"] == HOME]
    page = RunbookReader("docs/runbooks/region-lost.md")
    wait_for(lambda: leads_for_all(fleet), f"{HOME} leads what others may lead too", HOME_S_MAX)
    page.does(f'leadplane regions drain {HOME} --reason "power" --no-wait')
    with without_power(fleet, *sites):
        reader = found("region-lost", f"Unavailable: no quorum in {GROUP}.", ends=1)
        assert f"{HOME}: no node is left" in reader.look()
    reader = found("region-lost", f"At risk: all nodes of {HOME} are drained.", ends=0)
    looked = " ".join(reader.look().split())
    assert f"region {HOME} leads nothing" in looked
    assert "power" in looked
    reader.does(f"leadplane regions undrain {HOME}")
    until_well()
    takes_writes(fleet, GROUP)


def test_a_store_that_was_wiped(fleet: FleetOnTest) -> None:
    wipe(fleet, f"{HOME}-s2")
    reader = found("store-lost", f"At risk: {GROUP} cannot lose another store.", ends=0)
    assert f"{HOME}-s2" in reader.look()
    until_well()  # "nothing: it is filled and votes again"
    assert is_kept(fleet)


def test_a_quorum_that_comes_back_with_its_files(fleet: FleetOnTest) -> None:
    with without_power(fleet, f"{HOME}-s2", f"{HOME}-s3"):
        reader = found("store-lost", f"Unavailable: no quorum in {GROUP}.", ends=1)
        assert f"{GROUP}: 1 of 3 stores answer, 2 are needed" in reader.look()
    until_well()  # "bring them back, with their files"
    assert is_kept(fleet)
    takes_writes(fleet, GROUP)


def test_a_quorum_that_is_lost_for_good(fleet: FleetOnTest) -> None:
    wipe(fleet, f"{HOME}-s2", f"{HOME}-s3")
    reader = found("store-lost", f"Lost: too few stores remember {GROUP}.", ends=1)
    reader.look()
    told = reader.does(f"leadplane regions force-recover {GROUP} --dry-run")
    assert f"Kept is what is left at {HOME}-s1" in " ".join(told.split())
    assert status().ends == 1, "saying what would be lost changes nothing"
    line = f'leadplane regions force-recover {GROUP} --accept-loss --reason "both disks are gone"'
    reader.does(line)
    until_well()
    assert is_kept(fleet)
    takes_writes(fleet, GROUP)


def test_stores_that_run_full(fleet: FleetOnTest) -> None:
    partition = partition_of(fleet, GROUP)
    with squeezed(fleet, [f"{HOME}-s{number}" for number in (1, 2, 3)]):
        refused = fill(fleet, partition)
        assert refused.kind == "store-full", refused
        reader = found("store-full", f"Full: {GROUP} can only be read, and deleted from.", ends=1)
        assert "memory" in reader.look()
        make_room(reader, partition)
        until_well()
        takes_writes(fleet, GROUP)


@contextmanager
def squeezed(fleet: FleetOnTest, stores: list[str]) -> Iterator[None]:
    """Let stores use only so much more memory than they do; they refuse what does not fit."""
    admins = [
        redis.Redis(port=fleet.record("stores", s)["port"], socket_timeout=20) for s in stores
    ]
    before = [admin.config_get("maxmemory")["maxmemory"] for admin in admins]
    try:
        for admin in admins:
            assert admin.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            admin.config_set("maxmemory", int(admin.info("memory")["used_memory"]) + ROOM)
        yield
    finally:
        for admin, limit in zip(admins, before, strict=True):
            admin.config_set("maxmemory", limit)
            admin.close()


def fill(fleet: FleetOnTest, partition: str) -> Problem:
    """Write new keys until one is refused; why it was."""
    for number in range(PUTS_MAX):
        try:
            path = key_path(f"{{{partition}}}/fill-{number:04}")
            fleet.access.send("PUT", path, body=VALUE)
        except Problem as problem:
            return problem
    raise AssertionError(f"{PUTS_MAX} writes, and none was refused")


def make_room(reader: RunbookReader, partition: str) -> None:
    """Delete what fills the shard, a page of a scan after the other."""
    while True:
        shown = reader.does("leadplane kv scan 'PARTITION' --limit 20", PARTITION=partition)
        keys = [word for word in shown.split() if "}/fill-" in word]
        if not keys:
            return
        for key in keys:
            reader.does("leadplane kv del 'KEY'", KEY=key)


def test_the_region_that_was_undrained_leads_again_what_prefers_it(fleet: FleetOnTest) -> None:
    """The last of all: for a minute a node that was silent is handed nothing."""
    wait_for(partial(is_at_home, fleet), "what prefers the region is led there", 90)
    assert NOTHING in leadplane("doctor").stdout


def is_at_home(fleet: FleetOnTest) -> bool:
    """Whether the region leads all shards of clients that prefer it, and there are some."""
    rows = fleet.access.items("/v1/shards", limit=100)["items"]
    found = [r["leader"] for r in rows if r["shard"] != "system" and r["regions"][0] == HOME]
    return bool(found) and all(leader and leader["region"] == HOME for leader in found)
