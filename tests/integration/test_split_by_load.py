"""A real fleet splits the shard that is hot, merges what went cold, and tells of a hot partition.

The tests share one fleet of one region, three stores and three nodes, and run in their order.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.bench.bench_fleet import one_region_topology
from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.cli.connection import FleetAccess
from shards.key_in_slot import key_in_slot
from tests.integration.conftest import DOWN_S_MAX, LEADPLANE, UP_S_MAX
from tests.integration.fleet_on_test import AT_ONCE, FleetOnTest, wait_for
from tests.integration.test_resharding import shards

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("split-by-load")]

WRITE_PAUSE_S = 0.005
ANSWER_S_MAX = 10.0
NOTICE_S_MAX = 150.0
POLICY = {
    "requests_per_s": 15, "after_ms": 5_000, "cool_down_ms": 10_000,
    "merge": {"requests_per_s": 3, "after_ms": 10_000, "shards_min": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOnTest]:
    """One region, three nodes, one shard; it is to be split by load."""
    directory = tmp_path_factory.mktemp("split-by-load")
    regions = directory / "regions.yaml"
    regions.write_text(one_region_topology(nodes=3))
    place = ["--dir", str(directory / "fleet")]
    words = ["up", *place, "--regions", str(regions), "--shards", "1", "--detach", "-o", "json"]
    try:
        up = subprocess.run(
            [*LEADPLANE, *words], capture_output=True, text=True, timeout=UP_S_MAX, check=False
        )
        assert up.returncode == 0, up.stderr
        found = FleetOnTest(directory / "fleet")
        want_splits(found.access)
        yield found
    finally:
        subprocess.run(
            [*LEADPLANE, "down", *place], capture_output=True, timeout=DOWN_S_MAX, check=False
        )


def want_splits(access: FleetAccess) -> None:
    """Edit the document `placement`."""
    path = "/v1/config/placement"
    before = access.send("GET", path)
    content = before.document()["content"] | {"split_by_load": POLICY}
    headers = {"Content-Type": "application/json", "If-Match": before.headers["etag"]}
    access.send(
        "PUT", f"{path}?{AT_ONCE}", None, headers, json.dumps({"content": content}).encode()
    )


def by_load(access: FleetAccess, kind: str) -> list[dict[str, Any]]:
    """Reshardings of a kind that nobody ordered, and that are done."""
    return [
        each
        for each in access.items("/v1/reshardings")["items"]
        if (each["principal"], each["kind"], each["phase"]) == ("load", kind, "done")
    ]


def writer(fleet: FleetOnTest, node: int, slots: list[int]) -> NumberedWrites:
    keys = [key_in_slot(slot) for slot in slots]
    url = str(fleet.state()["nodes"][node]["url"])
    return NumberedWrites(url, lambda n: keys[n % len(keys)], WRITE_PAUSE_S, ANSWER_S_MAX)


def test_a_hot_shard_is_split_where_its_load_falls_and_no_write_fails(fleet: FleetOnTest) -> None:
    access = fleet.access
    hot = list(range(1_000, 33_000, 1_000))  # all in a five hundredth of the slots
    with writer(fleet, 0, hot) as one, writer(fleet, 1, hot) as other:
        (split, *_) = wait_for(lambda: by_load(access, "split") or None, "a split", NOTICE_S_MAX)
    cut = split["children"][0]["end_slot"]
    assert 8_000 <= cut <= 26_000, "near the middle of the load, not of the slots"
    assert (one.refusals, other.refusals) == (0, 0)


def test_what_went_cold_becomes_one_again(fleet: FleetOnTest) -> None:
    access = fleet.access
    wait_for(lambda: by_load(access, "merge") or None, "a merge", NOTICE_S_MAX)
    wait_for(lambda: len(shards(access)) == 1, "one shard", NOTICE_S_MAX)


def test_a_hot_partition_is_told_and_its_shard_stays_what_it_is(fleet: FleetOnTest) -> None:
    access = fleet.access
    before = set(shards(access))
    with writer(fleet, 0, [77]), writer(fleet, 1, [77]):

        def look() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = access.get("/v1/placement")["hot_partitions"]
            return found or None

        (found,) = wait_for(look, "a hot partition", NOTICE_S_MAX)
        assert found["partition"] == key_in_slot(77)
        assert found["share"] > 0.9
        wait_for(lambda: is_counted(fleet), "some node counts it")
    assert set(shards(access)) == before


def is_counted(fleet: FleetOnTest) -> bool:
    """Whether the metrics of some node have one hot partition."""
    texts = [
        fleet.at(node["id"]).send("GET", "/metrics").body.decode()
        for node in fleet.state()["nodes"]
    ]
    return any("leadplane_hot_partitions 1.0" in text for text in texts)
