"""The audit log of real fleets: edits, orders, failovers in one chain; and what forgers leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.cli.connection import FleetAccess
from tests.cli.stub_fleet import leadplane
from tests.integration.fleet_on_test import FleetOnTest, asleep, wait_for
from tests.integration.small_fleet import small_fleet
from tests.integration.test_documents import edited_in_the_end, put

JSON = {"Content-Type": "application/json"}


def records(access: FleetAccess, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = access.items("/v1/audit", limit=500, **query)["items"]
    return found


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("fleet")
def test_edits_orders_and_a_failover_are_one_chain_that_is_proven_and_exported(
    fleet: FleetOnTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/v1/config/it-audited"
    tag = put(fleet.access, {"n": 1}, {"If-None-Match": "*"}, path)
    after = records(fleet.access, subject="it-audited")[-1]["sequence"] - 1
    shard = fleet.shard("global")
    leader = fleet.leader()
    others = [
        n["id"] for n in fleet.state()["nodes"] if n["id"] not in (leader, shard["leader"]["node"])
    ]
    drained = others[-1]

    def order(target: str, body: dict[str, Any], reason: str) -> None:
        query = {"reason": reason}
        fleet.access.send("POST", target, query, JSON, json.dumps(body).encode())

    order(f"/v1/nodes/{drained}/drain", {}, "it-power")
    order(f"/v1/shards/{shard['shard']}/transfer", {"to_node": others[0], "force": True}, "it-try")
    wait_for(
        lambda: [r for r in records(fleet.access, after=after) if r["reason"] == "it-try"] or None,
        "the transfer is recorded",
    )
    order(f"/v1/nodes/{drained}/undrain", {}, "it-back")
    made = fleet.access.get("/v1/audit/verify")
    assert (made["valid"], made["problem"]) == (True, None)
    kept = f"{made['last']}:{made['head']}"

    leader = fleet.leader()
    other = fleet.at(next(n["id"] for n in reversed(fleet.state()["nodes"]) if n["id"] != leader))
    with asleep(fleet.process("nodes", leader)):
        edited_in_the_end(other, {"n": 2}, tag, path)
        changes = wait_for(
            lambda: [
                c for r in records(other, kind="leadership", subject="system", after=after)
                for c in r["after"]["changes"] if c[0] == "system" and c[4].startswith(leader)
            ] or None,
            "the failover is recorded",
        )  # fmt: skip
    assert changes  # the session before is named, where its node is not known any more
    fleet.until_whole()
    found = [
        (r["kind"], r["subject"].rpartition("/")[2], r["principal"], r["reason"])
        for r in records(fleet.access, after=after) if r["principal"] == "operator"
    ]  # fmt: skip
    assert found == [
        ("document", "it-audited", "operator", ""),
        ("rollout", "it-audited", "operator", ""),
        ("drain", f"node {drained}", "operator", "it-power"),
        ("transfer", shard["shard"], "operator", "it-try"),
        ("drain", f"node {drained}", "operator", "it-back"),
        ("document", "it-audited", "operator", ""),
        ("rollout", "it-audited", "operator", ""),
    ]
    verdict = fleet.access.get("/v1/audit/verify", checkpoint=kept)
    assert (verdict["valid"], verdict["checkpoint"]) == (True, "matches")

    monkeypatch.setenv("LEADPLANE_URL", ",".join(fleet.access.urls))
    file = tmp_path / "audit.jsonl"
    assert leadplane("audit", "export", str(file)).exit_code == 0
    assert leadplane("audit", "verify", str(file), "--checkpoint", kept).exit_code == 0
    lines = file.read_text().splitlines(keepends=True)
    cut = lines[: made["last"] - 1 - (json.loads(lines[0])["sequence"] - 1)]
    file.write_text("".join(cut))
    assert leadplane("audit", "verify", str(file), "--checkpoint", kept).exit_code == 1


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("divergence")
def test_a_record_that_is_changed_in_the_stores_themselves_is_named(tmp_path: Path) -> None:
    with small_fleet(tmp_path) as fleet:
        headers = {"If-None-Match": "*"}
        for number in range(4):
            headers = {"If-Match": put(fleet.access, {"n": number}, headers, "/v1/config/flags")}
        whole = fleet.access.get("/v1/audit/verify")
        assert whole["valid"]
        edits = records(fleet.access, subject="flags")
        at = edits[1]["sequence"]
        group = fleet.access.get("/v1/shards/system")["group"]
        place, field = f"lp:g:{group}:kv:system", f"{{audit}}/records/{at:016d}"

        def holds(admin: Any) -> bool:
            return bool(admin.hget(place, field))

        wait_for(lambda: all(map(holds, fleet.admins.values())), "all stores have it")
        for admin in fleet.admins.values():
            before = admin.hget(place, field)
            forged = before.replace(b'"operator"', b'"somebody"')
            assert forged != before
            admin.hset(place, field, forged)
        told = fleet.access.get("/v1/audit/verify")
        assert (told["valid"], told["at"]) == (False, at)
        assert told["problem"] == f"record {at} was changed"
        kept = f"{whole['last']}:{whole['head']}"
        assert fleet.access.get("/v1/audit/verify", checkpoint=kept)["checkpoint"] == "matches"
        shown = [r for r in records(fleet.access) if r["sequence"] == at]
        assert shown[0]["principal"] == "somebody"
        for admin in fleet.admins.values():
            admin.hdel(place, field)
        gone = fleet.access.get("/v1/audit/verify")
        assert (gone["valid"], gone["holes"]) == (False, [{"first": at, "last": at}])
