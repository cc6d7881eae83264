"""Embedded stores, with real processes: they serve, say why not, come back, and never linger."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest

from controlplane.child_process import ChildProcess, end_orphan, ending_of
from controlplane.embedded import (
    StoreFate,
    StoreNews,
    StoreProcess,
    free_ports,
    keep_running,
)
from controlplane.ephemeral import ephemeral_directory, remove_abandoned
from controlplane.errors import ChildStartFailed, DirectoryInUse, StoreBinaryMissing
from controlplane.process_identity import ProcessIdentity, identity_of
from controlplane.store_config import StoreSpec, find_store_binary, store_config

MakeStore = Callable[..., StoreProcess]


@pytest.fixture
async def make_store(tmp_path: Path) -> AsyncIterator[MakeStore]:
    """Make stores that are stopped when the test is over."""
    made: list[StoreProcess] = []

    def make(name: str = "s1", *, port: int | None = None, **options: object) -> StoreProcess:
        binary = options.pop("binary", None) or find_store_binary()
        assert isinstance(binary, Path)
        spec = StoreSpec(name, tmp_path / name, port or free_ports(1)[0], binary)
        made.append(StoreProcess(spec, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for store in made:
        await store.stop(grace_ms=1_000)


async def ask(port: int, *words: str) -> bytes:
    """Send one command and give the first 4 KiB of the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
        writer.write("".join(parts).encode())
        return await asyncio.wait_for(reader.read(4_096), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def setting(port: int, name: str) -> str:
    """Ask a store what one of its settings is."""
    return (await ask(port, "CONFIG", "GET", name)).split(b"\r\n")[4].decode()


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for a condition; fail the test when it does not come true in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true"
        await asyncio.sleep(0.01)


async def test_a_started_store_serves_with_the_settings_of_a_store(make_store: MakeStore) -> None:
    store = make_store()
    await store.start()
    port = store.spec.port
    assert await ask(port, "PING") == b"+PONG\r\n"
    expected = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
    }
    assert {name: await setting(port, name) for name in expected} == expected


@pytest.mark.needs_binary("redis-server")
async def test_redis_serves_with_the_same_configuration(make_store: MakeStore) -> None:
    store = make_store(binary=find_store_binary("redis-server"))
    await store.start()
    assert await setting(store.spec.port, "appendfsync") == "always"


async def test_memory_can_be_limited(tmp_path: Path) -> None:
    spec = StoreSpec("s1", tmp_path / "s1", free_ports(1)[0], find_store_binary(), 64)
    store = StoreProcess(spec)
    try:
        await store.start()
        assert await setting(spec.port, "maxmemory") == str(64 * 1_048_576)
    finally:
        await store.stop()


async def test_a_crash_forgets_nothing(make_store: MakeStore) -> None:
    store = make_store()
    await store.start()
    first_pid = store.pid
    assert await ask(store.spec.port, "SET", "k", "v") == b"+OK\r\n"
    await store.kill()
    assert not store.running
    await store.start()
    assert store.pid != first_pid
    assert await ask(store.spec.port, "GET", "k") == b"$1\r\nv\r\n"


async def test_a_paused_store_is_silent_and_can_be_stopped(make_store: MakeStore) -> None:
    store = make_store()
    await store.start()
    store.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(store.spec.port, "PING"), 0.2)
    store.resume()
    assert await ask(store.spec.port, "PING") == b"+PONG\r\n"
    store.pause()
    await store.stop()
    assert not store.running


