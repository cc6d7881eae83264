"""Files of stores, damaged: a real store starts with a roll-back, and with nothing that is torn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controlplane.chaos import aof
from controlplane.chaos.store_words import ask_store
from controlplane.embedded import StoreProcess, free_ports
from controlplane.errors import ChildStartFailed
from controlplane.store_config import StoreSpec, find_store_binary

WRITES = 100


async def store_with_data(folder: Path) -> StoreProcess:
    """A store that was written to, and has ended."""
    store = StoreProcess(StoreSpec("s1", folder, free_ports(1)[0], find_store_binary()))
    await store.start()
    for number in range(WRITES):
        await ask_store("127.0.0.1", store.spec.port, "SET", f"key{number}", "*3\r\n$3\r\nodd")
    script = "redis.call('SET', 'in', 1); redis.call('SET', 'one', 1) return 1"
    await ask_store("127.0.0.1", store.spec.port, "EVAL", script, "0")
    await store.kill()
    return store


async def test_a_roll_back_starts_and_has_forgotten(tmp_path: Path) -> None:
    store = await store_with_data(tmp_path)
    assert "between two commands" in aof.roll_back(tmp_path)
    await store.start()
    kept = int(await ask_store("127.0.0.1", store.spec.port, "DBSIZE"))
    await store.stop()
    assert WRITES // 2 < kept < WRITES


async def test_a_file_cut_within_a_command_is_refused_by_its_store(tmp_path: Path) -> None:
    store = await store_with_data(tmp_path)
    assert "within a command" in aof.cut_short(tmp_path)
    with pytest.raises(ChildStartFailed) as failure:
        await store.start()
    assert "Unexpected end of file" in failure.value.log_tail
    assert not store.running


async def test_a_wiped_store_starts_empty(tmp_path: Path) -> None:
    store = await store_with_data(tmp_path)
    await asyncio.to_thread(aof.wipe, tmp_path)
    await store.start()
    assert await ask_store("127.0.0.1", store.spec.port, "DBSIZE") == b"0"
    await store.stop()


async def test_a_refusal_of_the_store_is_raised(tmp_path: Path) -> None:
    store = StoreProcess(StoreSpec("s1", tmp_path, free_ports(1)[0], find_store_binary()))
    await store.start()
    with pytest.raises(ValueError, match="refuses NONSENSE"):
        await ask_store("127.0.0.1", store.spec.port, "NONSENSE")
    await store.stop()


def test_nothing_ends_between_the_commands_of_a_transaction() -> None:
    def command(*words: bytes) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)

    content = b"#TS:1\r\n" + command(b"SET", b"a", b"1") + command(b"MULTI")
    first = len(content) - len(command(b"MULTI"))
    content += command(b"SET", b"b", b"2") + command(b"exec") + command(b"SET", b"c", b"3")
    assert list(aof.ends_in(content)) == [
        first,
        len(content) - len(command(b"SET", b"c", b"3")),
        len(content),
    ]
