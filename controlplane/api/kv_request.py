"""What a client wants of a key: the request as it came, read strictly into one plain record.

This is the busiest path of the house, so it is read by hand, with the parameters' own table and
without a model in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from aiohttp import hdrs, web
from multidict import istr

from controlplane.api.edge import is_printable
from controlplane.api.parameters import CONTINUE, LIMIT, Kind, Parameter, Parameters, unescaped
from controlplane.problems import InputError, invalid
from controlplane.requests import Compare, Consistency
from shards.keyspace import key_complaint
from shards.position import (
    FIRST_LINEAGE,
    SHARDS_MAX,
    PositionInvalid,
    decode,
    encode,
    encode_one,
    merge,
)

IDEMPOTENCY_KEY: Final = istr("Idempotency-Key")
KEY_PREFIX: Final = "/v1/kv/"
MAX_STALENESS_MS: Final = 10_000
"""How old a bounded read may be when it does not say so itself."""
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
USUAL_QUERIES_MAX: Final = 256
ANY_VERSION: Final = -1
ABSENT: Final = 0

_VERSION: Final = re.compile(r'"([1-9][0-9]{0,15})"')

POSITION: Final = Parameter(
    "position", "What the client has already seen: the Leadplane-Position of its last answer."
)
MAX_STALENESS: Final = Parameter(
    "max_staleness_ms",
    f"How old a bounded read may be at most; {MAX_STALENESS_MS} if it does not say. "
    "Given without a consistency, it asks for a bounded read.",
    Kind.INTEGER,
)
QUORUM: Final = Parameter(
    "quorum",
    "Of a strong read: ask a majority of the stores instead of relying on the leader's lease, "
    "and so on no clock.",
    Kind.BOOLEAN,
)
PROXY: Final = Parameter(
    "proxy",
    "Whether the node may pass the request on. `false`: it answers 307 instead.",
    Kind.BOOLEAN,
)
FRESHNESS: Final = (
    Parameter(
        "consistency",
        "How fresh a read must be; strong if it does not say.",
        choices=tuple(consistency.value for consistency in Consistency),
    ),
    QUORUM,
    MAX_STALENESS,
    POSITION,
    PROXY,
)
READ_PARAMETERS: Final = Parameters(*FRESHNESS)
WRITE_PARAMETERS: Final = Parameters(POSITION, PROXY)
SCAN_PARAMETERS: Final = Parameters(
    Parameter("partition", "The partition whose keys are listed.", required=True),
    Parameter("prefix", "Only keys that start with this."),
    LIMIT,
    CONTINUE,
    *FRESHNESS,
)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh a read must be, and whether the node may pass it on."""

    consistency: Consistency
    max_staleness_ms: int | None
    position: Mapping[str, int]
    may_proxy: bool
    by_quorum: bool

    @property
    def needs_leader(self) -> bool:
        """Only a strong read does; the others begin at home."""
        return self.consistency is Consistency.STRONG


def key_of(request: web.Request, key_bytes_max: int) -> str:
    """The key that the path names. Raises RequestRefused when it cannot be a key."""
    key = request.rel_url.raw_path[len(KEY_PREFIX) :]
    if "%" in key:
        try:
            key = unescaped(key)
        except ValueError as complaint:
            raise invalid(InputError(str(complaint), parameter="key")) from None
    check_key("key", key, key_bytes_max)
    return key


def check_key(parameter: str, key: str, key_bytes_max: int) -> None:
    """Refuse what cannot be a key. Raises RequestRefused."""
    complaint = key_complaint(key, key_bytes_max)
    if complaint is not None:
        raise invalid(InputError(complaint, parameter=parameter))


def read_freshness(raw: str, lineage: int) -> Freshness:
    """How fresh a read must be, by its query as it was sent. Raises RequestRefused."""
    if POSITION.name in raw:
        return freshness_of(READ_PARAMETERS.parse(raw), lineage)
    return _usual_freshness(raw)


