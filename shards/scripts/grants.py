"""The twin of the commands that give and take the authority over a shard."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code
from regions.scripts.arguments import (
    BadArgument,
    any_text,
    binary,
    check_all,
    count,
    epoch,
    listed,
    text,
)
from regions.scripts.model import Call, Command
from regions.scripts.state import Group, process_of
from shards.reserved import BORN_KEY, CLOSED_KEY
from shards.scripts.on_shard import OnShard
from shards.scripts.state import size

SUFFIX_BYTES_MAX = 65_536


def _place(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, revision, placement = arguments
    on = OnShard(call, group, name)
    if revision <= on.grant.prev:
        return on.refused(Code.STALE)
    on.set_grant(prev=revision, pref=placement)
    on.moved()
    return [Code.OK]


def _prepare(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, condition = arguments
    on = OnShard(call, group, name)
    tag, details = _parse_condition(condition)
    refusal = on.refused_session(sid)
    if refusal is not None:
        return on.refused(refusal)
    if e <= on.grant.pe or e <= on.grant.pf:
        return on.refused(Code.FENCED)
    if not _holds(on, sid, tag, details):
        return on.refused(Code.HELD)
    if tag == "dead" and not group.sessions[details[0]].dead:
        call.bury(group, details[0])
    on.give_to(sid, e)
    s = on.shard
    base = [str(s.be), s.bs, s.bc]
    tail = [str(s.te), s.ts, s.tc]
    lineage = [s.data.told(CLOSED_KEY), s.data.told(BORN_KEY)]
    # Who does not know of these must not lead such a shard, and cannot read this.
    shown = lineage if any(lineage) else []
    return [Code.OK, *tail, s.cm, s.ap, *base, s.data.size_bytes, _suffix(on), *shown]


_DETAILS: Final = {
    "free": (),
    "mine": (),
    "dead": (text, epoch, count),
    "handover": (),
    "revoked": (text, epoch),
    "carry": (text, epoch),
    "waited": (),
}


def _parse_condition(condition: list[Any]) -> tuple[str, list[Any]]:
    """A condition is a tagged record. One that is not known cannot be judged, so it is refused."""
    tag = text(condition[0] if condition else None)
    if tag not in _DETAILS:
        raise BadArgument(condition)
    return tag, check_all(_DETAILS[tag], condition[1:])


def _holds(on: OnShard, sid: str, tag: str, details: list[Any]) -> bool:
    grant = on.grant
    match tag, details:
        case "free", _:
            return on.st == "free"
        case "handover", _:
            return on.st == "handover" and grant.tgt == sid
        case "mine", _:
            return on.is_held and process_of(grant.h) == process_of(sid) and grant.rvk == 0
        case "revoked", [h, he]:
            return on.is_held and (grant.h, grant.he) == (h, he) and grant.rvk == 1
        case "dead", [h, he, counter]:
            holder = on.group.sessions.get(h)
            if not on.is_held or (grant.h, grant.he) != (h, he) or holder is None:
                return False
            return holder.dead or holder.counter == counter
        case "carry", [h, he]:
            if not on.is_inherited or (grant.h, grant.he) != (h, he):
                return False
            return process_of(h) == process_of(sid) and grant.rvk == 0
        case "waited", _:
            return on.is_inherited
    return False


def _suffix(on: OnShard) -> list[list[Any]]:
    """The entries that are not known to be committed, if they are few; else none of them."""
    shard = on.shard
    blobs = [shard.log[seq] for seq in range(shard.cm + 1, shard.ts + 1)]
    if sum(map(size, blobs)) > SUFFIX_BYTES_MAX:
        return []
    return [[seq, blob] for seq, blob in enumerate(blobs, shard.cm + 1)]


def _release(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid = arguments
    on = OnShard(call, group, name)
    if on.grant.pe > e:
        return on.refused(Code.FENCED)
    frees = on.grant.h == sid and on.grant.he == e and not on.is_inherited
    on.set_grant(pf=max(on.grant.pf, e))
    if frees:
        on.set_grant(st="free", h="", tgt="", rvk=0, sync=0)
        on.moved()
    return [Code.OK, int(frees)]


def _handover(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, e, sid, target = arguments
    on = OnShard(call, group, name)
    if not (on.leads(sid, e) and on.is_held):
        return on.refused(Code.HELD)
    on.set_grant(st="handover", tgt=target, sync=0)
    on.moved()
    return [Code.OK]


def _revoke(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, h, he, _by, _reason = arguments
    on = OnShard(call, group, name)
    if not on.is_held or (on.grant.h, on.grant.he) != (h, he):
        return on.refused(Code.HELD)
    on.set_grant(rvk=1, sync=0)
    on.moved()
    session = group.sessions.get(h)
    if session is None:
        return [Code.OK, 0]
    if (name, he) not in session.revocations:
        session.revocations = [*session.revocations, (name, he)]
        session.revision += 1
    return [Code.OK, session.revision]


GRANT_COMMANDS: Final = MappingProxyType(
    {
        "place": Command(_place, (text, count, binary)),
        "prepare": Command(_prepare, (text, epoch, text, listed)),
        "release": Command(_release, (text, epoch, text)),
        "handover": Command(_handover, (text, epoch, text, text)),
        "revoke": Command(_revoke, (text, text, epoch, any_text, any_text)),
    }
)
