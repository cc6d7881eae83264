"""The twin of the commands of regions: a store's identity, its groups, and their sessions.

See docs/STORE_FORMAT.md, section 4; the Lua files beside this one do the same.
"""

from __future__ import annotations

from hashlib import sha1
from types import MappingProxyType
from typing import Any, Final

from regions.codec import FORMAT, Code, as_bytes
from regions.membership import FIRST_VERSION
from regions.scripts.arguments import BadArgument, any_text, binary, count, positive, text, texts
from regions.scripts.membership import MEMBERSHIP_COMMANDS
from regions.scripts.model import Call, Command
from regions.scripts.state import Grant, Group, Session, process_of


def _hello(call: Call, _group: Group, _arguments: list[Any]) -> list[Any]:
    groups = sorted(call.state.groups.items(), key=lambda item: as_bytes(item[0]))
    listed = [[name, group.version, group.state] for name, group in groups]
    return [Code.OK, FORMAT, call.state.store_id, listed]


def _mint(call: Call, _group: Group, arguments: list[Any]) -> list[Any]:
    _, _, store_id, nonce = arguments
    state = call.state
    if not state.incarnation:
        seconds, micros = call.store.clock()
        call.write()
        state.store_id, state.nonce = store_id, nonce
        state.incarnation = minted_incarnation(seconds, micros, nonce, store_id)
    elif state.nonce != nonce:
        return [Code.EXISTS]
    return [Code.OK, state.store_id, state.incarnation]


def minted_incarnation(seconds: int, micros: int, nonce: str, store_id: str) -> str:
    """The incarnation that a store mints at that time of its own clock."""
    seed = f"{seconds} {micros} {nonce} {store_id}".encode("utf-8", "surrogateescape")
    return sha1(seed, usedforsecurity=False).hexdigest()[:16]


def _install(call: Call, _group: Group, arguments: list[Any]) -> list[Any]:
    name, version, description = arguments
    if not name or version != FIRST_VERSION:
        raise BadArgument(name)
    group = call.state.groups.get(name)
    if group is None:
        call.write()
        group = Group(version=version, state="open", description=description)
        call.state.groups[name] = group
        return [Code.OK]
    same = as_bytes(group.description) == as_bytes(description)  # type: ignore[arg-type]
    is_this = group.state == "open" and group.version == version and same
    return [Code.OK if is_this else Code.EXISTS]


def _admit(call: Call, _group: Group, arguments: list[Any]) -> list[Any]:
    call.change(call.state, admitted_run_id=arguments[0])
    return [Code.OK]


def _register(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    sid, node, region, url = arguments
    if sid in group.sessions:
        return [Code.EXISTS]
    call.write()
    group.sessions[sid] = Session(process=process_of(sid), node=node, region=region, url=url)
    group.live.add(sid)
    return [Code.OK]


def _renew(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    sid, counter, revision, seen, unsync = arguments
    session = group.sessions.get(sid)
    if session is None:
        return [Code.UNKNOWN]
    if session.dead:
        return [Code.DEAD]
    if revision != session.revision:
        # The holder no longer vouches for these shards; that must not wait for its next renewal.
        _clear_sync(call, group, sid, unsync)
        revocations = [[shard, str(epoch)] for shard, epoch in session.revocations]
        return [Code.REVOKED, session.revision, revocations]
    if counter <= session.counter:
        return [Code.STALE]
    call.change(session, counter=counter, seen=max(seen, session.seen), revocations=[])
    _clear_sync(call, group, sid, unsync)
    return [Code.OK, session.revision]


def _clear_sync(call: Call, group: Group, sid: str, shards: list[str]) -> None:
    for shard in shards:
        grant = group.grants.get(shard)
        if grant is not None and grant.h == sid:
            call.change(grant, sync=0)


def _bury(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    sid, counter = arguments
    session = group.sessions.get(sid)
    if session is None:
        return [Code.UNKNOWN]
    if session.dead:
        return [Code.DEAD]
    if counter != session.counter:
        return [Code.STALE]
    call.bury(group, sid)
    return [Code.OK]


def _observe(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    since, limit = arguments
    sessions = [
        [sid, s.counter, s.revision, s.node, s.region, s.url, s.seen]
        for sid, s in ((sid, group.sessions[sid]) for sid in sorted(group.live, key=as_bytes))
    ]
    changes, upto = _page_of_changes(call, group, since, limit)
    dead = [name[2:] for name in changes if name[0] == "d"]
    shards = []
    for name in changes:
        if name[0] == "s":
            grant = group.grants.get(name[2:]) or Grant()
            shards.append([name[2:], *grant.shown(group.version), grant.prev, grant.pref])
    return [Code.OK, sessions, dead, shards, upto]


def _page_of_changes(call: Call, group: Group, since: int, limit: int) -> tuple[list[str], int]:
    """Changes after `since` in order, at most `limit`, but all or none of each opseq.

    The call may still write after this, under the opseq that it may already have been given. So
    nobody is told to go on from further than where the call began.
    """
    after = []
    for name, opseq in reversed(group.changes.items()):
        if opseq <= since:
            break
        after.append((opseq, as_bytes(name), name))
    after.sort()
    upto = call.began_at
    if len(after) > limit:
        cut = after[limit][0]
        whole = [change for change in after if change[0] < cut]
        if not whole:
            whole = [change for change in after if change[0] == cut]
        after = whole
        upto = min(upto, after[-1][0])
    return [name for _, _, name in after], upto


REGION_COMMANDS: Final = MappingProxyType(
    {
        "hello": Command(_hello, (), needs_group=False, may_only_read=True),
        "mint": Command(_mint, (text, text), needs_group=False),
        "install": Command(_install, (binary,), needs_group=False),
        "admit": Command(_admit, (text,)),
        "register": Command(_register, (text, any_text, any_text, any_text)),
        "renew": Command(_renew, (text, count, count, count, texts)),
        "bury": Command(_bury, (text, count)),
        "observe": Command(_observe, (count, positive), may_only_read=True),
        **MEMBERSHIP_COMMANDS,
    }
)
