"""What a node answered over HTTP, as the outcome that the checkers know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from controlplane.http_client import PeerReply
from controlplane.requests import (
    Found,
    Outcome,
    Problem,
    Provenance,
    Refused,
    Role,
    Value,
    Written,
)
from shards.position import decode

UNKNOWN = "unknown"


def write_answer(reply: PeerReply) -> Outcome:
    """What became of a write."""
    if reply.status >= 300:
        return _refused(reply)
    headers = reply.headers
    replayed = headers.get("Idempotency-Replayed") == "true"
    return Written(
        headers["Leadplane-Shard"],
        int(headers["Leadplane-Epoch"]),
        int(headers["Leadplane-Version"]),
        replayed,
    )


def read_answer(shard: str, reply: PeerReply) -> Outcome:
    """What a read of one key showed; an absent key is an answer, too."""
    headers = reply.headers
    is_absent = reply.status == 404 and "Leadplane-Staleness-Ms" in headers
    if reply.status >= 300 and not is_absent:
        return _refused(reply)
    value = None if is_absent else Value(int(headers["Leadplane-Version"]), reply.body)
    return Found((value,), _provenance(shard, headers))


def _provenance(shard: str, headers: Mapping[str, str]) -> Provenance:
    staleness = headers["Leadplane-Staleness-Ms"]
    return Provenance(
        headers["Leadplane-Shard"],
        int(headers["Leadplane-Epoch"]),
        decode(headers["Leadplane-Position"]).get(shard, 0),
        None if staleness == UNKNOWN else int(staleness),
        Role(headers["Leadplane-Role"]),
        headers["Leadplane-Served-By"],
    )


def _refused(reply: PeerReply) -> Outcome:
    """A refusal as the node meant it; what is no word of a node leaves the outcome unknown."""
    try:
        document: dict[str, Any] = orjson.loads(reply.body)
        kind = Problem(str(document["type"]).rsplit("/", 1)[1])
        version = document.get("version")
    except (ValueError, KeyError, IndexError, TypeError):
        if reply.status == 503:
            return Refused(Problem.NO_LEADER, f"HTTP {reply.status}")
        return Refused(Problem.UNKNOWN_OUTCOME, f"HTTP {reply.status}")
    return Refused(kind, str(document.get("detail", "")), version=version)
