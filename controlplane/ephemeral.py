"""Directories that vanish with their owner, even with one that had no time to clear up.

A file in each names the process that made it. Whoever makes the next one removes those whose
process is gone, so a crash leaves a directory behind only until the next start.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import orjson

from controlplane.process_identity import ProcessIdentity, identity_of

PREFIX = "leadplane-"
_OWNER_FILE = "owner.json"


@contextmanager
def ephemeral_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make a directory for as long as the block runs, under `parent` or the system's place for it.

    Removes, before that, what crashed owners of this user left in the same place.
    """
    root = parent or Path(tempfile.gettempdir())
    remove_abandoned(root)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        owner = identity_of(os.getpid())
        if owner is not None:
            (directory / _OWNER_FILE).write_bytes(orjson.dumps(asdict(owner)))
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the ephemeral directories under `root` whose owner has ended; name them.

    One without a readable owner file, or of another user, is left alone: it may be somebody's.
    """
    removed = []
    for directory in root.glob(f"{PREFIX}*"):
        owner = _owner_of(directory)
        if owner is None or owner.alive:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        removed.append(directory)
    return removed


def _owner_of(directory: Path) -> ProcessIdentity | None:
    try:
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            return None
        return ProcessIdentity(**orjson.loads((directory / _OWNER_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