async def test_a_port_in_use_is_named(make_store: MakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        store = make_store(port=taken.getsockname()[1])
        with pytest.raises(ChildStartFailed) as failure:
            await store.start()
    assert str(store.spec.port) in str(failure.value)
    assert "choose another base port" in failure.value.hint
    assert "Address already in use" in failure.value.log_tail
    assert not store.running


async def test_another_store_on_the_port_is_not_mistaken_for_ours(make_store: MakeStore) -> None:
    first = make_store("s1")
    await first.start()
    second = make_store("s2", port=first.spec.port)
    with pytest.raises(ChildStartFailed, match="s2"):
        await second.start()
    assert await ask(first.spec.port, "PING") == b"+PONG\r\n"


async def test_a_program_that_is_no_store_is_named(make_store: MakeStore) -> None:
    store = make_store(binary=Path("/bin/cat"))
    with pytest.raises(ChildStartFailed, match=r"cat on port \d+ ended with status 0"):
        await store.start()


async def test_a_program_that_cannot_run_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("not a program")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(ChildStartFailed, match="cannot be executed"):
        await make_store(binary=tmp_path / "broken").start()


async def test_a_store_that_keeps_silent_is_given_up_and_ended(
    make_store: MakeStore, tmp_path: Path
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    store = make_store(binary=silent)
    with pytest.raises(ChildStartFailed, match="did not answer within 200 ms"):
        await store.start(ready_ms_max=200)
    assert not store.running


async def test_damaged_data_is_refused_with_advice(make_store: MakeStore) -> None:
    store = make_store()
    await store.start()
    await ask(store.spec.port, "SET", "key", "value")
    await store.kill()
    (log,) = (store.spec.directory / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(log.read_bytes()[:-3])
    with pytest.raises(ChildStartFailed) as failure:
        await store.start()
    assert "never repair it" in failure.value.hint


async def test_a_store_that_dies_is_started_again_until_it_is_stopped(
    make_store: MakeStore,
) -> None:
    store = make_store()
    await store.start()
    news: list[StoreNews] = []
    keeper = asyncio.create_task(keep_running(store, news.append))
    pid = store.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(news) == 2)
    assert [item.fate for item in news] == [StoreFate.DIED, StoreFate.RESTARTED]
    assert news[0].detail == "killed by SIGKILL"
    assert await ask(store.spec.port, "PING") == b"+PONG\r\n"
    await store.stop()
    await asyncio.wait_for(keeper, 5)
    assert len(news) == 2


async def test_a_store_that_is_held_stays_down_until_it_is_let_go(make_store: MakeStore) -> None:
    store = make_store()
    await store.start()
    news: list[StoreNews] = []
    keeper = asyncio.create_task(keep_running(store, news.append))
    store.may_rise.clear()
    await store.kill()
    await until(lambda: len(news) == 1)
    await until(lambda: len(store.may_rise._waiters) == 1)  # its keeper has come so far
    assert not store.running
    assert [item.fate for item in news] == [StoreFate.DIED]
    store.may_rise.set()
    await until(lambda: len(news) == 2)
    assert news[1].fate is StoreFate.RESTARTED
    await store.stop()
    await asyncio.wait_for(keeper, 5)


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from controlplane.embedded import StoreProcess, free_ports
from controlplane.store_config import StoreSpec, find_store_binary

async def main():
    spec = StoreSpec("s1", Path(sys.argv[1]), free_ports(1)[0], find_store_binary())
    store = StoreProcess(spec, dies_with_parent=sys.argv[2] == "tied")
    await store.start()
    print(store.pid, spec.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def supervisor(directory: Path, tie: str) -> tuple[asyncio.subprocess.Process, int, int]:
    """Run a supervisor with one store in another process; give it, the store's pid and port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(directory), tie, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    pid, port = line.split()
    return process, int(pid), int(port)


async def test_a_store_dies_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    process, pid, _ = await supervisor(tmp_path / "s1", "tied")
    store = identity_of(pid)
    assert store is not None
    process.kill()
    await process.wait()
    await until(lambda: not store.alive)


async def test_an_orphan_is_ended_by_the_next_start(make_store: MakeStore, tmp_path: Path) -> None:
    process, pid, port = await supervisor(tmp_path / "s1", "loose")
    orphan = identity_of(pid)
    assert orphan is not None
    store = make_store("s1", port=port)
    with pytest.raises(DirectoryInUse, match=str(process.pid)):
        await store.start()
    assert orphan.alive, "it is no orphan while its supervisor lives"
    process.kill()
    await process.wait()
    assert orphan.alive, "nothing tied it to its supervisor"
    await store.start()
    assert not orphan.alive
    assert store.pid != pid


async def test_a_stale_pid_file_never_hits_a_process_with_the_same_number(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        us = identity_of(bystander.pid)
        assert us is not None
        earlier = {"pid": us.pid, "start_ticks": us.start_ticks - 1, "boot": us.boot}
        owner = {"pid": 2**22, "start_ticks": 1, "boot": us.boot}
        pid_file = tmp_path / "store.pid"
        pid_file.write_bytes(orjson.dumps({"child": earlier, "owner": owner}))
        assert await end_orphan(pid_file) is None
        assert us.alive
        assert not pid_file.exists()
        assert (
            ProcessIdentity(us.pid, us.start_ticks, "another boot").signal(signal.SIGKILL) is False
        )
        assert us.alive
    finally:
        bystander.kill()
        await bystander.wait()


@pytest.mark.parametrize("text", ["", "17", "{", '{"child": {}}', '{"child": 1, "owner": 2}'])
async def test_a_pid_file_that_is_not_ours_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.pid").write_text(text)
    assert await end_orphan(tmp_path / "store.pid") is None


async def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
    child = ChildProcess("deaf", [sys.executable, "-c", f"{deaf}; time.sleep(60)"], tmp_path)
    await child.spawn()
    await until(lambda: "up" in child.log_tail())
    await child.stop(grace_ms=50)
    assert child.exit_status == -signal.SIGKILL
    assert not child.pid_path.exists()


def test_ephemeral_directories_vanish_with_their_block_and_with_their_owner(
    tmp_path: Path,
) -> None:
    abandoned, foreign = tmp_path / "leadplane-old", tmp_path / "leadplane-foreign"
    for directory in (abandoned, foreign):
        directory.mkdir()
    gone = {"pid": 2**22, "start_ticks": 1, "boot": "earlier"}
    (abandoned / "owner.json").write_bytes(orjson.dumps(gone))
    with ephemeral_directory(tmp_path) as mine:
        assert not abandoned.exists()
        assert foreign.exists(), "without an owner file it may be anybody's"
        assert remove_abandoned(tmp_path) == []
        assert mine.is_dir()
    assert not mine.exists()


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    with contextlib.ExitStack() as held:
        for port in ports:
            held.enter_context(socket.create_server(("127.0.0.1", port)))


def test_a_missing_program_is_named() -> None:
    with pytest.raises(StoreBinaryMissing, match="no-such-server"):
        find_store_binary("no-such-server")


def test_a_directory_with_quotes_is_written_as_one_word() -> None:
    spec = StoreSpec("s1", Path('/tmp/a "b" c'), 7_000, Path("/bin/true"))
    assert 'dir "/tmp/a \\"b\\" c"\n' in store_config(spec)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (70, "exit status 70"), (-9, "killed by SIGKILL"), (-99, "signal 99")],
)
def test_an_ending_is_told_in_words(status: int, words: str) -> None:
    assert ending_of(status).endswith(words)
