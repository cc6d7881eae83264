"""How much room a store has left: its memory as it says, its disk where that is on this machine."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from regions.redis_checks import Ask, parse_info
from regions.store import StoreRoom


async def local_folder(ask: Ask, host: str) -> Path | None:
    """Where the store behind `ask` keeps its append-only file, if that is a folder seen from here.

    Only a store on loopback can be; and only if its files are there: one in a container may name
    a folder that exists here too.
    """
    if not _is_loopback(host):
        return None
    flat = [value.decode() for value in await ask("CONFIG", "GET", "dir", "appenddirname")]
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    folder = Path(found.get("dir", "")) / found.get("appenddirname", "")
    return folder if found.get("appenddirname") and folder.is_dir() else None


def room_of(memory: bytes, folder: Path | None) -> StoreRoom:
    """From the reply to INFO memory, and a look at the disk. A store without a limit of its own has
    that of its machine. Raises ValueError when the reply is not one."""
    info = parse_info(memory)
    try:
        used = int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))
        limit = int(info["maxmemory"]) or int(info.get("total_system_memory", 0))
    except KeyError as missing:
        raise ValueError(f"INFO memory does not say {missing}") from missing
    free = size = None
    if folder is not None and (disk := _disk(folder)) is not None:
        free, size = disk
    return StoreRoom(used, limit, free, size)


def _disk(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None  # the folder is gone, or not ours to see: nothing is known of the disk
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
