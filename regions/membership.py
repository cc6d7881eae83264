"""Who belongs to a group, and for how long its leases hold: what every one of its stores knows.

A voter is its *incarnation*, not its name: a store that forgot what it held is somebody else, even
at the same address. The lease must be the same for all: a node that believed in a shorter one would
take over while the holder may still serve. So both stand in the description, which is decided once
for each version of a group, and never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regions.codec import Code, as_text

FIRST_VERSION = 1
DESCRIPTION_AT = 3  # [code, version, state, description, ...]


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """One version of a group. Voters and followers map a store's id to its incarnation."""

    group: str
    version: int
    ttl_ms: int
    voters: Mapping[str, str]
    followers: Mapping[str, str]

    @property
    def incarnations(self) -> dict[str, str]:
        """The incarnation of every store of the group."""
        return {**self.voters, **self.followers}


def write_description(description: GroupDescription) -> bytes:
    """The description as stores keep it; equal descriptions give equal bytes."""
    document = {
        "group": description.group,
        "version": description.version,
        "ttl_ms": description.ttl_ms,
        "voters": _members(description.voters),
        "followers": _members(description.followers),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _members(stores: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"store": s, "incarnation": i} for s, i in sorted(stores.items())]


def read_description(text: bytes | str) -> GroupDescription:
    """The description in `text`. Raises ValueError when it is none."""
    try:
        document = json.loads(as_text(text))
        return GroupDescription(
            str(document["group"]),
            int(document["version"]),
            int(document["ttl_ms"]),
            {m["store"]: m["incarnation"] for m in document["voters"]},
            {m["store"]: m["incarnation"] for m in document["followers"]},
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the description of a group: {error!r}") from error


def ask_for_description(group: str) -> list[Any]:
    """A command that is refused by every store of the group, with the group's description."""
    return ["observe", group, 0, 0, 1]


def description_in(result: list[Any]) -> GroupDescription | None:
    """What a store answered to `ask_for_description`, None when it is no member of the group."""
    if result[0] == Code.NOT_MEMBER or not result[DESCRIPTION_AT]:
        return None
    return read_description(result[DESCRIPTION_AT])
