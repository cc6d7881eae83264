"""The twin of the commands that read a shard out of one store, merge it into another, and switch.

A merge only raises what is there: the promise, the log and the commit index, each by itself. It
goes into a store that is sealed or learns, which counts for nothing until it is switched on.
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
    flag,
    listed,
    positive,
    text,
)
from regions.scripts.membership import attempt, description, is_same
from regions.scripts.model import Call, Command
from regions.scripts.state import Group, Register
from shards.scripts.entries import StoredEntry, parse_entry
from shards.scripts.learning import shards_after, sweep
from shards.scripts.log import first_new, store_entries
from shards.scripts.on_shard import OnShard
from shards.scripts.state import size

DUMPED_MAX: Final = 500
RECORD_COSTS: Final = 128
"""Bytes: what a record of a dump takes beside its texts."""

_Place = tuple[int, int, int]


def _dump(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    after, room, sealed = arguments
    if sealed and group.state != "sealed":
        return [Code.UNDECIDED]
    names = shards_after(group, after)
    records: list[list[Any]] = []
    for name in names[:DUMPED_MAX]:
        on = OnShard(call, group, name)
        room -= size(name) + size(on.grant.h) + size(on.grant.pref) + RECORD_COSTS
        if records and room < 0:
            break
        records.append(_dumped(on))
    return [Code.OK, records, int(len(names) > len(records))]


def _dumped(on: OnShard) -> list[Any]:
    g, s = on.grant, on.shard
    held = [str(g.pe), str(g.pf), str(g.he), g.h, on.st, g.rvk, g.ver]
    tail = [str(s.te), s.ts, s.tc, s.cm]
    return [on.name, *held, g.prev, g.pref, *tail, str(s.be), s.bs, s.bc]


def _merge_tail(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, by, numbered = arguments
    entries = [_numbered_entry(pair) for pair in numbered]
    staged = group.tails.get((by, name), {})
    if any(as_bytes(staged.get(seq, b"")) != as_bytes(blob) for seq, blob in entries):
        call.write()
        group.tails[by, name] = staged | dict(entries)
    return [Code.OK]


def _numbered_entry(pair: Any) -> tuple[int, bytes | str]:
    match pair:
        case [seq, blob]:
            parse_entry(binary(blob))
            return positive(seq), blob
    raise BadArgument(pair)


def _merge(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, by, pe, pf, he, h, rvk, ver, prev, pref, first, given, te, ts, tc, cm = arguments
    log = (te, ts, tc)
    if given is not False:
        parsed = [parse_entry(binary(blob)) for blob in given]
        if parsed and not _end_there(parsed, first, log):
            raise BadArgument(given)
    if he > pe or ver > group.next_version or cm > ts:
        raise BadArgument(arguments)
    on = OnShard(call, group, name)
    shard = on.shard
    blobs = _staged_tail(group, (by, name), first, ts) if given is False else given
    is_greater = (te, ts) > (shard.te, shard.ts)
    new = _new_from(on, log, first, blobs) if is_greater else None
    if new is Code.GAP:
        return [Code.GAP, shard.cm, shard.ts]
    is_other = (te, ts) == (shard.te, shard.ts) and tc != shard.tc
    if is_other or new is Code.CONFLICT or cm > (ts if is_greater else shard.ts):
        return [Code.CONFLICT]
    on.undraft()
    if isinstance(new, int) and new <= ts:
        store_entries(on, new, blobs[new - first :], parse_entry(blobs[-1]))
    if he > on.grant.he:
        state = "held" if h else "free"
        on.set_grant(he=he, h=h, st=state, tgt="", rvk=int(rvk), ver=ver)
    elif (he, h) == (on.grant.he, on.grant.h):
        on.set_grant(rvk=max(on.grant.rvk, int(rvk)))
    if prev > on.grant.prev:
        on.set_grant(prev=prev, pref=pref)
    on.set_grant(pe=max(on.grant.pe, pe), pf=max(on.grant.pf, pf), sync=0)
    on.set_shard(ae=0, as_=0)
    on.commit(cm)
    _note_merged(call, group, by, name, is_staged=given is False)
    return [Code.OK]


def _end_there(entries: list[StoredEntry], first: int, log: _Place) -> bool:
    """Whether these entries, the first of them at `first`, end as the log of which they are."""
    return (entries[-1].epoch, first + len(entries) - 1, entries[-1].chain) == log


def _staged_tail(group: Group, of: tuple[str, str], first: int, last: int) -> list[bytes | str]:
    """The staged entries first .. last, none when one of them is missing."""
    staged = group.tails.get(of, {})
    if last - first >= len(staged) or any(seq not in staged for seq in range(first, last + 1)):
        return []
    return [staged[seq] for seq in range(first, last + 1)]


def _new_from(on: OnShard, log: _Place, first: int, blobs: list[bytes | str]) -> int | Code:
    """The first sequence that is taken of a greater log, or why it cannot be taken."""
    shard = on.shard
    if log[1] <= shard.cm:
        return Code.CONFLICT  # it would replace what is committed
    entries = [parse_entry(blob) for blob in blobs]
    if not entries or not _end_there(entries, first, log) or not _joins(on, first, entries[0]):
        return Code.GAP
    new = first_new(on, None, first - 1, entries)
    return Code.CONFLICT if new is None else new


def _joins(on: OnShard, seq: int, first: StoredEntry) -> bool:
    """Whether entries from here on follow on what is certainly the same log.

    They begin within what is committed or right behind it, or with an entry that is here.
    """
    stored = on.entry(seq)
    same = stored is not None and (stored.epoch, stored.chain) == (first.epoch, first.chain)
    return same or seq <= on.shard.cm + 1


def _note_merged(call: Call, group: Group, by: str, shard: str, *, is_staged: bool) -> None:
    """Name the shard as merged by this attempt, and delete what was staged of its tail."""
    if shard not in group.merged.get(by, set()):
        call.write()
        group.merged.setdefault(by, set()).add(shard)
    if is_staged and (by, shard) in group.tails:
        call.write()
        del group.tails[by, shard]


def _finish_install(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    by, shards, told = arguments
    if group.state != "learner" and not is_same(group.shown_description, told):
        return [Code.CONFLICT]
    if group.state == "open":
        return [Code.OK]
    merged = len(group.merged.get(by, set()))
    if merged < shards:
        return [Code.GAP, merged]
    opseq = call.write()
    sweep(call, group)
    group.version, group.state, group.by, group.to = group.next_version, "open", "", 0
    group.description, group.next, group.register = told, False, Register()
    group.sessions, group.live = {}, set()
    group.changes = {f"s/{name}": opseq for name in group.shard_names()}
    return [Code.OK]


def _entries_or_staged(value: Any) -> Any:
    """A list of entries, or False for those that were staged before."""
    return value if value is False else listed(value)


_MERGE_ARGUMENTS: Final = (
    text,
    attempt,
    epoch_or_none,
    epoch_or_none,
    epoch_or_none,
    any_text,
    flag,
    count,
    count,
    binary,
    positive,
    _entries_or_staged,
    epoch_or_none,
    count,
    count,
    count,
)

MEMBERSHIP_COMMANDS: Final = MappingProxyType(
    {
        "dump": Command(_dump, (any_text, count, flag), works_sealed=True, may_only_read=True),
        "merge_tail": Command(_merge_tail, (text, attempt, listed), of_next=True),
        "merge": Command(_merge, _MERGE_ARGUMENTS, of_next=True),
        "finish_install": Command(
            _finish_install, (attempt, count, description), of_next=True, switches=True
        ),
    }
)
