"""What is in force in which region: targets, and the revisions that they name.

Keys lie in the shard `system`, partition `effect`. Under `target/<document>/<region>` is what one
region is to run while a rollout is on, or where one was held; under `target/<document>/*` what all
others do. A target names a version and its digest, and which step of which rollout ordered it. The
revision itself lies under `live/<document>/<version>`, once, as long as a target names it. So a
region that nobody has spoken of, since it is new or was away, runs what all run, and never what is
still being tried; and every node holds what is in force, not the whole history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from regions.codec import as_bytes, pack, unpack

PARTITION: Final = "effect"
PREFIX: Final = "{effect}/"
EVERYWHERE: Final = "*"
"""In the place of a region: all of which nothing else is said."""
_TARGET: Final = f"{PREFIX}target/"
LIVE_PREFIX: Final = f"{PREFIX}live/"


@dataclass(frozen=True, slots=True)
class Target:
    """What a region is to run: version 0 is the default, or nothing where there is none.

    `epoch` is that of the global leader which ordered it.
    """

    version: int
    digest: str
    rollout: int
    step: int
    epoch: int

    def packed(self) -> bytes:
        """As kept in the system shard."""
        return pack([self.version, self.digest, self.rollout, self.step, self.epoch])


def read_target(value: bytes | str) -> Target:
    """From the system shard; raises ValueError when it is something else."""
    match unpack(as_bytes(value)):
        case [int() as version, str() as digest, int() as rollout, int() as step, int() as epoch]:
            return Target(version, digest, rollout, step, epoch)
    raise ValueError("this is no target of a format that is known here")


def targets_prefix(document: str) -> str:
    """What the keys of all targets of a document begin with. No name holds a slash."""
    return f"{_TARGET}{document}/"


def target_key(document: str, region: str = EVERYWHERE) -> str:
    """Where the target of a region lies."""
    return targets_prefix(document) + region


def live_prefix(document: str) -> str:
    """What the keys of a document's revisions begin with that are in force somewhere."""
    return f"{LIVE_PREFIX}{document}/"


def live_key(document: str, version: int) -> str:
    """Where a revision lies that is in force somewhere, or about to be."""
    return f"{live_prefix(document)}{version:012}"


def place_of(key: str) -> tuple[str, str] | None:
    """Of a target's key, the document and the region; None of another key."""
    if not key.startswith(_TARGET):
        return None
    document, _, region = key.removeprefix(_TARGET).partition("/")
    return document, region


def version_of(key: str) -> tuple[str, int] | None:
    """Of a live revision's key, the document and the version; None of another key."""
    if not key.startswith(LIVE_PREFIX):
        return None
    document, _, version = key.removeprefix(LIVE_PREFIX).partition("/")
    return (document, int(version)) if version.isdigit() else None
