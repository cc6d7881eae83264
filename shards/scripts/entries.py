"""Log entries as a store reads them: checked on arrival, so that applying them cannot fail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from regions.codec import as_text, unpack
from regions.scripts.arguments import BadArgument, binary, count, epoch, listed, positive
from shards.reserved import CLOSED_KEY, NUMBERED, RESERVED_PARTITION


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key."""

    partition: str
    key: str
    value: bytes | str
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key."""

    partition: str
    key: str


@dataclass(frozen=True, slots=True)
class Tenure:
    """One line of the history of leadership."""

    epoch: int
    record: Any


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget the op ids up to a sequence."""

    upto: int


@dataclass(frozen=True, slots=True)
class Wipe:
    """Delete the data of a shard that this resharding has closed."""

    number: int


Effect: TypeAlias = Put | Delete | Tenure | Forget | Wipe


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """The fields of an entry; see docs/STORE_FORMAT.md, section 3."""

    epoch: int
    op_id: str
    digest: str
    chain: int
    outcome: Any
    effects: tuple[Effect, ...]


@lru_cache(maxsize=8_192)
def parse_entry(blob: bytes | str) -> StoredEntry:
    """The entry in `blob`. Raises BadArgument when it is not one that can be applied."""
    try:
        fields = unpack(blob)
    except ValueError as error:
        raise BadArgument(blob) from error
    if type(fields) is not list or len(fields) != 6:
        raise BadArgument(fields)
    written, op_id, digest, chain, outcome, effects = fields
    return StoredEntry(
        epoch=epoch(written),
        op_id=as_text(binary(op_id)),
        digest=as_text(binary(digest)),
        chain=count(chain),
        outcome=present(outcome),
        effects=tuple(_parse_effect(effect) for effect in listed(effects)),
    )


def present(value: Any) -> Any:
    """Anything but nil, which a script could not keep."""
    if value is None:
        raise BadArgument(value)
    return value


def _parse_effect(effect: Any) -> Effect:
    match effect:
        case ["p", partition, key, value, version]:
            put = Put(parse_partition(partition), _name(key), binary(value), count(version))
            if put.key in NUMBERED:
                _check_closing(put)
            return put
        case ["d", partition, key] if _name(key) not in NUMBERED:
            return Delete(parse_partition(partition), _name(key))
        case ["h", written, record]:
            return Tenure(epoch(written), present(record))
        case ["x", upto]:
            return Forget(count(upto))
        case ["w", number]:
            return Wipe(positive(number))
    raise BadArgument(effect)


def _check_closing(put: Put) -> None:
    """Of what stores say of a shard by themselves, entries say only that it is closed."""
    if put.key != CLOSED_KEY or put.partition != RESERVED_PARTITION:
        raise BadArgument(put.key)
    parse_number(put.value)


def parse_number(value: bytes | str) -> int:
    """The number of a resharding, in decimal."""
    return epoch(as_text(value))


def _name(value: Any) -> str:
    return as_text(binary(value))


def parse_partition(value: Any) -> str:
    """A zero byte ends the partition in the index, so there is none within it."""
    partition = _name(value)
    if "\0" in partition:
        raise BadArgument(value)
    return partition
