"""The twin of the commands on a shard's log: append, trim, range, history."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code
from regions.scripts.arguments import binary, count, epoch, epoch_or_none, flag, listed, text
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.scripts.entries import StoredEntry, parse_entry
from shards.scripts.on_shard import OnShard
from shards.scripts.state import size

TRIM_MAX = 2_000


def _append(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, prev_seq, prev_epoch, prev_chain, blobs, committed, vouches = arguments
    entries = [parse_entry(binary(blob)) for blob in blobs]
    on = OnShard(call, group, name)
    refusal = _adopt_epoch(on, e, sid)
    if refusal is not None:
        return on.refused(refusal)
    on.undraft()
    shard = on.shard
    if not _joins(on, prev_seq, prev_epoch, prev_chain):
        on.set_grant(sync=0)  # an append before this one was not made: this store lacks something
        return on.refused(Code.GAP, str(shard.te), shard.ts, shard.tc, shard.cm, shard.bs)
    first = first_new(on, e, prev_seq, entries)
    if first is None:
        return on.refused(Code.CONFLICT)
    last = prev_seq + len(entries)
    if first <= last:
        store_entries(on, first, blobs[first - prev_seq - 1 :], entries[-1])
    told = shard.lc if shard.ae == e else 0
    on.set_shard(ae=e, as_=max(shard.as_, last) if shard.ae == e else last)
    on.commit(min(committed, last))
    on.set_shard(lc=max(told, committed) if committed > shard.cm else told)
    if vouches and shard.ts == shard.as_ == last and shard.cm == shard.ap == committed:
        on.set_grant(sync=e)
    tail = [str(shard.te), shard.ts, shard.tc]
    return [Code.OK, *tail, shard.cm, shard.ap, shard.as_, shard.data.size_bytes]


def _adopt_epoch(on: OnShard, e: int, sid: str) -> Code | None:
    """Why this session may not append in this epoch. A greater epoch is a promise by itself."""
    grant = on.grant
    if e < grant.pe:
        return Code.FENCED
    if e == grant.pe:
        return None if on.leads(sid, e) and on.st == "held" else Code.FENCED
    refusal = on.refused_session(sid)
    if refusal is None:
        on.give_to(sid, e)
    return refusal


def _joins(on: OnShard, seq: int, epoch: int, chain: int) -> bool:
    """Whether the entries follow on what is certainly the same log."""
    if seq <= on.shard.cm or seq <= on.shard.bs:
        return True
    entry = on.entry(seq)
    return entry is not None and (entry.epoch, entry.chain) == (epoch, chain)


def first_new(on: OnShard, e: int | None, prev_seq: int, entries: list[StoredEntry]) -> int | None:
    """The sequence from which entries must be stored, behind the last one when none must.

    None is a contradiction: what is committed differs, or what this epoch appended would go;
    without an epoch nothing of that kind is kept.
    """
    shard = on.shard
    for seq, entry in enumerate(entries, prev_seq + 1):
        stored = on.entry(seq)
        if stored is None:
            if seq > shard.ts:
                return seq
        elif (stored.epoch, stored.chain) != (entry.epoch, entry.chain):
            if seq <= shard.cm or (shard.ae == e and seq <= shard.as_):
                return None
            return seq
    return prev_seq + len(entries) + 1


def store_entries(on: OnShard, first: int, blobs: list[bytes | str], last: StoredEntry) -> None:
    """Put entries in the place of what is there, the one of sequence `first` and those after it."""
    on.keep()
    shard = on.shard
    for seq in range(first, shard.ts + 1):
        del shard.log[seq]
    shard.log.update(enumerate(blobs, first))
    on.set_shard(te=last.epoch, ts=first + len(blobs) - 1, tc=last.chain)


def _trim(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, upto = arguments
    on = OnShard(call, group, name)
    if not on.leads(sid, e):
        return on.refused(Code.FENCED)
    shard = on.shard
    upto = min(upto, shard.cm, shard.ap, shard.bs + TRIM_MAX)
    if shard.data.closed_at:
        upto = min(upto, shard.data.closed_at)  # drafts are filled up to there
    last = on.entry(upto)
    if last is not None:
        on.keep()
        for seq in range(shard.bs + 1, upto + 1):
            del shard.log[seq]
        on.set_shard(be=last.epoch, bs=upto, bc=last.chain)
    return [Code.OK, shard.bs]


def _range(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, first, max_bytes = arguments
    on = OnShard(call, group, name)
    shard = on.shard
    entries: list[list[Any]] = []
    room = max_bytes
    for seq in range(max(first, shard.bs + 1), shard.ts + 1):
        blob = shard.log[seq]
        room -= size(blob)
        if entries and room < 0:
            break
        entries.append([seq, blob])
    tail = [str(shard.te), shard.ts, shard.tc]
    base = [str(shard.be), shard.bs, shard.bc]
    told = max(shard.cm, shard.lc)
    return [Code.OK, on.shown_grant(), *tail, shard.cm, *base, entries, told]


def _history(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    history = OnShard(call, group, arguments[0]).shard.data.history
    return [Code.OK, [[str(epoch), history[epoch]] for epoch in sorted(history)]]


LOG_COMMANDS: Final = MappingProxyType(
    {
        "append": Command(
            _append, (text, epoch, text, count, epoch_or_none, count, listed, count, flag)
        ),
        "trim": Command(_trim, (text, epoch, text, count)),
        "range": Command(_range, (text, count, count), works_sealed=True, may_only_read=True),
        "history": Command(_history, (text,), may_only_read=True),
    }
)
