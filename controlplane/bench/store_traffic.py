"""How much work stores were given and what they hold, asked of the stores themselves.

INFO is spoken by hand over a plain socket: one question a store before, one after, and nothing else
that would count. A script's own commands are counted beside the calls, and so are bytes, so that a
fleet cannot look idle by putting much into few calls.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_S = 5.0
FROM_CLIENTS = ("fcall", "evalsha", "ping", "hello", "client")
OUR_OWN = "info"


@dataclass(frozen=True, slots=True)
class StoreUse:
    """Work of some stores together, in total or for each second."""

    calls: float
    commands_inside: float
    kib: float


def store_use(ports: Sequence[int]) -> StoreUse:
    """What these stores have done since they started, our questions excepted."""
    calls = inside = moved = 0
    for port in ports:
        info = _info(port, "stats commandstats")
        moved += int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"])
        for name, value in info.items():
            if not name.startswith("cmdstat_"):
                continue
            command = name.removeprefix("cmdstat_").lower()
            count = int(value.split("calls=", 1)[1].split(",", 1)[0])
            if command.startswith(FROM_CLIENTS):
                calls += count
            elif command != OUR_OWN:
                inside += count
    return StoreUse(calls, inside, moved / 1024)


def use_per_second(ports: Sequence[int], seconds: float) -> StoreUse:
    """What these stores together do in a second, while we only wait."""
    before, started = store_use(ports), time.monotonic()
    time.sleep(seconds)
    after, elapsed = store_use(ports), time.monotonic() - started
    return StoreUse(
        round((after.calls - before.calls) / elapsed, 1),
        round((after.commands_inside - before.commands_inside) / elapsed, 1),
        round((after.kib - before.kib) / elapsed, 1),
    )


def memory_in_use(port: int) -> int:
    """Bytes that a store has allocated, for its data and for all else."""
    return int(_info(port, "memory")["used_memory"])


def _info(port: int, sections: str) -> dict[str, str]:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(f"INFO {sections}\r\n".encode())
        stream = connection.makefile("rb")
        size = int(stream.readline().removeprefix(b"$"))
        text = stream.read(size).decode()
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in pairs if value}
