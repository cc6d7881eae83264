"""The twin of the commands on drafts: what a shard begins with, brought from those that end.

A draft has no authority. Pages and committed entries of its parents are brought to it, each parent
under an attempt of whoever brings them; a greater one takes over. When the closing entry of every
parent is applied it is ripe, and a shard like any other.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from regions.codec import Code
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
from regions.scripts.membership import attempt, ballot_of
from regions.scripts.model import Call, Command
from regions.scripts.state import Group
from shards.keyspace import SLOTS
from shards.reserved import BORN_KEY, CLOSED_KEY, WIPED_KEY
from shards.scripts.draft_state import Draft, Slots, closes_otherwise
from shards.scripts.entries import parse_entry, parse_number
from shards.scripts.on_shard import OnShard
from shards.scripts.snapshots import SNAPSHOT_COMMANDS, parse_page

PARENTS_MAX: Final = 2
_RIPE: Final[tuple[Any, ...]] = (1, [])


def slots_of(parents: list[Any]) -> list[Slots]:
    """The slots that a child takes, of each parent; one parent, or two."""
    if not 1 <= len(parents) <= PARENTS_MAX:
        raise BadArgument(parents)
    return [_slots(pair) for pair in parents]


def _slots(pair: Any) -> Slots:
    match pair:
        case [first, end] if count(first) < count(end) <= SLOTS:
            return first, end
    raise BadArgument(pair)


class OnDraft:
    """One command at work on one draft. `refusal` is an answer that ends it, None if none does."""

    __slots__ = ("draft", "on", "refusal")

    def __init__(self, call: Call, group: Group, name: str, number: int) -> None:
        self.on = OnShard(call, group, name)
        self.draft = self.on.draft
        self.refusal = self._refusal(number)

    def _refusal(self, number: int) -> list[Any] | None:
        on, draft = self.on, self.draft
        if on.is_known:
            is_child = on.shard.data.told(BORN_KEY) == number
            return [Code.OK, *_RIPE] if is_child else [Code.EXISTS]
        if draft.number == number:
            return None
        known = max(draft.number, draft.undrafted)
        return [Code.STALE, known, ""] if number <= known else [Code.UNKNOWN]

    def answer(self) -> list[Any]:
        """How far the draft is; it becomes a shard if it is ripe."""
        if self.draft.is_ripe:
            self._ripen()
            return [Code.OK, *_RIPE]
        return [Code.OK, 0, [parent.shown() for parent in self.draft.parents]]

    def _ripen(self) -> None:
        on = self.on
        shard = self.draft.ripened()
        del on.group.drafts[on.name]
        on.shard = on.group.shards[on.name] = shard
        on.set_grant(pe=shard.be, ver=on.group.version)
        on.moved()

    def stale(self, p: int) -> list[Any]:
        """The attempt is over."""
        return [Code.STALE, self.draft.number, self.draft.parents[p].by]

    def is_over(self, p: int, by: str) -> bool:
        """Whether a greater attempt has come, or this one was ended by the other parent."""
        parent = self.draft.parents[p]
        if parent.by == by:
            return not parent.phase
        return bool(parent.by) and ballot_of(parent.by) > ballot_of(by)

    def take_page(self, p: int, part: str, parsed: list[tuple[str, Any]]) -> None:
        """Put the records of a page into the draft."""
        for name, record in parsed:
            self.draft.take_record(p, part, name, record)

    def take_entries(self, p: int, first: int, blobs: list[bytes | str]) -> None:
        """Apply entries from `first` on, up to the one that closes."""
        for seq, blob in enumerate(blobs, first):
            entry = parse_entry(blob)
            self.draft.apply(p, seq, entry)
            self.draft.reach(p, (entry.epoch, seq, entry.chain))
            if self.draft.parents[p].phase == "final":
                break


def _draft(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number, slots = arguments
    at = OnDraft(call, group, name, number)
    if at.refusal is None:
        if [parent.slots for parent in at.draft.parents] != slots:
            return [Code.CONFLICT]
        return at.answer()
    if at.refusal[0] != Code.UNKNOWN:
        return at.refusal
    call.write()
    made = Draft.of(number, at.draft.undrafted, slots)
    group.drafts[name] = at.draft = made
    return at.answer()


def _draft_page(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number, p, by, part, records = arguments
    parsed = parse_page(part, records)
    at = OnDraft(call, group, name, number)
    if at.refusal is not None:
        return at.refusal
    parent = at.draft.parent(p)
    if at.is_over(p, by) or (parent.by == by and parent.phase != "pages"):
        return at.stale(p)
    if parent.phase == "final":
        return [Code.EXISTS]
    if part == "kv" and _shows_another_end(parsed, number):
        return [Code.CONFLICT]
    if parent.by != by:
        call.write()
        at.draft.begin(p, by, "pages")
    if parsed:
        call.write()
        at.take_page(p, part, parsed)
    return at.answer()


def _shows_another_end(parsed: list[tuple[str, Any]], number: int) -> bool:
    """Whether the parent was closed by another resharding, or has nothing left."""
    for name, (_version, value) in parsed:
        key = name.partition("\0")[2]
        if key == WIPED_KEY or (key == CLOSED_KEY and parse_number(value) != number):
            return True
    return False


def _draft_data(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number, p, by, *start = arguments
    at = OnDraft(call, group, name, number)
    if at.refusal is not None:
        return at.refusal
    parent = at.draft.parent(p)
    if parent.by != by or parent.phase in {"", "walk"}:
        return at.stale(p)
    if parent.phase == "pages":
        epoch, seq, chain = start
        if 0 < parent.closing < seq:
            return [Code.CONFLICT]
        call.write()
        at.draft.reach(p, (epoch, seq, chain))
    return at.answer()


def _draft_log(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number, p, by, prev_seq, prev_chain, blobs = arguments
    entries = [parse_entry(binary(blob)) for blob in blobs]
    at = OnDraft(call, group, name, number)
    if at.refusal is not None:
        return at.refusal
    parent = at.draft.parent(p)
    if at.is_over(p, by):
        return at.stale(p)
    if parent.phase == "final":
        return at.answer()
    if parent.phase != "log":
        return at.stale(p)
    _, seq, chain = parent.cursor
    if prev_seq > seq:
        return [Code.GAP, seq]
    chains = {prev_seq: prev_chain, **{s: e.chain for s, e in enumerate(entries, prev_seq + 1)}}
    new = entries[seq - prev_seq :]
    if chains.get(seq, chain) != chain or any(closes_otherwise(e, number) for e in new):
        return [Code.CONFLICT]
    if parent.by != by:
        call.write()
        at.draft.parents[p] = replace(parent, by=by)
    if new:
        call.write()
        at.take_entries(p, seq + 1, blobs[seq - prev_seq :])
    return at.answer()


def _draft_state(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number = arguments
    at = OnDraft(call, group, name, number)
    return at.answer() if at.refusal is None else at.refusal


def _undraft(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    name, number = arguments
    on = OnShard(call, group, name)
    if on.is_known:
        return [Code.EXISTS]
    if on.draft.number > number:
        return [Code.STALE, on.draft.number, ""]
    on.undraft(number)
    return [Code.OK]


def _draft_read(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
    on = OnShard(call, group, arguments[0])
    wiped = on.shard.data.told(WIPED_KEY)
    if wiped:
        return on.refused(Code.CLOSED, wiped)
    return SNAPSHOT_COMMANDS["page"].run(call, group, arguments)


def unripe(commands: dict[str, Command]) -> dict[str, Command]:
    """These commands on a shard, refused while it is a draft."""

    def run_unless_draft(run: Any) -> Any:
        def run_if_shard(call: Call, group: Group, arguments: list[Any]) -> list[Any]:
            on = OnShard(call, group, arguments[0])
            if on.draft.number:
                return on.refused(Code.UNRIPE)
            answer: list[Any] = run(call, group, arguments)
            return answer

        return run_if_shard

    return {name: replace(of, run=run_unless_draft(of.run)) for name, of in commands.items()}


_PARENT: Final = (text, positive, flag, attempt)
_READS: Final[dict[str, bool]] = {"works_sealed": True, "may_only_read": True}
_PAGE: Final = SNAPSHOT_COMMANDS["page"].arguments

DRAFT_COMMANDS: Final = MappingProxyType(
    {
        "draft": Command(_draft, (text, positive, lambda value: slots_of(listed(value)))),
        "draft_page": Command(_draft_page, (*_PARENT, any_text, listed)),
        "draft_data": Command(_draft_data, (*_PARENT, epoch_or_none, count, count)),
        "draft_log": Command(_draft_log, (*_PARENT, count, count, listed)),
        "draft_state": Command(_draft_state, (text, positive), may_only_read=True),
        "undraft": Command(_undraft, (text, positive)),
        **unripe({"draft_read": Command(_draft_read, _PAGE, **_READS)}),
    }
)
