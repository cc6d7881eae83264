"""What a backup says of itself: of which fleet it is, which groups there were, what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

FORMAT: Final = "leadplane-backup"
VERSION: Final = 1
"""Of the format of the file; another one is refused."""


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A group of stores as it was: its version, its leases, ids of its stores; `made`: there is a
    record of it in the system shard, since no topology tells of it."""

    group: str
    version: int
    ttl_ms: int
    set_ttl_ms: int
    floor: int
    made: bool
    voters: tuple[str, ...]
    followers: tuple[str, ...]

    @property
    def stores(self) -> tuple[str, ...]:
        """Voters and followers."""
        return (*self.voters, *self.followers)


@dataclass(frozen=True, slots=True)
class SavedShard:
    """One shard: its committed prefix up to `position`, and where in the file it is.

    `position` is [epoch, sequence, chain] of the last entry. `promised` is the greatest epoch that
    any store of the group had promised; `tail` how many entries a store had behind the position
    that were not known to be committed. A `closed` shard has gone over into others.
    """

    shard: str
    group: str
    position: tuple[int, int, int]
    promised: int
    tail: int
    closed: bool
    store: str
    section: str
    frames: int
    records: int
    entries: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of it. `places` are stores that the fleet knows, and where they were."""

    made_ms: int
    release: str
    cluster: str
    places: Mapping[str, str]
    nodes: tuple[str, ...]
    groups: tuple[SavedGroup, ...]
    shards: tuple[SavedShard, ...]

    @property
    def led(self) -> int:
        """How many shards are to be led: the system shard, and those of clients."""
        return sum(not shard.closed for shard in self.shards)

    def shards_of(self, group: str) -> tuple[SavedShard, ...]:
        """Those that the stores of a group hold."""
        return tuple(shard for shard in self.shards if shard.group == group)


def write_manifest(manifest: Manifest) -> bytes:
    """As it is kept in the file."""
    document = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode()


def read_manifest(text: bytes) -> Manifest:
    """What was kept. Raises ValueError that says what is wrong."""
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("its manifest is of something else")
    if document.get("version") != VERSION:
        raise ValueError(
            f"it is of version {document.get('version')!r} of the format, "
            f"and this release reads version {VERSION}"
        )
    try:
        return Manifest(
            int(document["made_ms"]),
            str(document["release"]),
            str(document["cluster"]),
            {str(store): str(where) for store, where in document["places"].items()},
            tuple(map(str, document["nodes"])),
            tuple(_group(each) for each in document["groups"]),
            tuple(_shard(each) for each in document["shards"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its manifest cannot be read: {error!r}") from error


def _group(found: dict[str, Any]) -> SavedGroup:
    lists = {"voters": tuple(found["voters"]), "followers": tuple(found["followers"])}
    return SavedGroup(**found | lists)


def _shard(found: dict[str, Any]) -> SavedShard:
    epoch, sequence, chain = found["position"]
    return SavedShard(**found | {"position": (int(epoch), int(sequence), int(chain))})
