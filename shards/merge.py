"""Of what several stores hold of a shard, the greatest: what each store of the next version gets.

Every quorum of the old version shares a store with those that were dumped. So the greatest promise
is at least every epoch that was won, the log with the greatest (te, ts) holds every entry that was
acknowledged, and the greatest commit index is one that was reached. Never the longest log: entries
that nobody else has may be many, and of an epoch that is over.

The merge of any dumps, in any order, in any grouping, with any of them twice, is the same: so
several coordinators that finish one change do not undo each other's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from regions.codec import as_bytes
from regions.membership import Member


class Held(NamedTuple):
    """A grant: of two, the greater he; of one, a revocation is not forgotten."""

    epoch: int
    holder: str
    revoked: int
    version: int


class Placed(NamedTuple):
    """Where the shard should be led."""

    revision: int
    placement: bytes


class Tip(NamedTuple):
    """The last entry of a log: (te, ts), and the chain that makes two logs one."""

    epoch: int
    sequence: int
    chain: int


@dataclass(frozen=True, slots=True)
class Record:
    """One shard as one store holds it, or as several do together; `sources` have its log."""

    promised: int
    floor: int
    grant: Held
    placed: Placed
    tip: Tip
    sources: frozenset[Member]
    committed: int


def merged(one: Record, other: Record) -> Record:
    """The greater of each."""
    tip = max(one.tip, other.tip)
    return Record(
        max(one.promised, other.promised),
        max(one.floor, other.floor),
        max(one.grant, other.grant),
        max(one.placed, other.placed),
        tip,
        frozenset().union(*(each.sources for each in (one, other) if each.tip == tip)),
        max(one.committed, other.committed),
    )


def read_record(
    fields: list[Any], sources: frozenset[Member], version: int, floor: int = 0
) -> Record:
    """A record of a dump, after the shard's name:
    [pe, pf, he, h, st, rvk, ver, prev, pref, te, ts, tc, cm, be, bs, bc].

    A grant counts as one of `version` at most, that before the one that is installed: at the store
    that gets the merge it was not given in the new version, so it must read as inherited there.
    `floor`: no epoch up to it is prepared any more.
    """
    pe, pf, he, h, _st, rvk, ver, prev, pref, te, ts, tc, cm = fields[:13]
    return Record(
        int(pe),
        max(int(pf), floor),
        Held(int(he), h, rvk, min(ver, version)),
        Placed(prev, as_bytes(pref)),
        Tip(int(te), ts, tc),
        sources,
        cm,
    )


def merge_command(
    group: str, version: int, shard: str, attempt: str, record: Record, first: int, entries: Any
) -> list[Any]:
    """`merge` at a store that becomes one of `version`; `entries` from `first` on bring its log to
    the record's tip, False for those that were sent before."""
    grant, tip = record.grant, record.tip
    return [
        "merge", group, version, shard, attempt,
        str(record.promised), str(record.floor), str(grant.epoch), grant.holder,
        grant.revoked, grant.version, record.placed.revision, record.placed.placement,
        first, entries, str(tip.epoch), tip.sequence, tip.chain, record.committed,
    ]  # fmt: skip
