"""`regions force-recover`: what is sent, what is said, and what `status` says of a lost group."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.cli import store_sets
from controlplane.cli.status import verdict
from tests.cli.stub_fleet import StubFleet, leadplane

GROUP = "region/eu-central-1"
PATH = "/v1/regions/groups/region%2Feu-central-1"
LOST = "1 of the 2 dumps that would tell all. Kept is what is left at a."
FORCED: dict[str, Any] = {
    "group": GROUP, "version": 3, "voters": ["a", "b"], "followers": [], "begun": True,
    "left": ["a"], "emptied": ["b"], "silent": ["c"], "dumps": 1, "dumps_needed": 2, "lost": LOST,
}  # fmt: skip


def group(version: int, voters: list[str], **more: Any) -> dict[str, Any]:
    return {
        "group": GROUP, "voters": voters, "followers": [], "quorum": 2, "reachable": 1, "spare": 0,
        "ttl_ms": 2_000, "shards": 4, "led": 4, "version": version, "change": None,
        "lost": [], "forced": None, **more,
    }  # fmt: skip


def test_it_is_sent_with_acceptance_and_waited_for(fleet: StubFleet) -> None:
    fleet.document(f"{PATH}/force-recover", FORCED, "POST", 202)
    fleet.document(PATH, group(1_503, ["a", "b"]))
    done = leadplane("regions", "force-recover", GROUP, "--accept-loss", "--reason", "fire")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"Group {GROUP}: a, b vote now.\n{LOST}\n"
    asked = fleet.last("POST", f"{PATH}/force-recover")
    assert json.loads(asked.body) == {"accept_loss": True}
    assert asked.query == {"reason": "fire"}


def test_a_dry_run_says_what_may_be_lost(fleet: StubFleet) -> None:
    fleet.document(f"{PATH}/force-recover", FORCED | {"begun": False}, "POST")
    done = leadplane("regions", "force-recover", GROUP, "--dry-run")
    assert (done.exit_code, done.stdout) == (0, f"Group {GROUP}: a, b would vote.\n{LOST}\n")
    asked = fleet.last("POST", f"{PATH}/force-recover")
    assert json.loads(asked.body) == {"accept_loss": False}
    assert asked.query == {"dry_run": "true"}


def test_that_it_came_to_nothing_is_an_error(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sets, "LOOK_S", 0.01)
    fleet.document(f"{PATH}/force-recover", FORCED, "POST", 202)
    change = {"state": "given up", "why": "c answers again", "voters": [], "followers": []}
    fleet.document(PATH, group(3, ["a", "b", "c"], change=change))
    done = leadplane("regions", "force-recover", GROUP, "--accept-loss")
    assert done.exit_code == 1
    assert f"nothing was done to {GROUP}: c answers again" in done.stderr


def test_groups_show_which_is_lost_and_which_was_forced(fleet: StubFleet) -> None:
    forced = {"of": 3, "without": ["b", "c"], "by": "ada", "why": "fire"}
    rows = [
        group(3, ["a", "b", "c"], lost=["b", "c"]),
        group(1_503, ["a", "b", "c"], forced=forced),
    ]
    fleet.document("/v1/regions/groups", {"items": rows})
    shown = leadplane("regions", "groups").stdout
    assert "lost: b, c forgot" in shown
    assert "forced by ada, without b, c" in shown


def test_status_says_what_to_do_next() -> None:
    fleet = {
        "groups": [group(3, ["a", "b", "c"], lost=["b", "c"])], "shards_total": 4, "shards_led": 0,
        "stores": [], "regions": [], "nodes": [], "global_leader": None,
    }  # fmt: skip
    found = verdict(fleet)
    assert (found.colour, found.page) == ("red", "docs/runbooks/store-lost.md")
    assert found.sentence == (
        f"Lost: too few stores remember {GROUP}. If none has its data any more, "
        f"see `leadplane regions force-recover {GROUP} --dry-run`."
    )
