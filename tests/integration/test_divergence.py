"""A real store whose data was changed behind Leadplane's back: found, named, and left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.fleet_on_test import wait_for
from tests.integration.small_fleet import SmallFleet, small_fleet

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("divergence")]


def test_a_corrupted_store_is_named(tmp_path: Path) -> None:
    with small_fleet(tmp_path) as fleet:
        for number in range(50):
            fleet.put(f"k{number}", b"right")
        wait_for(fleet.has_caught_up, "all stores have everything")
        shard = fleet.shard()
        place, field = f"lp:g:{shard['group']}:kv:{shard['shard']}", "{room}/k7"
        victim = list(fleet.admins)[1]
        before = fleet.admins[victim].hget(place, field)
        rotten = before.replace(b"right", b"wrong")
        assert rotten != before
        fleet.admins[victim].hset(place, field, rotten)
        words = f"holds other data than its peers: {shard['shard']}"
        well = dict.fromkeys(fleet.admins, ("up", ""))
        named = well | {victim: ("up", words)}
        wait_for(lambda: fleet.said_of_stores() == named, "it is named, and no other")
        assert events(fleet, "diverged") == 1
        assert fleet.admins[victim].hget(place, field) == rotten, "nothing mends it in silence"
        fleet.put("k7", b"newer")
        wait_for(lambda: fleet.said_of_stores() == well, "it is equal again")
        assert events(fleet, "diverged") == 1


def events(fleet: SmallFleet, kind: str) -> float:
    """How often something happened, as the node counts it."""
    text = fleet.access.send("GET", "/metrics").body.decode()
    name = f'leadplane_events_total{{kind="{kind}"}} '
    return sum(float(line[len(name) :]) for line in text.splitlines() if line.startswith(name))
