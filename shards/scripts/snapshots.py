"""The twin of the commands that copy a shard's applied state from one store to another.

A page is read at the source and staged at the target, as often as needed; `adopt` then puts what
was staged in the place of what was there, in one step. A shard has one stage, which belongs to the
present epoch and to one attempt of its holder.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code, as_bytes, as_text, pack_as_script, unpack
from regions.scripts.arguments import (
    BadArgument,
    any_text,
    binary,
    count,
    epoch,
    epoch_or_none,
    listed,
    positive,
    text,
)
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.reserved import NUMBERED, RESERVED_PARTITION
from shards.scripts.entries import parse_number, present
from shards.scripts.on_shard import OnShard
from shards.scripts.reads import key_of
from shards.scripts.state import Data, size

RECORD_COSTS: Final = 1_024
"""Bytes; so that a page of small records takes a store no longer than others."""


def _page(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, part, after, max_bytes = arguments
    if part not in _LISTS:
        raise BadArgument(part)
    on = OnShard(call, group, name)
    if on.shard.fz > on.shard.ap:
        return on.refused(Code.BUSY)  # a copy of a copy would not know where it is whole
    return [Code.OK, on.shard.ap, *read_page(on.shard.data, part, after, max_bytes)]


def read_page(
    data: Data, part: str, after: str, max_bytes: int
) -> tuple[list[list[str | bytes]], int]:
    """Records from a place on, as a page shows them; and whether there are more."""
    records: list[list[str | bytes]] = []
    room = max_bytes
    for record_name, record in _LISTS[part](data, after):
        packed = _PACKERS[part](record)
        room -= size(record_name) + len(packed) + RECORD_COSTS
        if records and room < 0:
            return records, 1
        records.append([record_name, packed])
    return records, 0


def _digest(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, applied, part, after, room = arguments
    if part not in _LISTS:
        raise BadArgument(part)
    on = OnShard(call, group, name)
    if on.shard.fz > on.shard.ap:
        return on.refused(Code.BUSY)
    if on.shard.ap != applied:
        return on.refused(Code.LAGGING)
    pieces: list[bytes] = []
    while part:
        pieces.append(part.encode())
        for record_name, record in _LISTS[part](on.shard.data, after):
            if room <= 0:
                return [Code.OK, applied, sha1(b"".join(pieces)).hexdigest(), part, after]
            named, packed = as_bytes(record_name), _PACKERS[part](record)
            room -= len(named) + len(packed) + _DIGESTED_COSTS
            pieces.append(b"%d %b%d %b" % (len(named), named, len(packed), packed))
            after = record_name
        part, after = _NEXT_PART[part], ""
    return [Code.OK, applied, sha1(b"".join(pieces)).hexdigest(), "", ""]


_NEXT_PART: Final = {"kv": "id", "id": "hi", "hi": ""}
_DIGESTED_COSTS: Final = 64


def _list_kv(data: Data, after: str) -> list[tuple[str, Any]]:
    start = as_bytes(after)
    names = [name for name in data.names if not start or name > start]
    found = ((as_text(name), data.kv.get(key_of(name))) for name in names)
    return [(name, list(record)) for name, record in found if record is not None]


def _list_ids(data: Data, after: str) -> list[tuple[str, Any]]:
    """By sequence, which is part of the name: an id that was forgotten meanwhile hides no other.

    Ids that came from two parents may share one.
    """
    seq, op_id = _split_id(after) if after else (-1, "")
    start = seq, as_bytes(op_id)
    known = sorted((known[0], as_bytes(op_id), known) for op_id, known in data.ids.items())
    return [(f"{n} {as_text(name)}", list(of)) for n, name, of in known if (n, name) > start]


def _list_history(data: Data, after: str) -> list[tuple[str, Any]]:
    start = epoch(after) if after else 0
    return [(str(e), data.history[e]) for e in sorted(data.history) if e > start]


_LISTS: Final = {"kv": _list_kv, "id": _list_ids, "hi": _list_history}


def kv_record(record: Any) -> bytes:
    """A key as a store keeps it: its version in decimal, a blank, and the value."""
    version, value = record
    return b"%d %b" % (version, as_bytes(value))


def read_kv(record: bytes) -> tuple[int, str]:
    """Version and value of a key's record; raises ValueError when it is none."""
    version, blank, value = record.partition(b" ")
    if not blank or not version.isdigit():
        raise ValueError(f"no version before the value: {record[:20]!r}")
    return int(version), as_text(value)


def _pack(record: Any) -> bytes:
    return pack_as_script(_as_answered(record))


_PACKERS: Final = {"kv": kv_record, "id": _pack, "hi": _pack}


def _split_id(name: str) -> tuple[int, str]:
    """The name of an id in a page is its sequence, a blank, and the id."""
    digits, blank, op_id = name.partition(" ")
    if not blank or not op_id:
        raise BadArgument(name)
    return epoch_or_none(digits), op_id


def _as_answered(value: Any) -> Any:
    """Binary as text, as it comes out of a script; so both twins pack the same bytes."""
    if type(value) is bytes:
        return as_text(value)
    if type(value) is list:
        return [_as_answered(each) for each in value]
    return value


