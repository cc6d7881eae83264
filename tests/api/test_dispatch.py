"""Any node answers any request: it serves, forwards once, redirects, or says where to go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import quote

import orjson
import pytest

from controlplane.api.settings import ApiSettings
from controlplane.http_client import PeerReply
from controlplane.requests import LeaderHint, Problem, Read, Refused, Request, Scan
from shards.keyspace import key_slot
from shards.position import encode
from shards.routing import RoutingTable
from tests.api.listening import Fleet, Node, document, kind, until
from tests.api.raw_peer import raw_peer

PATH = "/v1/kv/a"
Pair = tuple[Node, Node]


def shard_of_a(node: Node) -> str:
    """The shard of the key that these tests use."""
    ranges = node.service.slot_ranges()
    shard = RoutingTable(ranges, 1).shard_of_slot(key_slot("a"))
    assert shard is not None
    return shard


def served_by(reply: PeerReply) -> tuple[str, str, str]:
    """Who answered, in which role, how old at most."""
    names = ("Leadplane-Served-By", "Leadplane-Role", "Leadplane-Staleness-Ms")
    node, role, age = (reply.headers[name] for name in names)
    return node, role, age


# ---------------------------------------------------------------- reads


async def test_a_strong_read_and_a_write_go_to_the_leader(pair: Pair) -> None:
    leader, follower = pair
    assert served_by(await follower.send("PUT", PATH, b"x")) == ("n1", "leader", "0")
    got = await follower.get(PATH)
    assert (got.body, served_by(got)) == (b"x", ("n1", "leader", "0"))
    assert served_by(await follower.get("/v1/kv?partition=a")) == ("n1", "leader", "0")
    assert follower.service.asked == []
    assert len(leader.service.asked) == 3


@pytest.mark.parametrize(
    "query",
    ["consistency=any", "consistency=bounded", "max_staleness_ms=40", "consistency=session"],
)
async def test_other_reads_stay_at_home(pair: Pair, query: str) -> None:
    leader, follower = pair
    await leader.send("PUT", PATH, b"x")
    for path in (f"{PATH}?{query}", f"/v1/kv?partition=a&{query}"):
        got = await follower.get(path)
        assert (got.status, served_by(got)) == (200, ("n2", "follower", "40"))


async def test_an_age_that_is_not_known_is_called_unknown(pair: Pair) -> None:
    _, follower = pair
    follower.service.staleness_ms = None
    got = await follower.get(PATH + "?consistency=any")
    assert got.headers["Leadplane-Staleness-Ms"] == "unknown"


async def test_a_read_that_home_cannot_answer_moves_to_the_leader(pair: Pair) -> None:
    leader, follower = pair
    put = await leader.send("PUT", PATH, b"x")
    seen = put.headers["Leadplane-Position"]
    follower.service.lag = 1
    for query in ("max_staleness_ms=39", f"consistency=session&position={seen}"):
        got = await follower.get(f"{PATH}?{query}")
        assert (got.body, served_by(got)) == (b"x", ("n1", "leader", "0"))
    # A position of another shard does not constrain this one.
    got = await follower.get(f"{PATH}?consistency=session&position={encode({'s1': 99})}")
    assert served_by(got) == ("n2", "follower", "40")


async def test_a_stale_read_is_refused_rather_than_answered_with_less(pair: Pair) -> None:
    leader, follower = pair
    await leader.server.stop()
    refused = await follower.get(PATH + "?max_staleness_ms=39")
    assert (refused.status, kind(refused)) == (503, "stale")
    assert refused.headers["Leadplane-Served-By"] == "n2"
    assert (await follower.get(PATH + "?max_staleness_ms=40")).status == 404


async def test_a_leader_answers_strongly_what_its_copy_cannot(node: Node) -> None:
    """Its region's store may be behind; the leader itself never is."""

    def behind(request: Request) -> Refused | None:
        assert isinstance(request, Read | Scan)
        if request.consistency.value == "strong":
            return None
        return Refused(Problem.STALE, "behind", node.service.hint(request.shard))

    node.service.answer = behind
    for path in (PATH, "/v1/kv?partition=a"):
        for query in ("consistency=bounded", "consistency=session", "consistency=any"):
            joint = "&" if "?" in path else "?"
            reply = await node.get(path + joint + query)
            assert served_by(reply) == ("n1", "leader", "0")


