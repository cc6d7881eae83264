"""One command at work on one shard: what is there, what may be said of it, how it is changed."""

from __future__ import annotations

from typing import Any

from regions.codec import Code
from regions.scripts.model import Call
from regions.scripts.state import Grant, Group
from shards.scripts.draft_state import Draft
from shards.scripts.entries import StoredEntry, parse_entry
from shards.scripts.state import Data, Shard


class OnShard:
    """A shard that was never written to reads as one of nothing but defaults."""

    __slots__ = ("call", "grant", "group", "name", "shard")

    def __init__(self, call: Call, group: Group, name: str) -> None:
        self.call = call
        self.group = group
        self.name = name
        self.grant: Grant = group.grants.get(name) or Grant()
        self.shard: Shard = group.shards.get(name) or Shard()

    def shown_grant(self) -> list[Any]:
        """The grant as payloads carry it."""
        return self.grant.shown(self.group.version)

    @property
    def st(self) -> str:
        """The state of the grant, as it is in the present version of the group."""
        return self.grant.state_in(self.group.version)

    @property
    def is_held(self) -> bool:
        return self.st in {"held", "handover"}

    @property
    def is_inherited(self) -> bool:
        return self.st == "inherited"

    def refused(self, code: Code, *more: Any) -> list[Any]:
        """A refusal; it carries the present grant."""
        return [code, self.shown_grant(), *more]

    def set_grant(self, **fields: Any) -> None:
        """Change the grant where it differs."""
        self.call.change_grant(self.group, self.name, self.grant, **fields)

    def set_shard(self, **fields: Any) -> None:
        """Change the log's record where it differs."""
        if self.call.change(self.shard, **fields):
            self.keep()

    def keep(self) -> None:
        """Say that the log or the data is about to change."""
        self.call.write()
        self.group.shards[self.name] = self.shard

    def moved(self) -> None:
        """Let observers see the shard again."""
        self.call.list_change(self.group, f"s/{self.name}")

    def refused_session(self, sid: str) -> Code | None:
        """Why this session may get no authority here, None if it may."""
        session = self.group.sessions.get(sid)
        if session is None:
            return Code.UNKNOWN
        return Code.DEAD if session.dead else None

    def give_to(self, sid: str, epoch: int) -> None:
        """Make the session the holder, in this epoch.

        Older marks of freshness are void, and nobody is left to go on with what was staged.
        """
        version = self.group.version
        self.set_grant(pe=epoch, he=epoch, h=sid, st="held", tgt="", rvk=0, sync=0, ver=version)
        self.stage_from(0)
        self.moved()

    def leads(self, sid: str, epoch: int) -> bool:
        """Whether the session may still change the log here in this epoch."""
        grant = self.grant
        return grant.pe == grant.he == epoch and grant.h == sid and not self.is_inherited

    def stage_from(self, number: int) -> None:
        """Drop what is staged. Attempts below `number` are over from here on."""
        if self.shard.sn != number:
            self.set_shard(sn=number)
            self.shard.stage = Data()

    @property
    def is_known(self) -> bool:
        """Whether there is any record of the shard."""
        return self.name in self.group.grants or self.name in self.group.shards

    @property
    def draft(self) -> Draft:
        """What will be a shard here, and what was given up; of number 0 where nothing is."""
        return self.group.drafts.get(self.name) or Draft()

    def undraft(self, upto: int = 0) -> None:
        """Drop the draft, if there is one. No draft up to its number, or `upto`, is made again."""
        draft = self.draft
        over = max(draft.undrafted, draft.number, upto)
        if draft.number or over != draft.undrafted:
            self.call.write()
            self.group.drafts[self.name] = Draft(undrafted=over)

    def entry(self, sequence: int) -> StoredEntry | None:
        """The stored entry at a sequence, None when there is none."""
        blob = self.shard.log.get(sequence)
        return None if blob is None else parse_entry(blob)

    def commit(self, committed: int) -> None:
        """Raise the commit index and apply up to it."""
        shard = self.shard
        self.set_shard(cm=max(shard.cm, committed))
        upto = shard.ap
        while upto < shard.cm and (entry := self.entry(upto + 1)) is not None:
            self.keep()
            upto += 1
            shard.data.apply(upto, entry)
        self.set_shard(ap=upto)

    def freshness(self) -> tuple[int, int]:
        """Whether a live leader vouches for the data, and the session's `seen`."""
        grant = self.grant
        session = self.group.sessions.get(grant.h)
        fresh = (
            session is not None
            and not session.dead
            and self.st == "held"
            and grant.sync == grant.he == grant.pe
            and self.shard.ap == self.shard.cm
            and grant.rvk == 0
        )
        return int(fresh), session.seen if session else 0
