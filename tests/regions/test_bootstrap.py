"""Initialising a fleet on real servers: all or nothing, and the same again when interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from controlplane.store_config import find_store_binary
from regions.bootstrap import NewGroup, bootstrap
from regions.codec import Code
from regions.conversation import MakeLane, conversation
from regions.membership import ask_for_description, description_in, read_description
from regions.redis_store import RedisStore
from regions.store import OnLost, StoreAddress
from regions.store_errors import BootstrapRefused
from shards.scripts.library import leadplane_library
from tests.servers import RIGHT_SETTINGS, Server, free_port, running

STORES = ("a", "b", "c")
GROUPS = [NewGroup("global", 6_000, ("a", "b", "c")), NewGroup("region/eu", 2_000, ("a",), ("b",))]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        binary = find_store_binary()
        yield {
            store: stack.enter_context(running(store, binary, RIGHT_SETTINGS)) for store in STORES
        }


@pytest.fixture
def stores(servers: dict[str, Server]) -> dict[str, MakeLane]:
    """What makes lanes to three empty stores."""
    for server in servers.values():
        with server.client() as client:
            client.flushall()
    return {store: maker(server.port) for store, server in servers.items()}


def maker(port: int) -> MakeLane:
    def make_lane(on_lost: OnLost) -> RedisStore:
        address = StoreAddress("127.0.0.1", port)
        return RedisStore(address, on_lost, leadplane_library(), may_be_empty=True)

    return make_lane


async def test_every_store_mints_its_own_and_knows_its_groups(
    stores: dict[str, MakeLane],
) -> None:
    incarnations = await bootstrap(stores, GROUPS, "nonce")
    assert len(set(incarnations.values())) == 3
    async with conversation(stores["b"]) as talk:
        assert talk.status.identity.incarnation == incarnations["b"]
        assert talk.status.groups == (("global", 1, "open"), ("region/eu", 1, "open"))
        regional = description_in(await talk.result(ask_for_description("region/eu")))
    assert regional is not None
    assert (regional.group, regional.version, regional.ttl_ms) == ("region/eu", 1, 2_000)
    assert regional.voters == {"a": incarnations["a"]}
    assert regional.followers == {"b": incarnations["b"]}
    async with conversation(stores["c"]) as talk:
        answer = await talk.result(ask_for_description("region/eu"))
        assert answer[0] == Code.NOT_MEMBER
        assert description_in(answer) is None


async def test_it_can_be_repeated_after_any_interruption(stores: dict[str, MakeLane]) -> None:
    only_minted = await bootstrap({"a": stores["a"]}, [], "nonce")
    halfway = await bootstrap(stores, GROUPS[:1], "nonce")
    assert halfway["a"] == only_minted["a"]
    assert await bootstrap(stores, GROUPS, "nonce") == halfway
    assert await bootstrap(stores, GROUPS, "nonce") == halfway


async def test_a_store_that_is_not_empty_stops_it_before_anything_is_written(
    stores: dict[str, MakeLane], servers: dict[str, Server]
) -> None:
    await bootstrap({"b": stores["b"]}, [], "another nonce")
    with servers["c"].client() as client:
        client.set("mine", "x")
    with pytest.raises(BootstrapRefused) as caught:
        await bootstrap(stores, GROUPS, "nonce")
    assert "'mine'" in str(caught.value)
    with servers["c"].client() as client:
        client.delete("mine")
    with pytest.raises(BootstrapRefused) as caught:
        await bootstrap(stores, GROUPS, "nonce")
    assert "b: it is not empty" in str(caught.value)
    with servers["a"].client() as client:
        assert client.dbsize() == 0


async def test_the_store_must_have_the_name_it_had(stores: dict[str, MakeLane]) -> None:
    await bootstrap({"a": stores["a"]}, [], "nonce")
    with pytest.raises(BootstrapRefused, match="store 'a'"):
        await bootstrap({"b": stores["a"]}, [], "nonce")


async def test_every_unreachable_store_is_named(stores: dict[str, MakeLane]) -> None:
    unreachable = stores | {"b": maker(free_port()), "c": maker(free_port())}
    with pytest.raises(BootstrapRefused) as caught:
        await bootstrap(unreachable, GROUPS, "nonce")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["b", "c"]


async def test_a_group_that_exists_with_other_members_is_left_alone(
    stores: dict[str, MakeLane],
) -> None:
    await bootstrap(stores, [NewGroup("g", 2_000, ("a", "b"))], "nonce")
    with pytest.raises(BootstrapRefused, match="a: it does not take group 'g'"):
        await bootstrap(stores, [NewGroup("g", 2_000, ("a", "c"))], "nonce")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"group": "g", "version": 1, "voters": 7}'])
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_description(text)