# ---------------------------------------------------------------- no leader


async def test_without_a_leader_there_are_only_reads_that_may_be_old(fleet: Fleet) -> None:
    node = await fleet.node("n1", "eu")
    for method in ("GET", "PUT", "DELETE"):
        reply = await node.send(method, PATH, b"x" if method == "PUT" else b"")
        assert (reply.status, kind(reply)) == (503, "no-leader")
        assert "does not lead" in document(reply)["detail"]
        assert reply.headers["Retry-After"] == "1"
        assert document(reply)["retry_after_ms"] == 100
    node.service.state = "unavailable"
    reply = await node.send("PUT", PATH, b"x")
    assert (reply.status, kind(reply)) == (503, "no-quorum")
    assert document(reply)["detail"] == "waiting for store eu-1"
    got = await node.get(PATH + "?consistency=any")
    assert (got.status, kind(got)) == (404, "no-such-key")


# ---------------------------------------------------------------- redirects


async def test_a_client_that_wants_to_go_itself_is_told_where(pair: Pair) -> None:
    leader, follower = pair
    query = "?proxy=false&position=" + encode({"s0": 0})
    for method in ("GET", "PUT", "DELETE"):
        reply = await follower.send(method, PATH + query)
        assert (reply.status, reply.body) == (307, b"")
        assert reply.headers["Location"] == leader.url + PATH + query
        assert (await leader.send(method, PATH + query)).status in (200, 404)
    assert follower.service.asked == []
    local = await follower.get(PATH + "?proxy=false&consistency=any")
    assert served_by(local)[0] == "n2"
    stale = await follower.get(PATH + "?proxy=false&max_staleness_ms=1")
    assert stale.status == 307


async def test_a_location_is_the_request_as_it_was_sent(pair: Pair) -> None:
    leader, follower = pair
    path = "/v1/kv/" + quote("{a b}/ä%2F?", safe="") + "?proxy=false"
    reply = await follower.send("PUT", path, b"x")
    assert reply.headers["Location"] == leader.url + path


# ---------------------------------------------------------------- one hop


async def test_a_request_is_passed_on_once_at_most(pair: Pair) -> None:
    leader, follower = pair
    reply = await follower.send("PUT", PATH, b"x", Leadplane_Hop="1")
    assert (reply.status, kind(reply)) == (421, "not-leader")
    assert document(reply)["leader"] == {
        "node": "n1",
        "region": "eu",
        "url": leader.url,
        "epoch": 2,
    }
    assert (await leader.send("PUT", PATH, b"x", Leadplane_Hop="1")).status == 200
    assert (await follower.get(PATH + "?consistency=any", Leadplane_Hop="1")).status == 200


