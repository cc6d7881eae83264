"""The twin of the commands by which a store copies a group that it does not belong to yet.

A learner promises nothing, grants nothing and counts for nothing; what it copies is committed where
it comes from. A copy belongs to one attempt, and a greater one takes over with nothing staged. A
store that is sealed can be copied to as well: it lost touch with what its peers have trimmed away.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code, as_bytes
from regions.scripts.arguments import (
    BadArgument,
    any_text,
    binary,
    count,
    epoch_or_none,
    listed,
    positive,
    text,
)
from regions.scripts.membership import attempt, ballot_of, description, is_same
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.scripts.entries import parse_entry
from shards.scripts.log import first_new, store_entries
from shards.scripts.on_shard import OnShard
from shards.scripts.snapshots import adopt_stage, parse_page, stage_page

LISTED_MAX: Final = 500
_COPIED_TO: Final = ("learner", "sealed")
_STAGED: Final = 1  # the number of a learner's stage, where there is one


def sweep(call: Call, group: Group) -> None:
    """Delete all that is staged for a change, whatever the attempt."""
    if group.merged or group.tails or group.paged:
        call.write()
    for shard in group.paged:
        OnShard(call, group, shard).stage_from(0)
    group.merged, group.tails, group.paged = {}, {}, set()


def shards_after(group: Group, after: str) -> list[str]:
    """Names of shards after a name, in byte order."""
    start = as_bytes(after)
    return [name for name in group.shard_names() if not start or as_bytes(name) > start]


def _learn(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, version, by, told = arguments
    if not name or not version:
        raise BadArgument(name)
    refusal = _refused_to_learn(group, version, by, told)
    if refusal is not None:
        return [refusal, group.by] if refusal == Code.STALE else [refusal]
    call.write()
    group = call.state.groups.setdefault(name, Group())
    sweep(call, group)
    group.by = by
    if group.version < version:
        group.version, group.state = version, "learner"
        group.description, group.next, group.to = told, False, 0
    return [Code.OK]


def _refused_to_learn(group: Group, version: int, by: str, told: bytes | str) -> Code | None:
    """Why the group is not made a learner by this attempt, None if it is; OK if it is already."""
    if group.version < version:
        return None
    same = group.state in _COPIED_TO and group.version == version
    if not same or not is_same(group.shown_description, told):
        return Code.EXISTS
    if group.by == by:
        return Code.OK
    return Code.STALE if group.by and ballot_of(group.by) > ballot_of(by) else None


def _refused_attempt(group: Group, by: str) -> Code | None:
    """Why this attempt may not go on, None if it may."""
    if group.state not in _COPIED_TO:
        return Code.EXISTS
    return None if group.by == by else Code.STALE


def _learned(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    by, after, limit = arguments
    refusal = _refused_attempt(group, by)
    if refusal is not None:
        return [refusal]
    names = shards_after(group, after)
    shown = names[: min(limit, LISTED_MAX)]
    shards = [[name, *_committed(OnShard(call, group, name))] for name in shown]
    return [Code.OK, shards, int(len(names) > len(shown))]


def _committed(on: OnShard) -> tuple[int, int]:
    """The commit index, and the chain of the log there."""
    entry = on.entry(on.shard.cm)
    return on.shard.cm, on.shard.bc if entry is None else entry.chain


def _learn_page(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, by, part, records = arguments
    drops = not part and not records
    parsed = [] if drops else parse_page(part, records)
    refusal = _refused_attempt(group, by)
    if refusal is not None:
        return [refusal]
    on = OnShard(call, group, name)
    if drops:
        _drop_pages(on)
        return [Code.OK]
    if name not in group.paged:  # what a leader had staged, while the store was its own, goes
        on.undraft()
        on.stage_from(0)
        on.stage_from(_STAGED)
        group.paged.add(name)
    stage_page(on, part, parsed)
    return [Code.OK]


def _drop_pages(on: OnShard) -> None:
    if on.name in on.group.paged:
        on.stage_from(0)
        on.group.paged.discard(on.name)


def _learn_data(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, by, be, bs, bc, upto = arguments
    refusal = _refused_attempt(group, by)
    if refusal is not None:
        return [refusal]
    on = OnShard(call, group, name)
    if bs <= on.shard.ap:
        _drop_pages(on)
        return [Code.LAGGING]
    if name not in group.paged:
        return [Code.STALE]  # no page has come: this would empty the shard
    on.undraft()
    adopt_stage(on, (be, bs, bc), upto, 0)
    group.paged.discard(name)
    return [Code.OK]


def _learn_log(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, by, prev_seq, prev_chain, blobs = arguments
    entries = [parse_entry(binary(blob)) for blob in blobs]
    refusal = _refused_attempt(group, by)
    if refusal is not None:
        return [refusal]
    on = OnShard(call, group, name)
    shard = on.shard
    before = on.entry(prev_seq)
    if prev_seq > shard.cm and (before is None or before.chain != prev_chain):
        return [Code.GAP, shard.cm]
    first = first_new(on, None, prev_seq, entries)
    if first is None:
        return [Code.CONFLICT]
    on.undraft()
    last = prev_seq + len(entries)
    if first <= last:
        store_entries(on, first, blobs[first - prev_seq - 1 :], entries[-1])
    on.commit(last)
    return [Code.OK, shard.cm]


_COPIES: Final[dict[str, bool]] = {"of_learner": True, "works_sealed": True}

LEARNER_COMMANDS: Final = MappingProxyType(
    {
        "learn": Command(_learn, (attempt, description), needs_group=False),
        "learned": Command(_learned, (attempt, any_text, positive), **_COPIES, may_only_read=True),
        "learn_page": Command(_learn_page, (text, attempt, any_text, listed), **_COPIES),
        "learn_data": Command(
            _learn_data, (text, attempt, epoch_or_none, count, count, count), **_COPIES
        ),
        "learn_log": Command(_learn_log, (text, attempt, count, count, listed), **_COPIES),
    }
)
