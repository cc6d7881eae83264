"""What a server must be before it is trusted as a store, asked of the server itself.

A store that acknowledges must not forget, must not be copied behind Leadplane's back, and must
run exactly the function library of this program. Every check is made on each new connection: a
server may have been restarted with other settings since the last one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from regions.codec import FORMAT, Code, Reply, pack_call, unpack_reply
from regions.errors import StoreReplyMalformed
from regions.scripts.library import NAME, Library, digest_in
from regions.store import StoreIdentity, StoreStatus
from regions.store_errors import (
    ForeignData,
    LibraryDiffers,
    OtherIncarnation,
    ServerClustered,
    ServerMisconfigured,
    ServerReplicated,
    ServerTooOld,
    StoreForgot,
    WrongStore,
)

Ask: TypeAlias = Callable[..., Awaitable[Any]]
"""Sends one command and returns its reply as bytes, or lists of them; error replies are raised."""

OLDEST = {"valkey": (8, 0), "redis": (7, 0)}
DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "no",
}
ALWAYS = {"maxmemory-policy": "noeviction"}
KEY_PREFIX = b"lp:"
SCAN_PAGE = 1_000
SCANS_MAX = 20
"""A store is not searched for foreign keys for longer than this, each time a lane is opened."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is asked of a store.

    `ephemeral` lets it forget when it ends: for demonstrations and tests, never for data.
    `may_be_empty` lets it be one that was never initialised; its identity is "" then.
    """

    library: Library
    expected: StoreIdentity | None = None
    ephemeral: bool = False
    may_be_empty: bool = False


async def check_store(ask: Ask, where: str, required: Requirements) -> StoreStatus:
    """Verify the server behind `ask`; says who it is. Raises a StoreUnsuitable that says what is
    wrong. Loads the function library where it is missing."""
    info = parse_info(await ask("INFO"))
    server, version = _server(info)
    _check_version(where, server, version)
    _check_mode(where, info)
    await _check_settings(ask, where, required.ephemeral)
    await _check_keys(ask, where, info)
    found = await ask("HMGET", "lp:meta", "id", "inc")
    if found[1] is None and not required.may_be_empty:
        raise StoreForgot(f"{where}: the store is empty: it has no identity")
    await _check_library(ask, where, required.library)
    status = await _status(ask, where, f"{server} {version}")
    _check_identity(where, status.identity, required.expected)
    return status


def parse_info(text: bytes) -> dict[str, str]:
    """The fields of an INFO reply."""
    lines = text.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _server(info: dict[str, str]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "valkey", info["valkey_version"]
    return "redis", info.get("redis_version", "0")


def _check_version(where: str, server: str, version: str) -> None:
    major, minor = (*version.split("."), "0")[:2]
    if (int(major), int(minor)) < OLDEST[server]:
        oldest = ".".join(map(str, OLDEST[server]))
        raise ServerTooOld(f"{where}: {server} {version} is older than {oldest}")


def _check_mode(where: str, info: dict[str, str]) -> None:
    mode = info.get("redis_mode", info.get("server_mode", "standalone"))
    if mode != "standalone" or info.get("cluster_enabled") == "1":
        raise ServerClustered(f"{where}: the server runs in {mode} mode, not by itself")
    if info.get("role") != "master" or "master_host" in info:
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        raise ServerReplicated(f"{where}: the server is a replica of {master}")
    replicas = info.get("connected_slaves", "0")
    if replicas != "0":
        raise ServerReplicated(f"{where}: the server has {replicas} replica(s) of its own")


async def _check_settings(ask: Ask, where: str, ephemeral: bool) -> None:
    wanted = ALWAYS if ephemeral else ALWAYS | DURABLE
    flat = [value.decode() for value in await ask("CONFIG", "GET", *wanted)]
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    wrong = [
        f"{name} is {found.get(name, 'not known')}, must be {value}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    if wrong:
        raise ServerMisconfigured(f"{where}: {'; '.join(wrong)}")


async def _check_keys(ask: Ask, where: str, info: dict[str, str]) -> None:
    others = [db for db in info if db.startswith("db") and db[2:].isdigit() and db != "db0"]
    if others:
        raise ForeignData(f"{where}: there are keys in {', '.join(others)}; Leadplane uses db0")
    cursor = b"0"
    for _ in range(SCANS_MAX):
        cursor, keys = await ask("SCAN", cursor, "COUNT", SCAN_PAGE)
        foreign = sorted(key for key in keys if not key.startswith(KEY_PREFIX))
        if foreign:
            names = ", ".join(repr(key.decode("utf-8", "replace")) for key in foreign[:3])
            more = ", ..." if len(foreign) > 3 else ""
            raise ForeignData(f"{where}: there are keys that are not Leadplane's: {names}{more}")
        if cursor == b"0":
            return


async def _check_library(ask: Ask, where: str, library: Library) -> None:
    code = await _library_code(ask)
    if code is None:
        # Functions belong to the program, not to the data: a restored store may lack them. Another
        # process may be loading them just now, which is as well; so look at what is there after.
        await ask("FUNCTION", "LOAD", "REPLACE", library.code)
        code = await _library_code(ask)
    if code == library.code:
        return
    digest = None if code is None else digest_in(code)
    made = f"release {digest}" if digest else "somebody else"
    raise LibraryDiffers(
        f"{where}: its function library {NAME!r} was made by {made}, not {library.digest}"
    )


async def _library_code(ask: Ask) -> str | None:
    for flat in await ask("FUNCTION", "LIST", "LIBRARYNAME", NAME, "WITHCODE"):
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if fields[b"library_name"] == NAME.encode():
            code: bytes = fields[b"library_code"]
            return code.decode("utf-8", "replace")
    return None


async def _status(ask: Ask, where: str, server: str) -> StoreStatus:
    packed = pack_call([FORMAT, "", "", 0], [["hello", "", 0]])
    reply = read_reply(where, await ask("FCALL", "leadplane_read", 0, *packed))
    identity = StoreIdentity(reply.store_id, reply.incarnation)
    groups: tuple[tuple[str, int, str], ...] = ()
    if reply.code == Code.OK and reply.results[0][0] == Code.OK:
        groups = tuple((name, version, state) for name, version, state in reply.results[0][6])
    elif reply.code != Code.EMPTY:
        raise StoreReplyMalformed(f"{where}: the store refuses to say who it is: {reply.code}")
    return StoreStatus(identity, reply.run_id, reply.opseq, server, groups)


def read_reply(where: str, data: Any) -> Reply:
    """The reply of the function in what the server answered. Raises StoreReplyMalformed."""
    try:
        return unpack_reply(data)
    except (ValueError, TypeError) as error:
        raise StoreReplyMalformed(f"{where}: {error}") from error


def _check_identity(where: str, found: StoreIdentity, expected: StoreIdentity | None) -> None:
    if expected is None or found == expected:
        return
    if found.store_id != expected.store_id:
        raise WrongStore(f"{where}: this is store {found.store_id!r}, not {expected.store_id!r}")
    raise OtherIncarnation(
        f"{where}: {found.store_id} is incarnation {found.incarnation}, not {expected.incarnation}"
    )
