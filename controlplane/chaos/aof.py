"""The append-only file of a store that is down, damaged as bad disks and bad backups damage it.

The file is a row of commands, `*N` and then N words `$length`, word. Transactions stand between
MULTI and EXEC; a file that ends within one, or within a command, ends too soon, and the store does
not start with it. One that ends well, but early, is a roll-back: the store starts, and has
forgotten.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

KEPT_SHARE = 0.7
"""How much of the file is left, about."""
_FOLDER = "appendonlydir"


def wipe(store: Path) -> str:
    """Remove everything that the store keeps; say what was done."""
    shutil.rmtree(store / _FOLDER)
    return "its data was removed"


def cut_short(store: Path) -> str:
    """End the file within a command; say what was done."""
    path, content = _newest(store)
    ends = [end for end in ends_in(content) if end <= len(content) * KEPT_SHARE]
    at = (ends[-1] if ends else 0) + 3
    path.write_bytes(content[:at])
    return f"{path.name} was cut from {len(content):,} to {at:,} bytes, within a command"


def roll_back(store: Path) -> str:
    """End the file early, between two commands; say what was done."""
    path, content = _newest(store)
    ends = [end for end in ends_in(content) if end <= len(content) * KEPT_SHARE]
    at = ends[-1] if ends else 0
    path.write_bytes(content[:at])
    return f"{path.name} was cut from {len(content):,} to {at:,} bytes, between two commands"


def _newest(store: Path) -> tuple[Path, bytes]:
    path = max((store / _FOLDER).glob("*.incr.aof"), key=lambda p: int(p.name.split(".")[-3]))
    return path, path.read_bytes()


def ends_in(content: bytes) -> Iterator[int]:
    """Where the file could end without ending within anything."""
    at, within = 0, False
    while at < len(content):
        if content[at : at + 1] == b"#":  # a note on the time
            at = content.index(b"\n", at) + 1
            continue
        at, first = _command(content, at)
        if first == b"MULTI":
            within = True
        elif first == b"EXEC":
            within = False
        if not within:
            yield at


def _command(content: bytes, at: int) -> tuple[int, bytes]:
    """Where the command ends that begins here, and its first word, in capitals."""
    line = content.index(b"\r\n", at)
    count, at, first = int(content[at + 1 : line]), line + 2, b""
    for number in range(count):
        line = content.index(b"\r\n", at)
        begins = line + 2
        ends = begins + int(content[at + 1 : line])
        if number == 0:
            first = content[begins:ends].upper()
        at = ends + 2
    return at, first
