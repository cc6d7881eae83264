"""Events and history at a real fleet: a handover is seen by both, at any node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("fleet")]


@pytest.fixture
def whole(fleet: FleetOnTest, monkeypatch: pytest.MonkeyPatch) -> FleetOnTest:
    """The fleet, for `leadplane` in this process."""
    urls = ",".join(str(node["url"]) for node in fleet.state()["nodes"])
    monkeypatch.setenv("LEADPLANE_URL", urls)
    return fleet


def told(*arguments: str) -> list[dict[str, Any]]:
    """What a command lists."""
    result = leadplane(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["items"]
    return found


def test_a_handover_is_seen_in_events_and_history(whole: FleetOnTest) -> None:
    row = whole.shard("global")
    shard, before = row["shard"], row["leader"]["node"]
    region = next(r for r in row["regions"] if r != row["leader"]["region"])
    moved = leadplane(
        "shards", "transfer", shard, "--to-region", region, "--reason", "it-seen", "--force"
    )
    assert moved.exit_code == 0, moved.output

    def seen() -> list[dict[str, Any]] | None:
        found = told("events", "--since", "1h", "--shard", shard)
        return found if any(e["epoch"] > row["epoch"] for e in found) else None

    events = wait_for(seen, "the election is kept")
    after = next(e for e in events if e["kind"] == "elected" and e["epoch"] > row["epoch"])
    assert (after["region"], after["group"]) == (region, "global")
    assert (after["detail"]["cause"], after["detail"]["before"]) == ("planned", before)
    wait_for(
        lambda: [
            e for e in told("events", "--kind", "transferred", "--shard", shard, "--node", before)
            if e["epoch"] == row["epoch"] and e["detail"]["to"] == after["node"]
        ] or None,
        "the handover is kept, too",
    )  # fmt: skip
    for node in whole.state()["nodes"]:
        wait_for(
            lambda at=node["id"]: [  # type: ignore[misc]
                e for e in told("events", "--shard", shard, "--at", at)
                if e["sequence"] == after["sequence"]
            ] or None,
            f"{node['id']} has it, too",
        )  # fmt: skip
    tenures = told("history", shard)
    last = next(t for t in tenures if t["epoch"] == after["epoch"])
    assert (last["node"], last["before"], last["ended"]) == (after["node"], before, "transferred")
    assert last["cause"] == "planned"
    assert last["unled_ms"] < 2_000
    drawn = leadplane("history", shard).stdout
    assert "No two tenures overlap" in drawn


def test_a_leader_that_is_lost_is_in_both_with_how_long_nobody_led(whole: FleetOnTest) -> None:
    row = whole.shard("global")
    shard, before = row["shard"], row["leader"]["node"]
    with asleep(whole.process("nodes", before)):
        (after, *_) = wait_for(
            lambda: [
                e for e in told("events", "--shard", shard, "--kind", "elected")
                if e["epoch"] > row["epoch"]
            ] or None,
            "the failover is kept",
        )  # fmt: skip
        assert (after["detail"]["cause"], after["node"] != before) == ("unplanned", True)
        assert after["detail"]["unled_ms"] > 0
        tenure = next(t for t in told("history", shard) if t["epoch"] == after["epoch"])
        assert tenure["cause"] == "unplanned"
        assert 0 < tenure["unled_ms"] <= after["detail"]["unled_ms"]
