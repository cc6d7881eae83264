"""What the nodes of a real fleet count when a leader of theirs is killed."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.fleet_on_test import MEND_S_MAX, FleetOnTest, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]

HOME = "region/eu-central-1"
SLACK_S = 10.0
"""What a busy machine may add to a failover."""
SERIES_MAX = 1_000
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
CHANGES = 'leadplane_leader_changes_total{cause="unplanned"}'
TOOK = 'leadplane_election_seconds_%s{cause="unplanned"}'
SECONDS = 'leadplane_leader_shard_seconds_total{group="%s",leader="%s"}'

Samples = dict[str, float]


def metrics_of(fleet: FleetOnTest, node: str) -> Samples:
    """The samples of one node, by their names with labels."""
    text = fleet.at(node).send("GET", "/metrics").body.decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    return {name: float(value) for name, value in lines}


def grown(before: Samples, after: Samples, name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def test_every_series_of_a_real_node_is_on_the_page(fleet: FleetOnTest) -> None:
    page = PAGE.read_text("utf-8")
    for node in fleet.state()["nodes"]:
        found = metrics_of(fleet, node["id"])
        assert len(found) < SERIES_MAX
        for series in found:
            name = re.sub(r"_(bucket|count|sum)$", "", series.partition("{")[0])
            assert f"`{name}`" in page or name.startswith(("process_", "python_")), series


def test_renewals_that_are_due_are_done(fleet: FleetOnTest) -> None:
    node = fleet.state()["nodes"][0]["id"]
    due, done = (
        f'leadplane_renewals_{word}_total{{group="{HOME}"}}' for word in ("expected", "done")
    )
    before = metrics_of(fleet, node)

    def look() -> Samples | None:
        after = metrics_of(fleet, node)
        return after if grown(before, after, due) >= 10 else None

    after = wait_for(look, "ten rounds of renewals")
    assert 0 < grown(before, after, done) <= grown(before, after, due) + 1


def test_a_killed_leader_is_told_of_by_those_that_are_left(fleet: FleetOnTest) -> None:
    shard = fleet.shard(HOME)
    leader = shard["leader"]["node"]
    rows = fleet.access.items("/v1/shards", limit=100)["items"]
    homes = [row for row in rows if row["group"] == HOME and row["leader"]]
    lost = [row for row in homes if row["leader"]["node"] == leader]
    others = [node["id"] for node in fleet.state()["nodes"] if node["id"] != leader]
    before = {node: metrics_of(fleet, node) for node in others}
    with fleet.writes(shard, "counted") as writer:
        epoch, killed_s = writer.acks[-1].epoch, time.monotonic()
        assert fleet.process("nodes", leader).signal(signal.SIGKILL)
        assert writer.wait_for_epoch_after(epoch, MEND_S_MAX) is not None, "nobody took over"
        gap_s = writer.longest_gap_ms(killed_s) / 1_000
    fleet.until_whole()

    def total(name: str) -> float:
        return sum(grown(before[node], metrics_of(fleet, node), name) for node in others)

    wait_for(lambda: total(CHANGES) >= len(lost), "who leads now counts that it does")
    took_s = total(TOOK % "sum") / total(TOOK % "count")
    ttl_s = fleet.ttl_ms(HOME) / 1_000
    assert ttl_s / 4 < took_s < gap_s + ttl_s + SLACK_S

    def judged() -> bool:
        """Whether most of the others saw the shards without a leader for about so long."""
        name = SECONDS % (HOME, "none")
        seen_s = sorted(grown(before[node], metrics_of(fleet, node), name) for node in others)
        return seen_s[len(seen_s) // 2] >= len(lost) * ttl_s / 4

    wait_for(judged, "the middle of all judgements")
    for node in others:
        after = metrics_of(fleet, node)
        assert after["leadplane_stale_operations_accepted_total"] == 0
        assert after["leadplane_orphaned_tasks"] == 0
        assert grown(before[node], after, SECONDS % (HOME, "valid")) > 0

    def calm() -> bool:
        found = [metrics_of(fleet, node) for node in others]
        name = f'leadplane_leaderless_shards{{group="{HOME}"}}'
        return all(each[name] == 0 for each in found)

    wait_for(calm, "nobody sees a shard without a leader any more")