async def test_what_matters_is_passed_on(fleet: Fleet, pair: Pair) -> None:
    _, follower = pair
    answer = (
        b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/x\r\nETag: "9"\r\n'
        b"Leadplane-Shard: s9\r\nLeadplane-Served-By: n7\r\nIdempotency-Replayed: true\r\n"
        b"Set-Cookie: a=b\r\nServer: other\r\nX-Request-Id: theirs\r\n\r\nok"
    )
    async with raw_peer(lambda number: answer) as peer:
        lead_elsewhere(fleet, follower, peer.url)
        got = await follower.send(
            "PUT",
            "/v1/kv/%7Ba%7D?position=&proxy=true",
            b"body",
            If_Match='"7"',
            Idempotency_Key="op",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            tracestate="vendor=1",
            X_Request_Id="mine",
            Content_Type="text/y",
            Cookie="secret",
        )
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    sent = dict(each.split(": ", 1) for each in fields)
    assert (line, body) == ("PUT /v1/kv/%7Ba%7D?position=&proxy=true HTTP/1.1", b"body")
    assert sent == {
        "Host": peer.url.removeprefix("http://"),
        "Content-Type": "text/y",
        "Idempotency-Key": "op",
        "If-Match": '"7"',
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
        "Leadplane-Hop": "1",
        "Leadplane-Named-Epoch": "9",
        "X-Request-Id": "mine",
        "Content-Length": "4",
    }
    back = {name.lower(): text for name, text in got.headers.items() if name != "Date"}
    assert (got.status, got.body) == (200, b"ok")
    assert back == {
        "content-length": "2",
        "content-type": "text/x",
        "etag": '"9"',
        "leadplane-shard": "s9",
        "leadplane-served-by": "n7",
        "idempotency-replayed": "true",
        "server": "leadplane",
        "x-request-id": "mine",
    }


async def test_connections_to_other_nodes_are_used_again(fleet: Fleet, pair: Pair) -> None:
    _, follower = pair
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_peer(lambda number: fine) as peer:
        lead_elsewhere(fleet, follower, peer.url)
        for _ in range(5):
            assert (await follower.get(PATH)).status == 200
        assert (peer.connections, len(peer.requests)) == (1, 5)


# ---------------------------------------------------------------- hints


def lead_elsewhere(fleet: Fleet, knower: Node, url: str, epoch: int = 9) -> None:
    """Make `knower` believe that a node n7 at `url` leads the shard of these tests."""
    other = fleet.fake.nodes.get("n7") or fleet.fake.add("n7", "ap")
    other.url = url
    knower.service.known[shard_of_a(knower)] = (epoch, "n7")


def not_leader(node: str, url: str, epoch: int) -> bytes:
    """What a node answers that does not lead: who does."""
    hint = {"node": node, "region": "eu", "url": url, "epoch": epoch}
    body = orjson.dumps({"type": "/problems/not-leader", "status": 421, "leader": hint})
    head = b"HTTP/1.1 421 Misdirected Request\r\nContent-Type: application/problem+json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_a_newer_hint_of_the_wrong_leader_is_followed(fleet: Fleet, pair: Pair) -> None:
    leader, follower = pair
    fleet.fake.shards[shard_of_a(leader)].epoch = 10
    leader.service.catch_up()
    async with raw_peer(lambda number: not_leader("n1", leader.url, 10)) as wrong:
        lead_elsewhere(fleet, follower, wrong.url)
        assert served_by(await follower.send("PUT", PATH, b"x"))[0] == "n1"
        # It was learnt: the wrong one is not asked again, though the table still names it.
        assert served_by(await follower.send("PUT", PATH, b"y"))[0] == "n1"
        assert len(wrong.requests) == 1
    assert (await leader.get(PATH)).body == b"y"
    route = document(await follower.get("/v1/route?key=a&intent=write"))
    assert (route["leader"]["node"], route["epoch"]) == ("n1", 10)


@pytest.mark.parametrize("epoch", [8, 9])
async def test_a_hint_that_is_not_newer_is_passed_to_the_client(
    fleet: Fleet, pair: Pair, epoch: int
) -> None:
    leader, follower = pair
    async with raw_peer(lambda number: not_leader("n1", leader.url, epoch)) as wrong:
        lead_elsewhere(fleet, follower, wrong.url, 9)
        reply = await follower.send("PUT", PATH, b"x")
        assert len(wrong.requests) == 1
    assert (reply.status, kind(reply)) == (421, "not-leader")
    assert document(reply)["leader"]["epoch"] == epoch
    assert leader.service.asked == []


async def test_a_hint_that_points_here_is_served_here(fleet: Fleet, pair: Pair) -> None:
    _, follower = pair
    shard = shard_of_a(follower)
    fleet.fake.shards[shard].leader = "n2"
    async with raw_peer(lambda number: not_leader("n2", follower.url, 10)) as wrong:
        lead_elsewhere(fleet, follower, wrong.url)
        assert served_by(await follower.get(PATH))[0] == "n2"


