"""`regions groups` and `regions stores`: what is sent, what is waited for, what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.cli import store_sets
from controlplane.cli.status import merged
from tests.cli.stub_fleet import StubFleet, leadplane

GROUP = "region/eu-central-1"
PATH = "/v1/regions/groups/region%2Feu-central-1"
WANTED = {
    "group": GROUP, "version": 3, "voters": ["a", "b", "d"], "followers": [], "begun": True,
    "ttl_ms": 2_000,
}  # fmt: skip


def group(version: int, voters: list[str], change: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "group": GROUP, "voters": voters, "followers": [], "quorum": 2, "reachable": 3, "spare": 1,
        "ttl_ms": 2_000, "shards": 4, "led": 4, "version": version, "change": change,
        "set_ttl_ms": 2_000, "needed_ttl_ms": 500,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("add", GROUP, "d"), {"action": "add", "store": "d", "follower": False}),
        (("add", GROUP, "d", "--follower"), {"action": "add", "store": "d", "follower": True}),
        (("remove", GROUP, "c"), {"action": "remove", "store": "c"}),
        (
            ("replace", GROUP, "c", "--by", "d"),
            {"action": "replace", "store": "c", "by": "d"},
        ),
    ],
)
def test_an_order_is_sent_and_waited_for(
    fleet: StubFleet, words: tuple[str, ...], body: dict[str, Any]
) -> None:
    fleet.document(f"{PATH}/changes", WANTED, "POST", 202)
    fleet.document(PATH, group(4, ["a", "b", "d"]))
    done = leadplane("regions", "stores", *words, "--reason", "it is old")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"Group {GROUP}: a, b, d vote now.\n"
    asked = fleet.last("POST", f"{PATH}/changes")
    assert json.loads(asked.body) == body
    assert asked.query == {"reason": "it is old"}


def test_how_far_it_is_is_told_until_patience_ends(
    fleet: StubFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sets, "PATIENCE_S", 0.05)
    monkeypatch.setattr(store_sets, "LOOK_S", 0.01)
    fleet.document(f"{PATH}/changes", WANTED, "POST", 202)
    change = {"state": "minted", "why": "d has not caught up", "voters": [], "followers": []}
    fleet.document(PATH, group(3, ["a", "b", "c"], change))
    done = leadplane("regions", "stores", "add", GROUP, "d")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{GROUP}: minted: d has not caught up\nerror: ")
    assert "regions groups --watch" in done.stderr


def test_that_another_change_came_first_is_said(fleet: StubFleet) -> None:
    fleet.document(f"{PATH}/changes", WANTED, "POST", 202)
    fleet.document(PATH, group(4, ["a", "b", "e"]))
    done = leadplane("regions", "stores", "replace", GROUP, "c", "--by", "d")
    assert done.exit_code == 1
    assert "another change of region/eu-central-1 came first: a, b, e vote" in done.stderr


def test_that_another_change_came_before_a_followers_is_said(fleet: StubFleet) -> None:
    fleet.document(f"{PATH}/changes", {**WANTED, "followers": ["f"]}, "POST", 202)
    fleet.document(PATH, {**group(4, ["a", "b", "d"]), "followers": ["e"]})
    done = leadplane("regions", "stores", "add", GROUP, "f", "--follower")
    assert done.exit_code == 1
    assert "came first: a, b, d vote, e follow" in done.stderr


def test_another_lease_is_waited_for_and_seen_in_the_listing(fleet: StubFleet) -> None:
    fleet.document(f"{PATH}/lease", WANTED | {"ttl_ms": 3_000}, "POST", 202)
    present = group(4, ["a", "b", "d"]) | {"ttl_ms": 3_000, "set_ttl_ms": 3_000}
    fleet.document(PATH, present)
    done = leadplane("regions", "lease", GROUP, "3000", "--reason", "it is far")
    assert (done.exit_code, done.stdout) == (0, f"Leases of group {GROUP} last 3,000 ms.\n")
    assert json.loads(fleet.last("POST", f"{PATH}/lease").body) == {"ttl_ms": 3_000}
    fleet.document(PATH, group(4, ["a", "b", "d"]))
    done = leadplane("regions", "lease", GROUP, "3000")
    assert done.exit_code == 1
    assert "came first: a, b, d vote, with leases of 2,000 ms" in done.stderr


def test_a_lease_that_is_unsafe_is_named_in_the_listing(fleet: StubFleet) -> None:
    unsafe = group(4, ["a", "b", "d"]) | {"needed_ttl_ms": 3_200}
    fleet.document("/v1/regions/groups", {"items": [unsafe]})
    listed = leadplane("regions", "groups", columns=200).stdout
    assert "unsafe: round trips need a lease of 3,200 ms" in listed
    fleet.document("/v1/regions/groups", {"items": [group(4, ["a", "b", "d"])]})
    assert "unsafe" not in leadplane("regions", "groups", columns=200).stdout


@pytest.mark.parametrize(
    ("option", "begun", "said"),
    [
        ("--dry-run", False, f"Group {GROUP}: a, b, d would vote as version 4.\n"),
        ("--no-wait", True, f"Group {GROUP}: a, b, d are wanted as voters.\n"),
    ],
)
def test_what_is_not_waited_for(fleet: StubFleet, option: str, begun: bool, said: str) -> None:
    fleet.document(f"{PATH}/changes", WANTED | {"begun": begun}, "POST", 202)
    done = leadplane("regions", "stores", "replace", GROUP, "c", "--by", "d", option)
    assert (done.exit_code, done.stdout) == (0, said)


def test_groups_show_their_version_and_what_is_on(fleet: StubFleet) -> None:
    change = {"state": "sealed", "why": "1 of 2 dumps", "voters": [], "followers": []}
    fleet.document("/v1/regions/groups", {"items": [group(3, ["a", "b", "c"], change)]})
    shown = leadplane("regions", "groups").stdout
    assert "VERSION" in shown
    assert "sealed: 1 of 2 dumps" in shown


@pytest.mark.parametrize(
    ("options", "begun", "said"),
    [
        ((), True, "multi/ap+eu+us is dropped: operator wants it: a fire.\n"),
        ((), False, "multi/ap+eu+us is dropped: operator wants it: a fire.\n"),
        (("--dry-run",), False, "multi/ap+eu+us would be dropped: operator wants it: a fire.\n"),
    ],
)
def test_a_group_is_dropped(
    fleet: StubFleet, options: tuple[str, ...], begun: bool, said: str
) -> None:
    path = "/v1/regions/groups/multi%2Fap%2Beu%2Bus/drop"
    answer = {"group": "multi/ap+eu+us", "why": "operator wants it: a fire", "begun": begun}
    fleet.document(path, answer, "POST", 202 if begun else 200)
    done = leadplane("regions", "drop-group", "multi/ap+eu+us", "--reason", "a fire", *options)
    assert (done.exit_code, done.stdout) == (0, said)
    assert fleet.last("POST", path).query["reason"] == "a fire"


def test_the_status_names_what_a_group_waits_for_that_is_not_made() -> None:
    waits = {"group": "multi/ap+eu+us", "voters": ["a", "b", "c"], "why": "it is not at c yet"}
    pages = [whole_page([waits | {"why": ""}]), whole_page([waits]), whole_page([])]
    assert merged(pages)["groups_coming"] == [waits]


def whole_page(coming: list[dict[str, Any]]) -> dict[str, Any]:
    lists: dict[str, Any] = {name: [] for name in ("groups", "regions", "nodes", "stores")}
    return {"node": "n1", **lists, "groups_coming": coming}
