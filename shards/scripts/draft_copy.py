"""The twin of the command by which a store fills a draft from a shard of its own.

Pages of ids come first, then history, then keys. Ids that the parent forgets while they are read
would be missed by what is applied over them: the least of them tells, since forgetting begins with
it. Then the walk begins anew. What is read is committed, so versions and states of the parent's
group do not matter.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code
from regions.scripts.arguments import BadArgument, count, flag, positive, text
from regions.scripts.membership import attempt
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.reserved import CLOSED_KEY, WIPED_KEY
from shards.scripts.draft_state import NOWHERE, Place, Walk, closes_otherwise
from shards.scripts.drafts import OnDraft
from shards.scripts.entries import parse_entry
from shards.scripts.on_shard import OnShard
from shards.scripts.snapshots import RECORD_COSTS, parse_page, read_page
from shards.scripts.state import size

NEXT_PART: Final = {"id": "hi", "hi": "kv", "kv": ""}
FIRST_PART: Final = "id"


def group_name(value: Any) -> str:
    """The name of a group; a colon would let its keys be taken for those of another."""
    if ":" in text(value):
        raise BadArgument(value)
    return text(value)


def _draft_local(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number, p, by, parents_group, parent_name, room = arguments
    at = OnDraft(call, group, name, number)
    if at.refusal is not None:
        return [*at.refusal, 0] if at.refusal[0] == Code.OK else at.refusal
    parent = at.draft.parent(p)
    if at.is_over(p, by) or (parent.by == by and parent.phase == "pages"):
        return at.stale(p)
    if parent.phase == "final":
        return [*at.answer(), 0]
    source = OnShard(call, call.state.groups.get(parents_group) or Group(), parent_name)
    refusal = _refused_source(source)
    if refusal is not None:
        return refusal
    is_behind = parent.cursor[1] < source.shard.bs and parent.by != by
    if parent.phase == "log" and not is_behind:
        return _follow(at, p, by, source, room)
    begins = parent.by != by or _has_forgotten(parent.walk, source)
    start = _start(source) if begins else NOWHERE
    if start is None:
        return [Code.GAP, source.shard.ap]
    if source.shard.data.told(CLOSED_KEY) not in {0, number}:
        return [Code.CONFLICT]
    call.write()
    if begins:
        at.draft.begin(p, by, "walk")
        walk = Walk(FIRST_PART, "", start, _least_id(source))
        at.draft.parents[p] = replace(at.draft.parents[p], walk=walk)
    _walk_on(at, p, source, room)
    answer = at.answer()
    return [*answer, 1 - answer[1]]


def _refused_source(source: OnShard) -> list[Any] | None:
    """Why nothing can be copied from there, None if it can."""
    shard = source.shard
    if not shard.ts:
        return [Code.UNKNOWN]
    if shard.fz > shard.ap:
        return [Code.BUSY]
    wiped = shard.data.told(WIPED_KEY)
    return [Code.CLOSED, wiped] if wiped else None


def _start(source: OnShard) -> Place | None:
    """Where a walk that begins now must be gone on from: what is applied, the end at most."""
    shard = source.shard
    seq = min(shard.ap, shard.data.closed_at or shard.ap)
    if seq == shard.bs:
        return shard.be, seq, shard.bc
    entry = source.entry(seq)
    return None if entry is None else (entry.epoch, seq, entry.chain)


def _has_forgotten(walk: Walk | None, source: OnShard) -> bool:
    """Whether ids went while they are read; they go from the least on."""
    return walk is not None and walk.part == "id" and walk.least not in {"", _least_id(source)}


def _least_id(source: OnShard) -> str:
    """The id that would be forgotten first, as a page names it; empty without any."""
    records, _ = read_page(source.shard.data, "id", "", 0)
    return str(records[0][0]) if records else ""


def _walk_on(at: OnDraft, p: int, source: OnShard, room: int) -> None:
    """Copy the next page."""
    parent = at.draft.parents[p]
    walk = parent.walk
    assert walk is not None, "a walk without a place"
    records, more = read_page(source.shard.data, walk.part, walk.after, room)
    at.take_page(p, walk.part, parse_page(walk.part, records))
    if more:
        walk = replace(walk, after=str(records[-1][0]))
    else:
        walk = replace(walk, part=NEXT_PART[walk.part], after="")
    if walk.part:
        at.draft.parents[p] = replace(at.draft.parents[p], walk=walk)
    else:
        at.draft.reach(p, walk.start)


def _follow(at: OnDraft, p: int, by: str, source: OnShard, room: int) -> list[Any]:
    """Apply the entries behind the cursor that are committed where they come from."""
    shard, parent = source.shard, at.draft.parents[p]
    seq = parent.cursor[1]
    if seq < shard.bs:
        return [Code.GAP, seq]
    blobs: list[bytes | str] = []
    for at_seq in range(seq + 1, shard.cm + 1):
        blob = shard.log.get(at_seq)
        if blob is None:
            break
        room -= size(blob) + RECORD_COSTS
        if blobs and room < 0:
            break
        blobs.append(blob)
    if any(closes_otherwise(parse_entry(blob), at.draft.number) for blob in blobs):
        return [Code.CONFLICT]
    if parent.by != by:
        at.on.call.write()
        at.draft.parents[p] = replace(parent, by=by)
    if blobs:
        at.on.call.write()
        at.take_entries(p, seq + 1, blobs)
    found = at.draft.parents[p]
    more = int(found.phase != "final" and found.cursor[1] < shard.cm)
    return [*at.answer(), more]


COPY_COMMANDS: Final = MappingProxyType(
    {
        "draft_local": Command(
            _draft_local, (text, positive, flag, attempt, group_name, text, count)
        ),
    }
)
