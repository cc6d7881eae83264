"""Documents on a fleet of real stores: two operators, one history, every region."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess, Problem
from tests.integration.fleet_on_test import AT_ONCE, FleetOnTest, asleep, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("fleet")]

FLAGS = "/v1/config/it-flags"


def put(access: FleetAccess, content: Any, headers: dict[str, str], path: str = FLAGS) -> str:
    """Edit a document, and give its new ETag. Raises Problem."""
    body = json.dumps({"content": content}).encode()
    sent = {"Content-Type": "application/json", **headers}
    return access.send("PUT", f"{path}?{AT_ONCE}", None, sent, body).headers["etag"]


def edited_in_the_end(access: FleetAccess, content: Any, tag: str, path: str = FLAGS) -> str:
    """Edit that version of a document while leaders change, and give the new ETag. What was sent
    and not answered may have been done: then the edit is there."""

    def edit() -> str | None:
        try:
            return put(access, content, {"If-Match": tag}, path)
        except Problem as problem:
            if problem.status != 412:
                raise
        found = access.get(path)
        return str(found["etag"]) if found["content"] == content else None

    return wait_for(edit, "it is edited")


def effective(fleet: FleetOnTest, path: str) -> dict[str, tuple[int | None, str]]:
    """Which version each region runs, and whether it is behind."""
    regions = sorted({node["region"] for node in fleet.state()["nodes"]})
    found = {region: fleet.access.get(f"{path}/effective", region=region) for region in regions}
    return {
        region: (page["applied"]["version"] if page["applied"] else None, page["drift"])
        for region, page in found.items()
    }


def test_two_operators_edit_one_version_and_one_of_them_is_told(fleet: FleetOnTest) -> None:
    nodes = [node["id"] for node in fleet.state()["nodes"]]
    tag = put(fleet.by_way_of(nodes[0]), {"n": 0}, {"If-None-Match": "*"})

    def race(number: int) -> str | int:
        try:
            return put(fleet.by_way_of(nodes[number]), {"n": number}, {"If-Match": tag})
        except Problem as problem:
            return problem.status

    with ThreadPoolExecutor(2) as operators:
        outcomes = list(operators.map(race, (1, 5)))
    assert sorted(map(type, outcomes), key=str) == [int, str], outcomes
    assert 412 in outcomes
    won = next(outcome for outcome in outcomes if isinstance(outcome, str))
    assert fleet.access.get(FLAGS)["etag"] == won

    first = fleet.access.get(f"{FLAGS}/versions/1")["content"]
    back = put(fleet.access, first, {"If-Match": won})
    versions = fleet.access.items(f"{FLAGS}/versions")["items"]
    assert [version["version"] for version in versions] == [1, 2, 3]
    assert versions[2]["digest"] == versions[0]["digest"]
    assert [v["before"] for v in versions[1:]] == [v["digest"] for v in versions[:-1]]
    assert fleet.access.get(f"{FLAGS}/diff", **{"from": 1, "to": 3})["diff"] == []
    assert back.startswith('"3-')

    everywhere = wait_for(
        lambda: (
            (found := effective(fleet, FLAGS)) and set(found.values()) == {(3, "none")} and found
        ),
        "every region runs version 3",
    )
    assert len(everywhere) == 3
    wait_for(
        lambda: fleet.access.get(FLAGS, consistency="any")["content"] == first,
        "the nearest copy has it",
    )
    with pytest.raises(Problem, match="There is no such document"):
        fleet.access.get("/v1/config/it-none")


def test_a_price_that_is_edited_shows_in_every_region_and_a_bad_one_nowhere(
    fleet: FleetOnTest,
) -> None:
    region = fleet.state()["nodes"][0]["region"]
    path = f"/v1/config/region.{region}"
    before = fleet.access.get(path)
    content = before["content"]
    prices = content["egress_usd_per_gb"]
    other = min(prices)
    bad = {**content, "egress_usd_per_gb": {**prices, other: -1}}
    with pytest.raises(Problem) as refused:
        put(fleet.access, bad, {"If-Match": before["etag"]}, path)
    assert refused.value.document["errors"][0]["pointer"] == (
        f"#/content/egress_usd_per_gb/{other}"
    )
    assert fleet.access.get(path) == before
    dearer = {**content, "egress_usd_per_gb": {**prices, other: 0.77}}
    tag = put(fleet.access, dearer, {"If-Match": before["etag"]}, path)
    try:
        for node in fleet.state()["nodes"]:
            at = fleet.at(node["id"])
            wait_for(
                lambda at=at: at.get(f"/v1/regions/{region}")["egress_usd_per_gb"][other] == 0.77,
                f"{node['id']} knows the price",
            )
    finally:
        put(fleet.access, content, {"If-Match": tag}, path)


def test_a_document_as_large_as_may_be_is_kept_and_followed(fleet: FleetOnTest) -> None:
    path = "/v1/config/it-large"
    content = {"text": "x" * (120 * 1024 - len('{"text":""}'))}
    tag = put(fleet.access, content, {"If-None-Match": "*"}, path)
    with pytest.raises(Problem) as refused:
        put(fleet.access, {"text": content["text"] + "x"}, {"If-Match": tag}, path)
    assert refused.value.status == 413
    wait_for(lambda: set(effective(fleet, path).values()) == {(1, "none")}, "every region runs it")
    fleet.access.send("DELETE", path, None, {"If-Match": tag})


def test_a_region_with_stores_in_a_group_is_not_taken_away(fleet: FleetOnTest) -> None:
    region = fleet.state()["nodes"][0]["region"]
    with pytest.raises(Problem) as refused:
        fleet.access.send("DELETE", f"/v1/regions/{region}", {"dry_run": True}, {"If-Match": "*"})
    told = refused.value.document
    assert refused.value.kind == "document-in-use"
    radius = told["blast_radius"]
    assert "region survival" in radius["summary"][0]
    assert f"region/{region}" in radius["groups_losing_quorum"]


def test_documents_are_read_nearby_while_nobody_leads_and_edited_after_the_failover(
    fleet: FleetOnTest,
) -> None:
    path = "/v1/config/it-failover"
    tag = put(fleet.access, {"n": 1}, {"If-None-Match": "*"}, path)
    wait_for(lambda: set(effective(fleet, path).values()) == {(1, "none")}, "it is everywhere")
    leader = fleet.leader()
    others = [node for node in fleet.state()["nodes"] if node["id"] != leader]
    other = fleet.at(others[-1]["id"])
    wait_for(lambda: other.get(path, consistency="any")["etag"] == tag, "it is nearby, too")
    with asleep(fleet.process("nodes", leader)):
        nearby = other.get(path, consistency="any")
        assert (nearby["content"], nearby["etag"]) == ({"n": 1}, tag)
        newer = edited_in_the_end(other, {"n": 2}, tag, path)
        assert newer.startswith('"2-')
        found = wait_for(lambda: other.get(path), "the next leader is asked")
        assert found["content"] == {"n": 2}
