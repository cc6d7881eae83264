"""What is in force in which region: targets, and the revisions that they name.

Keys lie in the shard `system`, partition `effect`. Under `target/<document>/<region>` is what one
region is to run while a rollout is on, or where one was held; under `target/<document>/*` what all
others do. A target names a version and its digest, and which step of which rollout ordered it. The
revision itself lies under `live/<document>/<version>`, once, as long as a target names it. So a
region that nobody has spoken of, since it is new or was away, runs what all run, and never what is
still being tried; and every node holds what is in force, not the whole history.

A target may be for a part of the region's nodes: those with a place in line up to `within`. Places
follow from the names of document and node alone, so that each node knows its own, and those that
came first stay in when more follow; all others run what the target says was before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
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

    `epoch` is that of the global leader which ordered it. With `within`, nodes that come later in
    line run `before` instead.
    """

    version: int
    digest: str
    rollout: int
    step: int
    epoch: int
    within: int = 0
    before: int = 0
    before_digest: str = ""

    def packed(self) -> bytes:
        """As kept in the system shard."""
        found = [self.version, self.digest, self.rollout, self.step, self.epoch]
        part = [self.within, self.before, self.before_digest] if self.within else []
        return pack([*found, *part])

    def at(self, document: str, node: str) -> Target:
        """The same, as it is for one node."""
        if not self.within or place_in_line(document, node) <= self.within:
            return self
        return replace(self, version=self.before, digest=self.before_digest)

    @property
    def settled(self) -> tuple[int, str]:
        """What the region is to run when nothing is tried there: version and digest."""
        return (self.before, self.before_digest) if self.within else (self.version, self.digest)

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that some node of the region is to run."""
        return (self.version, self.before) if self.within else (self.version,)

    def is_for_all(self, version: int, digest: str) -> bool:
        """Whether every node of the region is to run this."""
        return not self.within and (self.version, self.digest) == (version, digest)


def place_in_line(document: str, node: str) -> int:
    """When a node takes up a document's versions, among the nodes of its region: from 1 on."""
    return int.from_bytes(sha256(f"{document}/{node}".encode()).digest()[:6]) + 1


def first_in_line(document: str, nodes: Collection[str], percent: int) -> int:
    """Up to which place in line so many percent of these nodes are, at least one; 0: all of them,
    whoever is yet to come, which is only meant by 100."""
    places = sorted(place_in_line(document, node) for node in nodes)
    if percent >= 100 or not places:
        return 0
    return places[ceil(len(places) * percent / 100) - 1]


def read_target(value: bytes | str) -> Target:
    """From the system shard; raises ValueError when it is something else."""
    match unpack(as_bytes(value)):
        case [int() as version, str() as digest, int() as rollout, int() as step, int() as epoch]:
            return Target(version, digest, rollout, step, epoch)
        case [
            int() as version, str() as digest, int() as rollout, int() as step, int() as epoch,
            int() as within, int() as before, str() as before_digest,
        ]:  # fmt: skip
            return Target(version, digest, rollout, step, epoch, within, before, before_digest)
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
