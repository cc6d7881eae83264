"""D1 and D2: a region that is cut off and comes back, and leaders that do not come to rest.

On a fleet of their own: what shows them looks back a quarter of an hour.
"""

from __future__ import annotations

import pytest

from controlplane.cli.connection import Problem
from tests.alerts.provoking import pass_around, writing
from tests.alerts.watched_fleet import WatchedFleet
from tests.cli.stub_fleet import leadplane
from tests.drills.book import Book
from tests.drills.drill import drilled
from tests.drills.provoking import NAMED, a_node, all_ways_of, led_by, path_in, replay
from tests.drills.signals import Fires, Grows
from tests.integration.runbook_reader import RunbookReader

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("drills")]


def test_leaders_change_again_and_again(watched: WatchedFleet, book: Book) -> None:
    fault = "a shard is handed from node to node, six times"
    with drilled(watched, book, "D2", fault, Fires("LeadplaneFlapping")) as drill:
        pass_around(watched, "s03", 3)
        drill.strikes()
        pass_around(watched, "s03", 3)
        drill.doctor_finds("rest", "s03")
        drill.status_says("At risk: leaders of s03 change again and again.", "flapping")
        drill.is_seen()
        reader = RunbookReader("docs/runbooks/flapping.md")
        assert "transferred" in reader.look(), "why epochs end"
        pause = 'leadplane placement pause --for-minutes 30 --reason "leaders change too often"'
        reader.does(pause)
        for node in watched.nodes:
            watched.do(watched.fleet.kill(node))
        drill.is_repaired("`placement pause`; nodes are started anew, since each counts 15 minutes")
        drill.is_over()
        assert leadplane("placement", "resume").exit_code == 0


def test_a_region_is_cut_off_with_a_leader_and_comes_back(
    watched: WatchedFleet, book: Book
) -> None:
    node, shard = a_node(watched), "s01"
    region = watched.region_of(node)
    led_by(watched, shard, node)
    fault = "a region is cut off, with the leader of a shard and a write under way"
    signal = Fires("LeadplaneRegionDown", {"region": region})
    with drilled(watched, book, "D1", fault, signal) as drill:
        path = path_in(watched, shard)
        with writing(watched, shard, **NAMED) as (_, outcome):
            drill.strikes()
            watched.do(watched.fleet.ways.cut("sides", all_ways_of(watched, region)))
            drill.doctor_finds("regions", region)
            drill.status_says("", "region-lost")
            drill.is_seen()
        with pytest.raises(Problem) as refused:
            outcome.result()
        assert refused.value.kind == "unknown-outcome"
        there = RunbookReader("docs/runbooks/split-brain.md").types(
            "leadplane status --at us-east-1", yours={"us-east-1": region}
        )
        assert there.stdout.startswith("Unavailable: no quorum in global"), there.stdout
        fault, signal = "both sides meet again", Grows("leadplane_fenced_operations_total")
        with drilled(watched, book, "D1", fault, signal, within=True) as meeting:
            meeting.strikes()
            watched.do(watched.fleet.ways.mend("sides", loses=True))
            drill.is_repaired("the network")
            meeting.doctor_finds("fenced writes", node)
            meeting.is_seen()
            meeting.status_says("Healthy", None)
            replay(watched, node, shard)
            meeting.is_repaired("`fenced replay`")
            meeting.is_over_when(lambda: agree(watched), "all nodes name the same leaders")
            meeting.doctor_is_well("fenced writes")
        drill.is_over()
    assert watched.access.send("GET", path).body == b"v"
    taken = watched.prometheus.ever("max(leadplane_stale_operations_accepted_total)")
    assert {value for each in taken for _, value in each["values"]} == {"0"}


def agree(watched: WatchedFleet) -> bool:
    """Whether all nodes know the same leaders, with their epochs."""
    seen = [watched.at(node).items("/v1/shards", limit=100)["items"] for node in watched.nodes]
    led = [{row["shard"]: (row["leader"], row["epoch"]) for row in rows} for rows in seen]
    return all(each == led[0] for each in led)
