"""The twin of the commands that read a shard's applied state."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code, as_bytes, as_text
from regions.scripts.arguments import (
    BadArgument,
    any_text,
    count,
    epoch_or_follower,
    listed,
    positive,
    text,
)
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.reserved import CLOSED_KEY
from shards.scripts.entries import parse_partition
from shards.scripts.on_shard import OnShard
from shards.scripts.state import index_name, size


def _refused(on: OnShard, e: int, committed: int) -> list[Any] | None:
    """Why nothing may be read. A leader's commit index is taken over on the way."""
    if e:
        if on.call.only_reads:
            raise BadArgument(e)
        if not on.grant.pe == on.grant.he == on.shard.te == e:
            return on.refused(Code.FENCED)
        if committed > on.shard.ts:
            return on.refused(Code.LAGGING)
        on.commit(committed)
    closed = on.shard.data.told(CLOSED_KEY)
    if closed:
        return on.refused(Code.CLOSED, closed)
    return on.refused(Code.BUSY) if on.shard.fz > on.shard.ap else None


def _read(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, committed, keys, op_ids = arguments
    keys = [any_text(key) for key in keys]
    op_ids = [any_text(op_id) for op_id in op_ids]
    on = OnShard(call, group, name)
    refused = _refused(on, e, committed)
    if refused is not None:
        return refused
    data = on.shard.data
    values = [list(data.kv[key]) if key in data.kv else False for key in keys]
    known = [list(data.ids[op_id]) if op_id in data.ids else False for op_id in op_ids]
    return [Code.OK, *_standing(on), data.size_bytes, values, known]


def _standing(on: OnShard) -> list[Any]:
    return [on.shown_grant(), on.shard.cm, on.shard.ap, *on.freshness()]


def _scan(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, committed, partition, prefix, after, limit, max_bytes = arguments
    partition = parse_partition(partition)
    on = OnShard(call, group, name)
    refused = _refused(on, e, committed)
    if refused is not None:
        return refused
    data = on.shard.data
    wanted = index_name(partition, prefix)
    start = bisect_left(data.names, wanted)
    if after:
        start = max(start, bisect_right(data.names, index_name(partition, after)))
    items: list[list[Any]] = []
    room = max_bytes
    for index in range(start, len(data.names)):
        if not data.names[index].startswith(wanted):
            break
        key = key_of(data.names[index])
        if key not in data.kv:
            continue
        version, value = data.kv[key]
        room -= size(key) + size(value)
        if items and (len(items) == limit or room < 0):
            return [Code.OK, *_standing(on), items, 1]
        items.append([key, version, value])
    return [Code.OK, *_standing(on), items, 0]


def key_of(name: bytes) -> str:
    """The key in a name of the index."""
    return as_text(name[as_bytes(name).index(0) + 1 :])


READ_COMMANDS: Final = MappingProxyType(
    {
        "read": Command(
            _read, (text, epoch_or_follower, count, listed, listed), may_only_read=True
        ),
        "scan": Command(
            _scan,
            (text, epoch_or_follower, count, any_text, any_text, any_text, positive, count),
            may_only_read=True,
        ),
    }
)
