"""Real copies rest where hardly anybody reads, and follow again where somebody does.

Shards that survive a zone vote in one of the three regions, and have a copy in each of the others.
The tests run in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from controlplane.cli.connection import Problem
from controlplane.cli.kv import key_path
from shards.key_in_slot import key_in_slot
from tests.integration.fleet_on_test import AT_ONCE, FleetOnTest, wait_for
from tests.integration.test_rollouts import until_over

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

NOTICE_S_MAX = 90.0
POLICY = {"after_ms": 5_000, "keep_ms": 10_000}
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-1")
VALUE = b"v" * 2_000
MS_MAX = 2_000


@pytest.fixture(scope="module")
def content(started_fleet: FleetOnTest) -> Iterator[dict[str, Any]]:
    """The document `placement` as it was. While these tests run, copies may rest, and regions are
    far from each other, as far as is known."""
    fleet = started_fleet
    fleet.until_whole()
    ways = fleet.access.get("/v1/config/latency")["content"]
    before: dict[str, Any] = fleet.access.get("/v1/config/placement")["content"]
    apart = {a: {b: 100.0 for b in REGIONS if b != a} for a in REGIONS}
    put(fleet, "latency", ways | {"round_trip_ms": apart})
    put(fleet, "placement", before | {"followers_by_reads": POLICY})
    yield before
    put(fleet, "placement", before)
    put(fleet, "latency", ways)


def put(fleet: FleetOnTest, name: str, content: Mapping[str, Any]) -> None:
    """Edit a document."""
    path = f"/v1/config/{name}"
    etag = fleet.access.send("GET", path).headers["etag"]
    headers = {"Content-Type": "application/json", "If-Match": etag}
    body = json.dumps({"content": content}).encode()
    edited = fleet.access.send("PUT", f"{path}?{AT_ONCE}", None, headers, body).document()
    if edited["rollout"] is not None:
        until_over(fleet.access, edited["rollout"])


class Watched:
    """One shard, and the region from which it is read or is not."""

    def __init__(self, fleet: FleetOnTest) -> None:
        self.fleet = fleet
        rows = fleet.access.items("/v1/shards")["items"]
        row = next(r for r in rows if r["group"].startswith("region/") and r["leader"])
        self.shard, self.key = row["shard"], key_in_slot(row["first_slot"])
        home = row["leader"]["region"]
        self.region = next(each for each in REGIONS if each != home)
        nodes = fleet.state()["nodes"]
        node = next(n["id"] for n in nodes if str(n["id"]).startswith(self.region))
        self.there = fleet.by_way_of(node)

    def write(self, value: bytes) -> None:
        self.fleet.access.send("PUT", key_path(self.key), body=value)

    def read(self, how: str = "bounded") -> tuple[bytes, str, int]:
        """What a client in the region reads: the value, who answered as what, how old at most."""
        more = {"max_staleness_ms": str(MS_MAX)} if how == "bounded" else {}
        reply = self.there.send("GET", key_path(self.key), {"consistency": how, **more})
        age = reply.headers["leadplane-staleness-ms"]
        return reply.body, reply.headers["leadplane-role"], int(age)

    def replicas_in(self) -> set[str]:
        """Regions in which it has replicas, as is known in that region."""
        return {each["region"] for each in self.there.get(f"/v1/shards/{self.shard}")["replicas"]}

    def is_no_follower(self) -> bool:
        """Whether the node there says that it does not follow."""
        try:
            self.there.get(f"/v1/shards/{self.shard}/role/follower")
        except Problem as problem:
            return problem.status == 503
        return False

    def explained(self) -> dict[str, Any]:
        """What is told of the copy in that region."""
        followers = self.fleet.access.get(f"/v1/shards/{self.shard}/explain")["followers"]
        (there,) = [each for each in followers if each["region"] == self.region]
        found: dict[str, Any] = there
        return found

    def rests(self) -> bool:
        return self.region in self.fleet.row(self.shard)["rests_in"]


@pytest.fixture(scope="module")
def watched(started_fleet: FleetOnTest, content: dict[str, Any]) -> Watched:
    return Watched(started_fleet)


def test_a_copy_that_nobody_reads_rests_and_reads_there_are_as_good_as_before(
    watched: Watched,
) -> None:
    watched.write(VALUE + b"0")
    wait_for(lambda: watched.read()[1] == "follower", "its copy has it")

    def written_and_resting() -> bool:
        watched.write(VALUE)
        return watched.rests()

    wait_for(written_and_resting, "its copy rests", NOTICE_S_MAX)

    def read_at_the_leader() -> bytes | None:
        watched.write(VALUE + b"1")  # what it had when it began to rest, it may go on answering
        value, role, _ = watched.read()
        return value if role == "leader" else None

    assert wait_for(read_at_the_leader, "the leader answers") == VALUE + b"1"
    wait_for(lambda: watched.region not in watched.replicas_in(), "it is no replica any more")
    wait_for(watched.is_no_follower, "its node is no follower any more")
    wait_for(lambda: watched.there.get("/v1/placement")["copies_resting"] >= 1, "it is counted")


def test_a_copy_that_is_read_again_follows_and_says_how_old_it_is(watched: Watched) -> None:
    def read_and_following() -> bool:
        watched.read()
        return not watched.rests()

    wait_for(read_and_following, "its copy follows", NOTICE_S_MAX)
    found = wait_for(
        lambda: each if (each := watched.read())[1] == "follower" else None, "it answers"
    )
    assert found[0] == VALUE + b"1"
    for number in range(20):
        value = VALUE + b"n%d" % number
        watched.write(value)
        seen, role, age_ms = wait_for(watched.read, "a bounded read")
        if role == "follower" and seen != value:
            assert age_ms <= MS_MAX
    final = VALUE + b"n19"
    wait_for(lambda: watched.read() if watched.read()[0] == final else None, "it is up to date")


def test_events_explanations_and_the_audit_log_tell_of_it(watched: Watched) -> None:
    access = watched.fleet.access

    def is_explained() -> bool:
        watched.read()  # if nobody did for a while, it would rest again
        there = watched.explained()
        follows = there["rests"] is False and there["since_ms"] is not None
        return follows and there["saves_usd"] > there["costs_usd"] > 0

    wait_for(is_explained, "it is explained", NOTICE_S_MAX)

    def recorded() -> set[bool]:
        records = access.items("/v1/audit", limit=1_000)["items"]
        told = [r for r in records if (r["kind"], r["subject"]) == ("follower", watched.shard)]
        return {r["after"]["rests"] for r in told if r["after"]["region"] == watched.region}

    wait_for(lambda: recorded() == {True, False}, "both are recorded")


def test_all_follow_again_when_nobody_wants_copies_to_rest(
    watched: Watched, content: dict[str, Any]
) -> None:
    put(watched.fleet, "placement", content)
    access = watched.fleet.access
    wait_for(lambda: access.get("/v1/placement")["copies_resting"] == 0, "all follow", NOTICE_S_MAX)
