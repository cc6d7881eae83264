"""Plans that change voters, on a real fleet: shards go to other stores while clients write.

The tests share one fleet of four regions, of which one has three zones, and run in their order.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from controlplane.backup.archive import open_backup
from controlplane.bench.numbered_writes import NumberedWrites
from controlplane.cli.connection import FleetAccess, Problem
from controlplane.cli.kv import key_path
from controlplane.embedded import free_ports
from tests.integration.conftest import DOWN_S_MAX, LEADPLANE, UP_S_MAX
from tests.integration.fleet_on_test import AT_ONCE, MEND_S_MAX, FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("voters")]

REGIONS = ("ap", "eu", "sa", "us")
ZONES = {"ap": "a", "eu": "abc", "sa": "a", "us": "a"}
FIRST = ("ap", "eu", "us")
CLIENT = "sa-n1"
"""By way of which clients write: it never leads the system shard, and lives."""
SHARDS = 3
PARTITIONS = 12
RTT_MS = 2.0
TTL_MS = 2_000
WRITE_PAUSE_S = 0.005
ANSWER_S_MAX = 10.0
MOVED_S_MAX = 120.0
PLACEMENT = {
    "usd_per_ms_per_million_requests": {"reads": 0.01, "writes": 0.01},
    "churn_budget": {"leaders_share_max": 1.0, "bytes_share_max": 1.0},
    "hysteresis": {"gain_usd_per_month_min": 10_000, "residence_min_ms": 0},
    "move_rate": {"leaders_per_minute_max": 600},
    "assumptions": {"strong_read_share": 0.5, "shard_bytes": 100_000},
    "moves": {"suspect_ms": 2_000, "cold_start_ms": 5_000, "brake_share": 1.0},
}


def four_regions() -> str:
    """A document of four regions, of which three vote on everything."""
    ports = iter(free_ports(13))
    lines = ["format: 1", "regions:"]
    lines += [
        f"  - {{name: {name}, latitude: {at}, longitude: 0, zones: [{', '.join(ZONES[name])}]}}"
        for at, name in enumerate(REGIONS)
    ]
    lines.append("stores:")
    lines += [
        f"  - {{id: {name}-{zone}, region: {name}, zone: {zone}, host: 127.0.0.1, "
        f"port: {next(ports)}}}"
        for name in REGIONS
        for zone in ZONES[name]
    ]
    lines.append("nodes:")
    lines += [
        f"  - {{id: {name}-n{number}, region: {name}, host: 127.0.0.1, port: {next(ports)}}}"
        for name in REGIONS
        for number in range(1, 2 if name == "sa" else 3)
    ]
    voters = ", ".join(f"{name}-a" for name in FIRST)
    lines += ["groups:", f"  - name: global\n    stores: [{voters}]\n    followers: [sa-a]"]
    lines.append(f"    ttl_ms: {TTL_MS}")
    for what, figure in (("rtt_ms", RTT_MS), ("egress_usd_per_gb", 0.02)):
        lines.append(f"{what}:")
        for here in REGIONS:
            row = ", ".join(f"{there}: {figure}" for there in REGIONS if there != here)
            lines.append(f"  {here}: {{{row}}}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOnTest]:
    """Four regions; all shards are in the group of three of them."""
    directory = tmp_path_factory.mktemp("voters")
    regions = directory / "regions.yaml"
    regions.write_text(four_regions())
    place = ["--dir", str(directory / "fleet")]
    words = ["up", *place, "--regions", str(regions), "--shards", str(SHARDS)]
    words += ["--survival", "region", "--detach", "-o", "json"]
    try:
        up = subprocess.run(
            [*LEADPLANE, *words], capture_output=True, text=True, timeout=UP_S_MAX, check=False
        )
        assert up.returncode == 0, up.stderr
        fleet = FleetOnTest(directory / "fleet")
        put(fleet.access, "placement", PLACEMENT)
        yield fleet
    finally:
        subprocess.run(
            [*LEADPLANE, "down", *place], capture_output=True, timeout=DOWN_S_MAX, check=False
        )


def send(access: FleetAccess, method: str, path: str, body: Any, **headers: str) -> Any:
    """The document that an order is answered with."""
    named = {"Content-Type": "application/json", **headers}
    return access.send(method, path, headers=named, body=json.dumps(body).encode()).document()


def put(access: FleetAccess, name: str, content: Any) -> None:
    path = f"/v1/config/{name}?{AT_ONCE}"
    edited = send(access, "PUT", path, {"content": content}, **{"If-Match": "*"})
    number = edited["rollout"]
    wait_for(lambda: access.get(f"/v1/rollouts/{number}")["over"], f"{name} is in force")


def keep_out_of(access: FleetAccess, region: str) -> None:
    """From now on no shard may be kept in a region."""
    put(access, "constraints", {"residency": [{"name": "out", "shards": "*", "deny": [region]}]})


def planned(access: FleetAccess) -> dict[str, Any]:
    plan: dict[str, Any] = send(access, "POST", "/v1/placement/plan", {"scope": "all"})
    return plan


def survive(access: FleetAccess, goal: str) -> None:
    """From now on every shard has to outlive the loss of a zone, or of a region."""
    put(access, "constraints", {"survival": [{"name": "all", "shards": "*", "goal": goal}]})


def plan_for_all(access: FleetAccess) -> dict[str, Any]:
    """A plan that gives every shard other voters."""

    def look() -> dict[str, Any] | None:
        plan = planned(access)
        changed = [move for move in plan["moves"] if move["add"] or move["remove"]]
        return plan if len(changed) == len(plan["moves"]) == SHARDS else None

    return wait_for(look, "a plan that moves every shard", MOVED_S_MAX)


def until_done(access: FleetAccess, number: int) -> dict[str, Any]:
    """The order, when its last shard has arrived."""

    def look() -> dict[str, Any] | None:
        order: dict[str, Any] | None = access.get("/v1/placement")["order"]
        return order if order and (order["number"], order["state"]) == (number, "done") else None

    return wait_for(look, f"order {number} is done", MOVED_S_MAX)


def is_under_way(access: FleetAccess, number: int) -> bool:
    """Whether the first shard of an order has arrived."""
    order = access.get("/v1/placement")["order"]
    return bool(order and order["number"] == number and order["done"])


def until_in(access: FleetAccess, group: str) -> None:
    """Wait until whoever is asked knows that all shards are in this group."""
    wait_for(lambda: set(groups_of_shards(access).values()) == {group}, f"all are in {group}")


def groups_of_shards(access: FleetAccess) -> dict[str, str]:
    rows = access.items("/v1/shards")["items"]
    return {row["shard"]: row["group"] for row in rows if row["end_slot"]}


def regions_of(access: FleetAccess, group: str) -> set[str]:
    """The regions that vote in a group, as soon as the node that is asked knows it."""
    path = f"/v1/regions/groups/{quote(group, safe='')}"
    voters = wait_for(lambda: access.get(path), f"{group} is known")["voters"]
    return {voter.partition("-")[0] for voter in voters}


def voting_regions(access: FleetAccess) -> set[int]:
    """In how many regions there are voters of shards."""
    there = set(groups_of_shards(access).values())
    return {len(regions_of(access, group)) for group in there}


def key_of(chapter: str, number: int) -> str:
    return f"{{p{number % PARTITIONS}}}/{chapter}/{number:06}"


def lost(access: FleetAccess, chapter: str, writer: NumberedWrites) -> set[int]:
    """Acknowledged numbers that strong scans of all partitions do not find."""
    stored: set[int] = set()
    for partition in (f"p{n}" for n in range(PARTITIONS)):
        prefix = f"{{{partition}}}/{chapter}/"
        after = access.items("/v1/kv", partition=partition, prefix=prefix, limit=1_000)
        stored |= {int(item["key"].rsplit("/", 1)[1]) for item in after["items"]}
    return {ack.number for ack in writer.acks} - stored


def test_a_plan_makes_a_group_and_moves_shards_there_and_no_write_fails(
    fleet: FleetOnTest,
) -> None:
    access = fleet.access
    until_in(access, "global")
    keep_out_of(access, "eu")
    plan = plan_for_all(access)
    url = str(fleet.record("nodes", CLIENT)["url"])
    with NumberedWrites(url, lambda n: key_of("away", n), WRITE_PAUSE_S, ANSWER_S_MAX) as writer:
        assert writer.wait_for_number(50, MEND_S_MAX)
        order = send(access, "POST", "/v1/placement/apply", {"plan": plan["plan"]})
        done = until_done(access, order["number"])
        assert writer.wait_for_number(len(writer.acks) + 50, MEND_S_MAX)
    assert (done["moved"], done["skipped"]) == (SHARDS, [])
    until_in(access, "multi/ap+sa+us")
    assert writer.refusals == 0
    assert lost(access, "away", writer) == set()
    wait_for(lambda: planned(access)["moves"] == [], "nothing is left to move")


def test_a_group_that_was_made_is_there_in_a_restored_fleet(
    fleet: FleetOnTest, tmp_path: Path
) -> None:
    put_one = key_path(key_of("kept", 1))
    fleet.access.send("PUT", put_one, body=b"here")
    file, regions, place = tmp_path / "fleet.leadplane", tmp_path / "regions.yaml", tmp_path / "new"
    regions.write_text(four_regions())
    steps = (
        ["backup", str(file), "--dir", str(fleet.directory)],
        ["up", "--dir", str(place), "--regions", str(regions), "--restore", str(file), "--detach"],
    )
    try:
        for words in steps:
            done = subprocess.run(
                [*LEADPLANE, *words], capture_output=True, text=True, timeout=UP_S_MAX, check=False
            )
            assert done.returncode == 0, done.stderr
        restored = FleetOnTest(place).access
        assert restored.send("GET", put_one).body == b"here"
        assert set(groups_of_shards(restored).values()) == {"multi/ap+sa+us"}
    finally:
        subprocess.run(
            [*LEADPLANE, "down", "--dir", str(place)],
            capture_output=True, timeout=DOWN_S_MAX, check=False,
        )  # fmt: skip


def test_moves_go_on_when_the_global_leader_is_killed_among_them(fleet: FleetOnTest) -> None:
    access = fleet.access
    keep_out_of(access, "sa")
    plan = plan_for_all(access)
    leader = fleet.leader()
    url = str(fleet.record("nodes", CLIENT)["url"])
    with NumberedWrites(url, lambda n: key_of("back", n), WRITE_PAUSE_S, ANSWER_S_MAX) as writer:
        assert writer.wait_for_number(50, MEND_S_MAX)
        order = send(access, "POST", "/v1/placement/apply", {"plan": plan["plan"]})
        wait_for(lambda: is_under_way(access, order["number"]), "the first move is done")
        assert fleet.process("nodes", leader).signal(signal.SIGKILL)
        done = until_done(access, order["number"])
        assert writer.wait_for_number(len(writer.acks) + 50, MEND_S_MAX)
    assert (done["moved"], done["skipped"]) == (SHARDS, [])
    until_in(access, "global")
    assert lost(access, "back", writer) == set()


def test_a_group_in_which_nothing_is_any_more_is_dropped_and_every_node_leaves_it(
    fleet: FleetOnTest,
) -> None:
    access, group = fleet.access, "multi/ap+sa+us"
    # The node that was killed tells of what it knows as soon as it is back.
    wait_for(lambda: group in groups_of_node(access), "the group is known")
    path = f"/v1/regions/groups/{quote(group, safe='')}/drop"
    wait_for(lambda: is_dropped(access, path), "nothing is left of what was there")
    nodes = [node["node"] for node in access.items("/v1/nodes")["items"] if node["alive"]]
    assert nodes
    wait_for(
        lambda: not any(group in groups_of_node(fleet.at(node)) for node in nodes),
        "every node leaves it",
    )
    with pytest.raises(Problem, match="was there from the start"):
        send(access, "POST", "/v1/regions/groups/global/drop", {})


def test_a_backup_asks_no_majority_of_a_group_that_was_dropped(
    fleet: FleetOnTest, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.leadplane"
    words = [*LEADPLANE, "backup", str(file), "--dir", str(fleet.directory)]
    with asleep(fleet.process("stores", "ap-a")), asleep(fleet.process("stores", "sa-a")):
        refused = subprocess.run(
            words, capture_output=True, text=True, timeout=UP_S_MAX, check=False
        )
    assert "group region/ap has no majority" in refused.stderr, "it is the first, but for that one"

    def is_backed_up() -> bool:
        done = subprocess.run(words, capture_output=True, timeout=UP_S_MAX, check=False)
        return done.returncode == 0

    wait_for(is_backed_up, "the fleet is backed up")
    with open_backup(file) as backup:
        kept = {group.group for group in backup.manifest.groups}
    assert kept == {"global", *(f"region/{name}" for name in REGIONS)}


def is_dropped(access: FleetAccess, path: str) -> bool:
    """Drop a group; one that is not known any more was dropped by an order that got no answer."""
    try:
        send(access, "POST", path, {})
    except Problem as problem:
        if problem.kind != "unknown-group":
            raise
    return True


def groups_of_node(access: FleetAccess) -> set[str]:
    """The groups that a node knows."""
    return {each["group"] for each in access.items("/v1/regions/groups")["items"]}


def test_what_shards_survive_is_changed_to_a_zone_and_back_and_no_write_fails(
    fleet: FleetOnTest,
) -> None:
    access = fleet.access
    url = str(fleet.record("nodes", CLIENT)["url"])
    with NumberedWrites(url, lambda n: key_of("goal", n), WRITE_PAUSE_S, ANSWER_S_MAX) as writer:
        for goal, voting in (("zone", 1), ("region", 3)):
            survive(access, goal)
            plan = plan_for_all(access)
            order = send(access, "POST", "/v1/placement/apply", {"plan": plan["plan"]})
            done = until_done(access, order["number"])
            assert (done["moved"], done["skipped"]) == (SHARDS, [])
            wait_for(lambda voting=voting: voting_regions(access) == {voting}, f"{goal}: there")
            wait_for(lambda: planned(access)["moves"] == [], "nothing is left to move")
        assert writer.wait_for_number(len(writer.acks) + 50, MEND_S_MAX)
    assert writer.refusals == 0
    assert lost(access, "goal", writer) == set()