@lru_cache(maxsize=USUAL_QUERIES_MAX)
def _usual_freshness(raw: str) -> Freshness:
    """Of a query without a position: the same clients ask in the same words all the time."""
    return freshness_of(READ_PARAMETERS.parse(raw), FIRST_LINEAGE)


def freshness_of(found: Mapping[str, Any], lineage: int) -> Freshness:
    """How fresh the answer must be; a position must be of this lineage. Raises RequestRefused when
    the parameters contradict."""
    max_staleness_ms: int | None = found.get("max_staleness_ms")
    named = found.get("consistency")
    if named is None:
        consistency = Consistency.STRONG if max_staleness_ms is None else Consistency.BOUNDED
    else:
        consistency = Consistency(named)
    if consistency is Consistency.BOUNDED:
        max_staleness_ms = MAX_STALENESS_MS if max_staleness_ms is None else max_staleness_ms
    elif max_staleness_ms is not None and consistency is not Consistency.SESSION:
        complaint = f"does not go with consistency={named}, only with bounded or session"
        raise invalid(InputError(complaint, parameter="max_staleness_ms"))
    by_quorum = found.get("quorum", False)
    if by_quorum and consistency is not Consistency.STRONG:
        complaint = f"does not go with consistency={consistency.value}, only with strong"
        raise invalid(InputError(complaint, parameter="quorum"))
    may_proxy = found.get("proxy", True)
    position = position_of(found, lineage)
    return Freshness(consistency, max_staleness_ms, position, may_proxy, by_quorum)


def position_of(found: Mapping[str, Any], lineage: int) -> Mapping[str, int]:
    """What the client has seen, by shard. Raises RequestRefused when it is no position."""
    token = found.get("position")
    if not token:
        return {}
    try:
        return decode(token, lineage)
    except PositionInvalid as complaint:
        raise invalid(InputError(str(complaint), parameter="position")) from None


def check_room(position: Mapping[str, int], shard: str) -> None:
    """Refuse a position that cannot take in another shard, before anything is done."""
    if len(position) >= SHARDS_MAX and shard not in position:
        complaint = f"holds {SHARDS_MAX} shards already; begin another position for this shard"
        raise invalid(InputError(complaint, parameter="position"))


def merged_token(position: Mapping[str, int], shard: str, sequence: int, lineage: int) -> str:
    """The position to answer: what the client had seen, and this."""
    if not position:
        return encode_one(shard, sequence, lineage)
    return encode(merge(position, {shard: sequence}), lineage)


def condition_of(request: web.Request, key: str) -> Compare | None:
    """What If-Match and If-None-Match ask for. Raises RequestRefused."""
    headers = request.headers
    match, none_match = headers.get(hdrs.IF_MATCH), headers.get(hdrs.IF_NONE_MATCH)
    if none_match is not None:
        if match is not None:
            complaint = "excludes If-Match: a key cannot be both absent and of a version"
            raise invalid(InputError(complaint, header="If-None-Match"))
        if none_match.strip() != "*" or request.method != "PUT":
            complaint = "must be * on a change, and is for PUT alone: it creates the key"
            raise invalid(InputError(complaint, header="If-None-Match"))
        return Compare(key, ABSENT)
    if match is None:
        return None
    if match.strip() == "*":
        return Compare(key, ANY_VERSION)
    version = _VERSION.fullmatch(match.strip())
    if version is None:
        complaint = 'must be one version in quotes, as in "17", or *'
        raise invalid(InputError(complaint, header="If-Match"))
    return Compare(key, int(version[1]))


def idempotency_key_of(request: web.Request) -> str:
    """The client's name for this operation, empty without one. Raises RequestRefused."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return ""
    if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX or not is_printable(key):
        complaint = f"must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters"
        raise invalid(InputError(complaint, header="Idempotency-Key"))
    return key


def digest_of(*parts: str | bytes) -> str:
    """A name for what was asked, so that another request under the same key is found out."""
    found = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()