async def test_two_wrong_leaders_end_the_search(fleet: Fleet, pair: Pair) -> None:
    _, follower = pair
    urls: list[str] = []
    async with (
        raw_peer(lambda number: not_leader("n8", urls[0], 10)) as first,
        raw_peer(lambda number: not_leader("n9", urls[1], 11 + number)) as second,
    ):
        urls += [second.url, second.url]
        lead_elsewhere(fleet, follower, first.url)
        reply = await follower.send("PUT", PATH, b"x")
        assert (reply.status, kind(reply)) == (421, "not-leader")
        assert (len(first.requests), len(second.requests)) == (1, 2)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"leader": 5}', b'{"leader": {"node": "n1"}}', b"no json"]
)
async def test_a_hint_that_is_none_is_not_followed(fleet: Fleet, pair: Pair, body: bytes) -> None:
    _, follower = pair
    answer = b"HTTP/1.1 421 Misdirected\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with raw_peer(lambda number: answer) as wrong:
        lead_elsewhere(fleet, follower, wrong.url)
        assert (await follower.send("PUT", PATH, b"x")).status == 421
        assert len(wrong.requests) == 1


async def test_a_leader_that_just_lost_its_lease_passes_the_request_on(pair: Pair) -> None:
    """Its table is behind its own knowledge; the refusal says where to go."""
    leader, follower = pair
    shard = shard_of_a(leader)
    leader.service.fleet_of.shards[shard].leader = "n2"
    leader.service.fleet_of.shards[shard].epoch = 3
    follower.service.catch_up()
    assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n2"


async def test_a_leader_remembers_that_it_leads_until_anybody_leads_anew(
    fleet: Fleet, pair: Pair
) -> None:
    leader, _ = pair
    assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n1"
    fleet.fake.lead("n2", shard_of_a(leader))
    assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n2"
    assert len(leader.service.asked) == 1
    fleet.fake.lead("n1", shard_of_a(leader))
    assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n1"


async def test_a_leader_that_was_told_of_a_newer_one_asks_itself_no_more(pair: Pair) -> None:
    """Also when its own table has not changed since it last served."""
    leader, follower = pair
    shard = shard_of_a(leader)
    assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n1"
    leader.service.fleet_of.shards[shard].leader = "n2"
    leader.service.fleet_of.shards[shard].epoch = 3
    follower.service.catch_up()
    for _ in range(2):
        assert served_by(await leader.send("PUT", PATH, b"x"))[0] == "n2"
    assert len(leader.service.asked) == 2  # served once, refused once


# ---------------------------------------------------------------- named, and not told yet


def not_told_yet(node: Node) -> None:
    """The node believes that n7 leads, and says so when it is asked."""
    shard = shard_of_a(node)
    node.service.fleet_of.shards[shard].epoch = 10
    node.service.fleet_of.shards[shard].leader = node.service.node
    node.service.answer = lambda request: Refused(
        Problem.NOT_LEADER, "n7 leads", node.service.hint(shard)
    )


async def put_until_held(node: Node, asked: int, **headers: str) -> asyncio.Task[PeerReply]:
    """Send a write, and wait until the node has been asked so often."""
    put = asyncio.create_task(node.send("PUT", PATH, b"x", **headers))
    await until(lambda: len(node.service.asked) == asked)
    assert not put.done()
    return put


async def test_a_write_for_the_next_leader_is_held_until_that_has_heard_of_it(
    fleet: Fleet, pair: Pair
) -> None:
    _, heir = pair
    async with raw_peer(lambda number: not_leader("n2", heir.url, 10)) as old:
        lead_elsewhere(fleet, heir, old.url)
        not_told_yet(heir)
        subscriptions = len(heir.service.subscriptions)
        put = await put_until_held(heir, asked=2)
        heir.service.changed({"s0"})  # something else has changed hands
        await until(lambda: len(heir.service.asked) == 3)
        assert not put.done()
        heir.service.answer = None
        heir.service.catch_up()
        assert served_by(await put)[0] == "n2"
        assert len(old.requests) == 1
    assert len(heir.service.subscriptions) == subscriptions