def _stage(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, attempt, part, records = arguments
    parsed = parse_page(part, records)
    on = OnShard(call, group, name)
    refusal = _refused_attempt(on, sid, e, attempt)
    if refusal is not None:
        return on.refused(refusal)
    on.stage_from(attempt)
    stage_page(on, part, parsed)
    return [Code.OK]


def parse_page(part: str, records: list[Any]) -> list[tuple[str, Any]]:
    """The records of a page, each parsed. Raises BadArgument for what is none."""
    if part not in _STAGERS:
        raise BadArgument(part)
    return [_parse_record(part, record) for record in records]


def stage_page(on: OnShard, part: str, parsed: list[tuple[str, Any]]) -> None:
    """Keep a page beside what is staged."""
    if parsed:
        on.keep()
        for record_name, record in parsed:
            _STAGERS[part](on.shard.stage, record_name, record)


def _refused_attempt(on: OnShard, sid: str, e: int, attempt: int) -> Code | None:
    """Why this attempt may not go on, None if it may."""
    if not on.leads(sid, e):
        return Code.FENCED
    return Code.STALE if attempt < on.shard.sn else None


def _parse_record(part: str, pair: Any) -> tuple[str, Any]:
    match pair:
        case [name, packed]:
            pass
        case _:
            raise BadArgument(pair)
    name = as_text(binary(name))
    try:
        record = _READERS[part](as_bytes(binary(packed)))
    except ValueError as error:
        raise BadArgument(packed) from error
    match part, record:
        case "kv", (version, value) if "\0" in name:
            partition, _, key = name.partition("\0")
            if key in NUMBERED:
                _check_number(partition, value)
            return name, (count(version), value)
        case "id", [seq, digest, outcome] if _split_id(name)[0] == count(seq):
            return name, (seq, as_text(binary(digest)), present(outcome))
        case "hi", _:
            epoch(name)
            return name, present(record)
    raise BadArgument(record)


def _check_number(partition: str, value: str) -> None:
    """What a shard says of itself is a number, in the partition that no client has."""
    parse_number(value)
    if partition != RESERVED_PARTITION:
        raise BadArgument(partition)


_READERS: Final[dict[str, Callable[[bytes], Any]]] = {"kv": read_kv, "id": unpack, "hi": unpack}


def _stage_kv(stage: Data, name: str, record: Any) -> None:
    partition, _, key = name.partition("\0")
    version, value = record
    stage.put(partition, key, value, version)


def _stage_id(stage: Data, name: str, record: Any) -> None:
    stage.ids[_split_id(name)[1]] = record


def _stage_history(stage: Data, name: str, record: Any) -> None:
    stage.record(int(name), record)


_STAGERS: Final = {"kv": _stage_kv, "id": _stage_id, "hi": _stage_history}


def _unstage(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, attempt = arguments
    on = OnShard(call, group, name)
    refusal = _refused_attempt(on, sid, e, attempt)
    if refusal is not None:
        return on.refused(refusal)
    on.stage_from(attempt + 1)
    return [Code.OK]


def _adopt(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, attempt, be, bs, bc, upto = arguments
    on = OnShard(call, group, name)
    if not on.leads(sid, e):
        return on.refused(Code.FENCED)
    shard = on.shard
    if attempt != shard.sn:
        return on.refused(Code.STALE)
    if bs <= shard.ap:
        on.stage_from(attempt + 1)
        return on.refused(Code.LAGGING)
    adopt_stage(on, (be, bs, bc), upto, attempt + 1)
    return [Code.OK]


def adopt_stage(on: OnShard, base: tuple[int, int, int], upto: int, next_attempt: int) -> None:
    """Put what is staged in the place of what is there, as it is at the base.

    Reads wait until `upto` is applied. Attempts below `next_attempt` are over.
    """
    (be, bs, bc), shard = base, on.shard
    at_base = on.entry(bs)
    same = at_base is not None and (at_base.epoch, at_base.chain) == (be, bc)
    on.keep()
    shard.data = shard.stage
    on.stage_from(next_attempt)
    if same:
        shard.log = {seq: blob for seq, blob in shard.log.items() if seq > bs}
    else:
        shard.log = {}
        on.set_shard(te=be, ts=bs, tc=bc)
    on.set_shard(be=be, bs=bs, bc=bc, ap=bs, cm=max(shard.cm, bs), ae=0, as_=0, fz=upto)
    on.set_grant(sync=0)


SNAPSHOT_COMMANDS: Final = MappingProxyType(
    {
        "page": Command(
            _page, (text, text, any_text, count), works_sealed=True, may_only_read=True
        ),
        "digest": Command(_digest, (text, count, text, any_text, positive), may_only_read=True),
        "stage": Command(_stage, (text, epoch, text, positive, text, listed)),
        "unstage": Command(_unstage, (text, epoch, text, positive)),
        "adopt": Command(_adopt, (text, epoch, text, positive, epoch_or_none, count, count, count)),
    }
)
