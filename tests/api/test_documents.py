"""Documents over HTTP: created, read, changed on conditions, compared, refused with pointers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from config.document import CONTENT_BYTES_MAX
from config.effect import PARTITION as EFFECT
from config.effect import Target, live_key, target_key
from config.revision import Revision, read_revision
from controlplane.http_client import PeerReply
from controlplane.node_plan import Place
from controlplane.requests import Problem, Put, Read, Refused, Write
from regions.store import StoreAddress
from tests.api.listening import Fleet, Node, document, kind
from tests.api.raw_peer import say


async def put(node: Node, name: str, content: Any, *, query: str = "", **headers: str) -> PeerReply:
    """PUT a document; a new one unless a header says otherwise."""
    if "If_Match" not in headers:
        headers.setdefault("If_None_Match", "*")
    return await node.send("PUT", f"/v1/config/{name}{query}", {"content": content}, **headers)


def errors(reply: PeerReply) -> list[tuple[str, str]]:
    """Where a refusal points to, and what it says there."""
    return [(error.get("pointer", ""), error["detail"]) for error in document(reply)["errors"]]


async def test_a_document_is_created_read_changed_and_its_versions_are_kept(node: Node) -> None:
    created = await put(node, "flags", {"blue": True}, query="?reason=begin")
    assert created.status == 201
    assert document(created)["effect"] == "none"
    read = await node.get("/v1/config/flags")
    assert document(read)["content"] == {"blue": True}
    assert read.headers["ETag"] == created.headers["ETag"]
    changed = await put(node, "flags", {"blue": False}, If_Match=read.headers["ETag"])
    assert document(changed)["diff"] == [
        {"path": "/blue", "change": "changed", "before": True, "after": False}
    ]
    versions = document(await node.get("/v1/config/flags/versions"))["items"]
    assert [(v["version"], v["reason"]) for v in versions] == [(1, "begin"), (2, "")]
    assert versions[1]["before"] == versions[0]["digest"]
    old = document(await node.get("/v1/config/flags/versions/1"))
    assert old["content"] == {"blue": True}
    diff = document(await node.get("/v1/config/flags/diff?from=2&to=1"))
    assert [change["after"] for change in diff["diff"]] == [True]


async def test_of_two_operators_who_change_the_same_version_one_is_told(node: Node) -> None:
    tag = (await put(node, "flags", {"n": 1})).headers["ETag"]
    first = await put(node, "flags", {"n": 2}, If_Match=tag)
    second = await put(node, "flags", {"n": 3}, If_Match=tag)
    assert (first.status, second.status, kind(second)) == (200, 412, "document-changed")
    assert second.headers["ETag"] == first.headers["ETag"]
    assert document(await node.get("/v1/config/flags"))["content"] == {"n": 2}


async def test_a_retry_of_an_edit_that_was_made_is_answered_as_made(node: Node) -> None:
    tag = (await put(node, "flags", {"n": 1})).headers["ETag"]
    first = await put(node, "flags", {"n": 2}, If_Match=tag)
    again = await put(node, "flags", {"n": 2}, If_Match=tag)
    assert (again.status, document(again)["changed"]) == (200, False)
    assert again.headers["ETag"] == first.headers["ETag"]


async def test_an_edit_says_which_version_it_means(node: Node) -> None:
    await put(node, "flags", {})
    blind = await node.send("PUT", "/v1/config/flags", {"content": {}})
    assert kind(blind) == "precondition-required"
    assert kind(await node.send("DELETE", "/v1/config/flags")) == "precondition-required"
    assert kind(await put(node, "flags", {})) == "document-changed"
    assert kind(await put(node, "none", {}, If_Match="*")) == "unknown-document"
    both = await put(node, "flags", {}, If_Match="*", If_None_Match="*")
    assert kind(both) == "invalid"


async def test_a_dry_run_tells_and_changes_nothing(node: Node) -> None:
    tried = await put(node, "flags", {"n": 1}, query="?dry_run=true")
    assert (tried.status, document(tried)["dry_run"], document(tried)["effect"]) == (
        200,
        True,
        "none",
    )
    assert kind(await node.get("/v1/config/flags")) == "unknown-document"


async def test_a_deleted_document_is_gone_and_its_history_is_not(node: Node) -> None:
    tag = (await put(node, "flags", {"n": 1})).headers["ETag"]
    gone = await node.send("DELETE", "/v1/config/flags?reason=done", If_Match=tag)
    assert gone.status == 200
    assert kind(await node.get("/v1/config/flags")) == "unknown-document"
    versions = document(await node.get("/v1/config/flags/versions"))["items"]
    assert [(v["version"], v["deleted"]) for v in versions] == [(1, False), (2, True)]
    again = await put(node, "flags", {"n": 2})
    assert (again.status, document(again)["document"]["version"]) == (201, 3)


async def test_what_is_wrong_is_refused_with_its_place_and_nothing_changes(node: Node) -> None:
    region = document(await node.get("/v1/config/region.eu"))
    bad = region["content"] | {"zones": [], "storage_usd_per_gb_month": -1, "colour": "blue"}
    bad["egress_usd_per_gb"] = {"us": "free"}
    refused = await put(node, "region.eu", bad, If_Match=region["etag"])
    assert refused.status == 400
    assert [place for place, _ in errors(refused)] == [
        "#/content/colour",
        "#/content/egress_usd_per_gb/us",
        "#/content/storage_usd_per_gb_month",
        "#/content/zones",
    ]
    assert document(await node.get("/v1/config/region.eu")) == region


async def test_a_region_is_patched_as_the_document_it_is(node: Node) -> None:
    tag = (await node.get("/v1/config/region.eu")).headers["ETag"]
    patch = {"instance_usd_per_hour": 0.25, "location": None}
    patched = await node.send("PATCH", "/v1/regions/eu", patch, If_Match=tag)
    assert [change["path"] for change in document(patched)["diff"]] == [
        "/instance_usd_per_hour",
        "/location",
    ]
    content = document(await node.get("/v1/config/region.eu"))["content"]
    assert content["instance_usd_per_hour"] == 0.25
    assert "location" not in content


async def test_a_body_of_ten_megabytes_is_too_large_and_so_is_a_large_document(node: Node) -> None:
    head = b"PUT /v1/config/flags HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"
    assert (await say(node.server.port, head)).startswith(b"HTTP/1.1 413 ")
    longer = await put(node, "flags", {"text": "x" * CONTENT_BYTES_MAX})
    assert (longer.status, kind(longer)) == (413, "too-large")
    assert document(longer)["limit_bytes"] == CONTENT_BYTES_MAX


async def test_any_node_takes_an_edit_and_the_leader_makes_it(fleet: Fleet) -> None:
    leader, other = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    created = await put(other, "flags", {"n": 1})
    assert created.status == 201
    tag = created.headers["ETag"]
    assert (await leader.get("/v1/config/flags")).headers["ETag"] == tag
    assert (await put(other, "flags", {"n": 2}, If_Match=tag)).status == 200


async def test_an_edit_that_another_one_overtook_is_decided_anew(node: Node) -> None:
    tag = (await put(node, "flags", {"n": 1})).headers["ETag"]
    system = node.service.fleet_of.shards["system"]
    overtakes = 3

    def overtake(request: Any) -> None:
        nonlocal overtakes
        if type(request).__name__ == "Write" and overtakes:
            overtakes -= 1
            partition, value = system.values["{config}/edition"]
            system.sequence += 1
            newer = type(value)(system.sequence, b"7")
            system.values["{config}/edition"] = (partition, newer)

    node.service.answer = overtake
    changed = await put(node, "flags", {"n": 2}, If_Match=tag)
    assert (changed.status, overtakes) == (200, 0)


async def test_a_region_says_what_it_runs_and_whether_it_is_behind(fleet: Fleet) -> None:
    leader, other = await fleet.node("n1", "eu"), await fleet.node("n2", "us")
    fleet.fake.lead("n1")
    await put(leader, "flags", {"n": 1})
    made = document(await leader.get("/v1/config/flags/effective?region=us"))
    assert (made["node"], made["applied"], made["target"]) == ("n2", None, None)
    assert (made["newest"]["version"], made["drift"], made["staleness_ms"]) == (1, "none", 40)
    kept = fleet.fake.shards["system"].values
    revision = read_revision(kept["{config}/head/flags"][1].data)
    ordered = Target(1, revision.digest, 7, 1, 1).packed()
    write = Write("system", (Put(EFFECT, target_key("flags", "us"), ordered),))
    await leader.service.submit(write)
    behind = document(await leader.get("/v1/config/flags/effective?region=us"))
    assert (behind["target"]["version"], behind["target"]["rollout"]) == (1, 7)
    assert (behind["applied"], behind["drift"]) == (None, "behind")
    other.service.feed.apply(revision)
    even = document(await leader.get("/v1/config/flags/effective?region=us"))
    assert (even["drift"], even["content"]) == ("none", {"n": 1})
    assert even["applied"]["digest"] == even["target"]["digest"]
    other.service.answer = lambda request: (
        Refused(Problem.NO_QUORUM, "nobody there") if isinstance(request, Read) else None
    )
    blind = document(await other.get("/v1/config/flags/effective"))
    assert (blind["drift"], blind["applied"]["version"], blind["target"]) == ("unknown", 1, None)
    assert kind(await other.get("/v1/config/other/effective")) == "not-ready"


async def test_a_target_of_a_newer_release_is_no_error_of_this_one(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    fleet.fake.lead("n1")
    await put(node, "flags", {"n": 1})
    strange = Write("system", (Put(EFFECT, target_key("flags"), b"?"),))
    await node.service.submit(strange)
    assert kind(await node.get("/v1/config/flags/effective")) == "not-ready"


async def test_a_document_that_was_forgotten_begins_after_what_is_still_in_force(
    fleet: Fleet,
) -> None:
    node = await fleet.node("n1", "eu")
    fleet.fake.lead("n1")
    old = Revision("flags", 3, b'{"n":3}')
    kept = Write("system", (Put(EFFECT, live_key("flags", 3), old.packed()),))
    await node.service.submit(kept)
    made = document(await put(node, "flags", {"n": 9}))
    assert made["document"]["version"] == 4
    read = await node.get("/v1/config/flags/versions/4")
    assert document(read)["content"] == {"n": 9}
    assert document(await put(node, "flags", {"n": 10}, If_Match="*"))["document"]["version"] == 5
    assert document(await put(node, "other", {"n": 1}))["document"]["version"] == 1


async def test_documents_are_read_nearby_when_nobody_leads(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    fleet.fake.lead("n1")
    await put(node, "flags", {"n": 1})
    fleet.fake.shards["system"].leader = None
    node.service.catch_up()
    assert kind(await node.get("/v1/config/flags")) == "no-leader"
    nearby = await node.get("/v1/config/flags?consistency=any")
    assert document(nearby)["content"] == {"n": 1}
    names = [
        item["name"] for item in document(await node.get("/v1/config?consistency=any"))["items"]
    ]
    assert "flags" in names
    assert (await node.get("/v1/config/flags/versions/1?consistency=any")).status == 200


async def test_lists_come_in_pages_and_know_defaults(node: Node) -> None:
    first = document(await node.get("/v1/config?limit=4"))
    rest = document(await node.get(f"/v1/config?continue={first['continue']}"))
    names = [item["name"] for item in first["items"] + rest["items"]]
    assert names == sorted(names)
    assert {"region.eu", "region.us", "placement", "schema.region"} <= set(names)
    assert all(item["version"] == 0 for item in first["items"])


async def test_a_region_in_use_stays_and_what_its_loss_would_do_is_told(node: Node) -> None:
    refused = await node.send("DELETE", "/v1/regions/us?dry_run=true", If_Match="*")
    assert (refused.status, kind(refused)) == (409, "document-in-use")
    told = [detail.split(";")[0] for _, detail in errors(refused)]
    assert told == [
        "region.eu names it at /egress_usd_per_gb/us",
        "store us-1 stands there and belongs to global",
    ]
    assert document(refused)["blast_radius"]["groups_losing_quorum"] == ["global"]
    fewer = {"stores": [], "zones": ["a", "b"]}
    unlisted = await node.send("PATCH", "/v1/regions/us", fewer, If_Match="*")
    assert (kind(unlisted), errors(unlisted)[0][0]) == ("document-in-use", "#/stores")


async def test_a_store_may_be_placed_by_a_document_unless_it_is_known_to_be_elsewhere(
    node: Node,
) -> None:
    async def edit(*stores: dict[str, Any]) -> PeerReply:
        listed = [{"id": "eu-1", "zone": "a"}, *stores]
        return await node.send("PATCH", "/v1/regions/eu", {"stores": listed}, If_Match="*")

    new = {"id": "eu-9", "zone": "b", "host": "127.0.0.1", "port": 7_009}
    assert (await edit(new)).status == 200
    taken = await edit({**new, "port": 6_001})
    assert (taken.status, kind(taken), errors(taken)[0][0]) == (400, "invalid", "#/stores/1/port")
    node.service.where["eu-9"] = Place("eu", "b", StoreAddress("127.0.0.1", 7_009), learned=True)
    node.service.voters = ("eu-1", "us-1", "eu-9")
    for stores, pointer in (
        ([{**new, "port": 7_010}], "#/stores/1/host"),
        ([{"id": "eu-9", "zone": "b"}], "#/stores/1"),
        ([], "#/stores"),
    ):
        refused = await edit(*stores)
        assert (refused.status, kind(refused)) == (409, "document-in-use")
        (told,) = errors(refused)
        assert told[0] == pointer
        assert "stores remove" in told[1]
    assert document(await edit(new))["changed"] is False


async def test_regions_come_and_go_and_the_last_one_stays(node: Node) -> None:
    content = document(await node.get("/v1/config/region.eu"))["content"]
    content |= {"stores": [], "egress_usd_per_gb": {"eu": 0.02}}
    created = await node.send("PUT", "/v1/regions/sa", content, If_None_Match="*")
    assert created.status == 201
    gone = await node.send("DELETE", "/v1/regions/sa", If_Match=created.headers["ETag"])
    assert (gone.status, document(gone)["effect"]) == (200, "none")
    assert kind(await node.get("/v1/config/region.sa")) == "unknown-document"
    taken = await node.send("PUT", "/v1/regions/groups", content, If_None_Match="*")
    assert kind(taken) == "invalid"


async def test_secrets_are_refused_and_never_repeated(node: Node) -> None:
    secret = "-----BEGIN " + "PRIVATE KEY-----abc"
    refused = await put(node, "flags", {"tls": {"key": secret}})
    assert (kind(refused), errors(refused)[0][0]) == ("invalid", "#/content/tls/key")
    because = await put(node, "flags", {}, query="?reason=use+Bearer+abcdefghijklmnop1234")
    assert kind(because) == "invalid"
    for answer in (refused, because):
        assert b"abc" not in answer.body.replace(b"flags", b"")
    assert kind(await node.get("/v1/config/flags/versions")) == "unknown-document"


async def test_only_the_last_versions_are_kept(node: Node) -> None:
    node.service.limits = replace(node.service.limits, document_versions_max=2)
    tag = (await put(node, "flags", 1)).headers["ETag"]
    for number in (2, 3):
        tag = (await put(node, "flags", number, If_Match=tag)).headers["ETag"]
    versions = document(await node.get("/v1/config/flags/versions"))["items"]
    assert [version["version"] for version in versions] == [2, 3]
    assert kind(await node.get("/v1/config/flags/versions/1")) == "unknown-version"
    assert kind(await node.get("/v1/config/flags/diff?from=1")) == "unknown-version"


async def test_what_a_newer_release_wrote_is_not_misread(node: Node) -> None:
    await put(node, "flags", 1)
    system = node.service.fleet_of.shards["system"]
    partition, value = system.values["{config}/head/flags"]
    system.values["{config}/head/flags"] = (partition, replace(value, data=b"\x91\x02"))
    partition, edition = system.values["{config}/edition"]  # that release edits as this one does
    system.values["{config}/edition"] = (partition, replace(edition, version=edition.version + 1))
    assert kind(await node.get("/v1/config/flags")) == "not-ready"
    assert kind(await put(node, "other", 1)) == "not-ready"