async def test_also_when_another_node_passed_it_on(fleet: Fleet, pair: Pair) -> None:
    _, heir = pair
    lead_elsewhere(fleet, heir, "http://127.0.0.1:1")
    not_told_yet(heir)
    headers = {"Leadplane_Hop": "1", "Leadplane_Named_Epoch": "10"}
    put = await put_until_held(heir, asked=2, **headers)
    heir.service.answer = None
    heir.service.catch_up()
    assert served_by(await put)[0] == "n2"


@pytest.mark.parametrize("named", ["9", "10"])
async def test_it_is_not_held_for_long_and_not_for_an_epoch_that_is_over(
    fleet: Fleet, named: str
) -> None:
    heir = await fleet.node("n2", "eu", ApiSettings(named_wait_ms=50))
    fleet.fake.lead("n2")
    lead_elsewhere(fleet, heir, "http://127.0.0.1:1")
    not_told_yet(heir)
    reply = await heir.send("PUT", PATH, b"x", Leadplane_Hop="1", Leadplane_Named_Epoch=named)
    assert (reply.status, kind(reply)) == (421, "not-leader")
    assert document(reply)["leader"]["epoch"] == 9
    assert len(heir.service.asked) == {"9": 0, "10": 2}[named]


# ---------------------------------------------------------------- the shard map


async def test_a_new_map_is_used_at_once(node: Node) -> None:
    before = shard_of_a(node)
    assert (await node.get(PATH)).headers["Leadplane-Shard"] == before
    shards = node.service.fleet_of.shards
    other = next(name for name in shards if name not in (before, "system"))
    for name, shard in shards.items():
        shard.first_slot, shard.end_slot = (0, 2**24) if name == other else (0, 0)
    node.service.map_version += 1
    assert (await node.get(PATH)).headers["Leadplane-Shard"] == other


async def test_without_a_map_a_node_is_not_ready(node: Node) -> None:
    node.service.known = {}
    node.service.map_version += 1
    for path in (PATH, "/v1/route?key=a", "/v1/kv?partition=a"):
        reply = await node.get(path)
        assert (reply.status, kind(reply)) == (503, "not-ready")


async def test_a_leader_in_the_hint_is_remembered_from_a_refusal_at_home(pair: Pair) -> None:
    """A stale read teaches the table as well."""
    leader, follower = pair
    shard = shard_of_a(leader)
    leader.service.fleet_of.shards[shard].epoch = 7
    leader.service.catch_up()
    follower.service.known[shard] = (6, None)
    hint = LeaderHint("n1", "eu", leader.url, 7)
    follower.service.answer = lambda request: Refused(Problem.STALE, "behind", hint)
    assert served_by(await follower.get(PATH + "?consistency=bounded"))[0] == "n1"


async def test_a_write_whose_shard_goes_over_into_another_meanwhile_goes_there(pair: Pair) -> None:
    other, asked = pair
    parent, fleet = shard_of_a(asked), asked.service.fleet_of
    fleet.lead("n2", parent)

    def moves(request: Request) -> Refused:
        """Before the node answers, its map shows the child, which another node leads."""
        fleet.shards["s9"] = replace(fleet.shards.pop(parent), shard="s9")
        for service in fleet.nodes.values():
            service.continued = {"s9": (parent,)}
            service.map_version += 1
        fleet.lead("n1", "s9")
        asked.service.answer = None
        return Refused(Problem.NOT_LEADER, "n1 leads s9", asked.service.hint("s9"))

    asked.service.answer = moves
    reply = await asked.send("PUT", PATH, b"x")
    assert (reply.status, reply.headers["Leadplane-Shard"]) == (200, "s9")
    assert (await other.get(PATH)).body == b"x"
