"""A probe asks the right shard at the right door, and takes for served only what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson
import pytest

from controlplane.http_client import HttpClient, PeerLost, PeerReply, PeerUnreachable
from controlplane.machine import Event, Probe, Probed, Tell
from controlplane.node_plan import PeerPlan
from controlplane.runtime import peers
from controlplane.runtime.peers import Peers
from controlplane.views import FleetView, NodeView, ShardView
from regions.store import ByteCount
from shards.keyspace import SLOTS, slot_of
from tests.runtime.scripted_node import FLEET

WAIT_S = 20
SHARD = ShardView(
    shard="s1",
    group="global",
    goal="region",
    first_slot=SLOTS // 2,
    end_slot=SLOTS // 2 + SLOTS // 8,
    regions=("here",),
    epoch=1,
    leader=None,
    state="led",
    why="",
    lease_remaining_ms=None,
    position=None,
    size_bytes=None,
)

SYSTEM = replace(SHARD, shard="system", first_slot=0, end_slot=0)


class ScriptedClient(HttpClient):
    """Answers as told, and remembers what was asked."""

    def __init__(self, answer: PeerReply | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_ms: int,
        bytes_max: int | None = None,
        byte_count: ByteCount | None = None,
    ) -> PeerReply:
        self.asked.append((method, url, headers or {}, body))
        if byte_count is not None:
            byte_count.sent += len(body)
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Others:
    """The other nodes, as a scripted client reaches them."""

    def __init__(self, client: ScriptedClient, tasks: asyncio.TaskGroup) -> None:
        self.client = client
        self.events: list[Event] = []
        self.views = {"s1": SHARD, "system": SYSTEM}
        self.nodes: tuple[NodeView, ...] = ()
        self.byte_counts: dict[str, ByteCount] = {}
        self.peers = Peers(
            client,
            tasks,
            node="n1",
            peers=(PeerPlan("n2", "there", "http://two"),),
            post=self.events.append,
            fleet=self.fleet,
            shard_view=self.views.get,
            bytes_of=self.bytes_of,
        )

    def bytes_of(self, region: str) -> ByteCount:
        return self.byte_counts.setdefault(region, ByteCount())

    def fleet(self) -> FleetView:
        return replace(FLEET, nodes=self.nodes)

    async def probed(self, shard: str) -> Event:
        self.peers.probe(Probe("n2", "http://two", shard, 500))
        await until(lambda: bool(self.events))
        return self.events.pop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0)


def reply(status: int, shard: str = "s1") -> PeerReply:
    return PeerReply(status, {"Leadplane-Shard": shard}, b"")


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (reply(200), True),
        (reply(404), True),
        (PeerReply(404, {}, b""), False),
        (reply(404, "s2"), False),
        (reply(307), False),
        (reply(421), False),
        (reply(503), False),
        (PeerUnreachable("nobody"), False),
        (PeerLost("silence"), False),
    ],
)
async def test_only_an_answer_for_the_shard_counts(
    answer: PeerReply | Exception, served: bool
) -> None:
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(answer), tasks)
        assert await others.probed("s1") == Probed("n2", "s1", served)


async def test_a_probe_is_a_strong_read_that_is_not_passed_on() -> None:
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(reply(200)), tasks)
        await others.probed("s1")
        method, url, headers, _ = others.client.asked[0]
        key, _, query = url.removeprefix("http://two/v1/kv/").partition("?")
        assert (method, query, headers) == ("GET", "consistency=strong", {"Leadplane-Hop": "1"})
        assert SHARD.first_slot <= slot_of(key) < SHARD.end_slot
        await others.probed("system")
        assert others.client.asked[1][1] == "http://two/v1/shards/system/role/leader"


async def test_a_probe_follows_a_shard_whose_slots_changed() -> None:
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(reply(200)), tasks)
        await others.probed("s1")
        others.views["s1"] = replace(SHARD, first_slot=0, end_slot=SLOTS // 8)
        await others.probed("s1")
        key = others.client.asked[1][1].removeprefix("http://two/v1/kv/").partition("?")[0]
        assert slot_of(key) < SLOTS // 8


async def test_a_message_is_sent_once_to_where_the_node_is() -> None:
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(PeerLost("silence")), tasks)
        others.peers.tell(Tell("n3", {"kind": "nobody knows n3"}))
        others.nodes = (NodeView("n4", "here", "http://four/", True, 1, 0),)
        others.peers.tell(Tell("n2", {"kind": "handed"}))
        others.peers.tell(Tell("n4", {"kind": "draining"}))
    assert [(method, url) for method, url, _, _ in others.client.asked] == [
        ("POST", "http://two/internal/v1/peer"),
        ("POST", "http://four/internal/v1/peer"),
    ]
    told = {region: byte_count.sent for region, byte_count in others.byte_counts.items()}
    there, here = (len(body) for _, _, _, body in others.client.asked)
    assert told == {"there": there, "here": here}
    body = orjson.loads(others.client.asked[0][3])
    assert body == {"sender": "n1", "message": {"kind": "handed"}}


async def test_a_node_that_is_not_configured_is_looked_for_anew_once_it_is_lost() -> None:
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(PeerUnreachable("gone")), tasks)
        for url in ("http://four", "http://elsewhere"):
            others.nodes = (NodeView("n4", "here", url, True, 1, 0),)
            asked = len(others.client.asked)
            others.peers.tell(Tell("n4", {}))
            await until(lambda asked=asked: len(others.client.asked) > asked)  # type: ignore[misc]
            await asyncio.sleep(0)
    urls = [url.removesuffix(peers.PEER_PATH) for _, url, _, _ in others.client.asked]
    assert urls == ["http://four", "http://elsewhere"]


async def test_no_more_messages_than_the_limit_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "TELLS_MAX", 2)
    async with asyncio.TaskGroup() as tasks:
        others = Others(ScriptedClient(reply(200)), tasks)
        others.client.go.clear()
        for _ in range(5):
            others.peers.tell(Tell("n2", {}))
        await until(lambda: len(others.client.asked) == 2)
        others.client.go.set()
    async with asyncio.TaskGroup() as tasks:
        assert len(others.client.asked) == 2
