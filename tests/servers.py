"""Real store processes for tests: on loopback, on a free port, gone when the test is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from controlplane.embedded import free_ports

READY_SECONDS = 40
RIGHT_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "no",
    "maxmemory-policy": "noeviction",
    "save": "",
}


@dataclass(frozen=True)
class Server:
    """One running server."""

    name: str
    port: int
    pid: int
    binary: Path

    def client(self) -> redis.Redis:
        """A client of its own; the caller closes it."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=30)


def free_port() -> int:
    """A port nobody listens on now."""
    (port,) = free_ports(1)  # not one that the kernel may give to a connection meanwhile
    return port


@contextmanager
def running(
    name: str, binary: Path, settings: dict[str, str], data: Path | None = None
) -> Iterator[Server]:
    """Run a server with these settings until the block ends, then kill it.

    What it wrote goes with it, unless it was given a folder for its data.
    """
    folder = data or Path(tempfile.mkdtemp(prefix="leadplane-test-"))
    port = free_port()
    arguments = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    for setting, value in settings.items():
        arguments += [f"--{setting}", value]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        _wait_until_ready(process, port, folder / "log")
        yield Server(name, port, process.pid, binary)
    finally:
        process.kill()
        process.wait()
        if data is None:
            shutil.rmtree(folder)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Ask until it answers; it must be our process that does."""
    give_up = time.monotonic() + READY_SECONDS
    with redis.Redis(host="127.0.0.1", port=port, socket_timeout=READY_SECONDS) as client:
        while True:
            assert process.poll() is None, f"the server ended:\n{log.read_text()}"
            try:
                pid = client.info("server")["process_id"]
                break
            except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                assert time.monotonic() < give_up, f"it does not answer:\n{log.read_text()}"
                time.sleep(0.01)
    assert pid == process.pid, f"another process answers on port {port}"
