"""Checks that no installed server can fail: an old version, and a store that gives odd answers."""

from __future__ import annotations

from typing import Any

import pytest

from regions.errors import StoreReplyMalformed
from regions.redis_checks import Requirements, check_store, read_reply
from regions.store_errors import ServerClustered, ServerTooOld
from shards.scripts.library import leadplane_library

REQUIRED = Requirements(leadplane_library())


async def refused(info: str, kind: type[Exception]) -> str:
    async def ask(*words: Any) -> Any:
        assert words == ("INFO",), "nothing else is asked of such a server"
        return info.encode()

    with pytest.raises(kind) as caught:
        await check_store(ask, "here:1", REQUIRED)
    return str(caught.value)


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ("redis_version:6.2.14\r\n", "redis 6.2.14 is older than 7.0"),
        ("redis_version:5.0\r\n", "redis 5.0 is older than 7.0"),
        ("redis_version:7.2.4\r\nvalkey_version:7.2.11\r\n", "valkey 7.2.11 is older than 8.0"),
    ],
)
async def test_an_old_server_is_refused(info: str, found: str) -> None:
    assert found in await refused(info, ServerTooOld)


async def test_a_sentinel_is_refused() -> None:
    info = "redis_version:7.0.15\r\nredis_mode:sentinel\r\n"
    assert "sentinel" in await refused(info, ServerClustered)


@pytest.mark.parametrize("data", [b"", b"OK", 7, None, [b"OK"]])
def test_what_is_no_reply_is_malformed(data: Any) -> None:
    with pytest.raises(StoreReplyMalformed, match="here:1"):
        read_reply("here:1", data)
