"""Stores at their limits, for real: refused in time, nothing lost, well again by themselves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.fleet_on_test import wait_for
from tests.integration.small_fleet import SmallFleet, small_fleet

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("headroom")]

KIB = 1 << 10
MIB = 1 << 20
VALUE = bytes(range(256)) * 32  # 8 KiB
ROOM = 8 * MIB


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallFleet]:
    with small_fleet(tmp_path_factory.mktemp("small")) as found:
        yield found


@pytest.fixture
def roomy(fleet: SmallFleet) -> Iterator[SmallFleet]:
    """The fleet without limits, now and after the test."""
    for names in (fleet.names(), ()):
        fleet.limit_memory(dict.fromkeys(fleet.admins, 0))
        wait_for(lambda: set(fleet.said_of_stores().values()) == {("up", "")}, "all have room")
        for name in names:
            fleet.delete(name)
        if names:
            yield fleet


def shown(fleet: SmallFleet, store: str, words: str) -> bool:
    """Whether the node says so of a store that is up."""
    state, why = fleet.said_of_stores()[store]
    return state == "up" and words in why


def test_memory_runs_full_at_all_stores_and_is_freed(roomy: SmallFleet) -> None:
    stores = list(roomy.admins)
    epoch = roomy.epoch()
    roomy.limit_memory({store: roomy.used_memory(store) + ROOM for store in stores})
    acknowledged, problem = roomy.fill("fill", VALUE, puts_max=2 * ROOM // len(VALUE))
    assert problem.kind == "store-full", problem
    assert problem.status == 507
    assert "memory 9" in str(problem)
    assert len(acknowledged) * len(VALUE) > ROOM // 8
    assert acknowledged <= roomy.names(), "acknowledged and lost"
    gone = set(sorted(acknowledged)[::2])
    for name in gone:
        roomy.delete(name)
    wait_for(lambda: roomy.is_written("again", VALUE), "there is room again")
    wait_for(roomy.has_caught_up, "all stores have everything")
    assert acknowledged - gone | {"again"} <= roomy.names()
    assert not gone & roomy.names()
    assert roomy.epoch() == epoch, "a full store is no reason for an election"
    assert roomy.none_has_died()


def test_one_store_that_runs_full_is_spared_and_brought_along_later(roomy: SmallFleet) -> None:
    store = list(roomy.admins)[1]
    roomy.limit_memory({store: roomy.used_memory(store) * 100 // 96})
    wait_for(lambda: shown(roomy, store, "memory 9"), "it is seen to be full")
    before = roomy.used_memory(store)
    names = {f"more-{number}" for number in range(200)}
    for name in names:
        roomy.put(name, VALUE)
    assert roomy.used_memory(store) - before < len(names) * len(VALUE) // 2
    assert not roomy.has_caught_up()
    assert names <= roomy.names()
    roomy.limit_memory({store: 0})
    wait_for(roomy.has_caught_up, "it has everything")
    fresh = {"consistency": "bounded", "max_staleness_ms": 5_000}
    wait_for(lambda: names <= roomy.names(**fresh), "bounded reads show it all")


def test_stores_that_decline_everything_at_once_end_no_leadership(roomy: SmallFleet) -> None:
    epoch = roomy.epoch()
    roomy.put("kept", VALUE)
    roomy.limit_memory(dict.fromkeys(roomy.admins, 1))
    wait_for(lambda: not roomy.is_written("refused", VALUE), "a write is refused", 20)
    wait_for(lambda: shown(roomy, next(iter(roomy.admins)), "memory"), "it is shown")
    assert "kept" in roomy.names()
    roomy.delete("kept")
    assert "kept" not in roomy.names()
    roomy.limit_memory(dict.fromkeys(roomy.admins, 0))
    wait_for(lambda: roomy.is_written("after", VALUE), "there is room again")
    assert roomy.epoch() == epoch


def test_a_disk_that_runs_full_kills_no_store(tmp_path: Path) -> None:
    floor = 64 * MIB  # half of it is more than is written between two late looks at the disk
    with (
        small_disk(tmp_path, 192) as disk,
        small_fleet(disk, {"LEADPLANE_LIMITS__DISK_FREE_BYTES_MIN": str(floor)}) as fleet,
    ):
        epoch = fleet.epoch()
        value = VALUE * 7
        acknowledged, problem = fleet.fill("fill", value, puts_max=192 * MIB // len(value))
        assert problem.kind == "store-full", problem
        assert "disk has" in str(problem)
        free = os.statvfs(disk)
        assert free.f_bavail * free.f_frsize > floor // 4, "refused too late"
        assert acknowledged <= fleet.names(), "acknowledged and lost"
        gone = min(acknowledged)
        fleet.delete(gone)
        assert not fleet.is_written("refused", value)
        remount(disk, 384)
        wait_for(lambda: fleet.is_written("again", value), "there is room again")
        wait_for(fleet.has_caught_up, "all stores have everything")
        assert acknowledged - {gone} | {"again"} <= fleet.names()
        assert fleet.epoch() == epoch
        assert fleet.none_has_died()


@contextmanager
def small_disk(tmp_path: Path, size_mib: int) -> Iterator[Path]:
    """A file system in memory of that size; only root may make one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system to run full")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        why = f"no small file system can be mounted here: {mounted.stderr.strip()}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def remount(disk: Path, size_mib: int) -> None:
    """Make it larger."""
    subprocess.run(["mount", "-o", f"remount,size={size_mib}m", str(disk)], check=True)
