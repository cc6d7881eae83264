"""What a node can be asked by the services around it, and what it answers.

These are the words between the edges (HTTP, simulator clients) and the node's pure core. A key has
been mapped to its shard before a request is made; positions are sequences of that shard's log.
Refusals are values: nothing here is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from config.audit import Note
from shards.resharding import Kind, Part, Phase


class Consistency(Enum):
    """How fresh a read must be; see docs/GUARANTEES.md."""

    STRONG = "strong"  # linearizable: at the leader, inside its lease
    BOUNDED = "bounded"  # at a local follower, at most `max_staleness_ms` behind
    SESSION = "session"  # at a local follower that has reached `position`, else at the leader
    ANY = "any"  # at a local follower, whatever its age


class Role(StrEnum):
    """In which role an answer was given."""

    LEADER = "leader"
    FOLLOWER = "follower"


class Problem(StrEnum):
    """Why a request was refused; the value is the last part of the problem's `type`."""

    INVALID = "invalid"
    UNKNOWN_SHARD = "unknown-shard"
    UNKNOWN_NODE = "unknown-node"
    UNKNOWN_GROUP = "unknown-group"
    UNKNOWN_STORE = "unknown-store"
    NOT_CHANGED = "not-changed"  # a store set cannot be changed so, or not now
    GROUP_NOT_MADE = "group-not-made"  # no group can be made of these regions, or not now
    GROUP_NOT_DROPPED = "group-not-dropped"  # a group has to stay, or has to for now
    NOT_RESHARDED = "not-resharded"  # a shard cannot be moved, split or merged so, or not now
    UNSPLITTABLE = "unsplittable"  # all that the shard has is one slot
    UNKNOWN_RESHARDING = "unknown-resharding"
    NOT_LEADER = "not-leader"  # `leader` says where to go
    NO_LEADER = "no-leader"  # an election is on
    NO_QUORUM = "no-quorum"  # this leader cannot reach a majority of stores
    TRANSFERRING = "transferring"
    STALE = "stale"  # the local follower is older than asked for
    PRECONDITION_FAILED = "precondition-failed"
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch"  # the same id, another body
    TOO_OLD = "too-old"  # a retry from before the memory of ids: never executed
    TOO_LARGE = "too-large"
    QUOTA_EXCEEDED = "quota-exceeded"
    STORE_FULL = "store-full"  # fewer than a majority of stores has room
    OVERLOADED = "overloaded"
    NOT_READY = "not-ready"  # what is kept was written by a newer release, or is damaged
    UNKNOWN_OUTCOME = "unknown-outcome"  # sent, not confirmed: it may have happened


@dataclass(frozen=True, slots=True)
class Put:
    """Set `key` of `partition` to `value`."""

    partition: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `key` of `partition`; removing an absent key is not an error."""

    partition: str
    key: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A precondition: `key` has `version`; 0 means absent, -1 means present in any version."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic change of one shard.

    `op_id` makes a retry safe: the first outcome is answered again, another `digest` under the same
    id is refused. `since` is a position the client knew before its first attempt: a retry whose
    first attempt may have been forgotten (since < the floor of remembered ids) is refused.
    `notes`, of a write to the system shard alone, are recorded in the same entry, or not at all.
    """

    shard: str
    mutations: tuple[Put | Delete, ...]
    compares: tuple[Compare, ...] = ()
    op_id: str = ""
    digest: str = ""
    since: int | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """Values of some keys of one shard, all at one position.

    `quorum`: a strong read that relies on no clock; a majority confirms the leader's epoch first.
    `beside`: other shards that the client's position names; one that the map here has not yet may
    continue this one, and then nothing but a later map can answer.
    """

    shard: str
    keys: tuple[str, ...]
    consistency: Consistency = Consistency.STRONG
    max_staleness_ms: int | None = None
    position: int = 0
    quorum: bool = False
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """Keys of one partition that start with `prefix` and come after `after`, in byte order.

    `beside` as in Read.
    """

    shard: str
    partition: str
    prefix: str = ""
    after: str = ""
    limit: int = 100
    consistency: Consistency = Consistency.STRONG
    max_staleness_ms: int | None = None
    position: int = 0
    quorum: bool = False
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand a shard over to `to_node`, without waiting for a lease to run out (at its leader)."""

    shard: str
    to_node: str
    principal: str = "operator"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evict:
    """Take a shard from its holder, with or without its help (at any node of the group)."""

    shard: str
    principal: str = "operator"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """Who led a shard, until which epoch, and why it ended: the last 64 tenures."""

    shard: str


@dataclass(frozen=True, slots=True)
class Reshard:
    """Move, split or merge a shard (at the leader of the shard `system`).

    `at` is the first slot of a split's second child, `beside` the shard to merge with, `to_group`
    where to move, to be led from `to_region`, by `to_node`, if they are named. `also` is written in
    the entry that begins it, if `compares` hold as well. Without `begin` nothing is done.
    """

    kind: Kind
    of: str
    at: int | None = None
    beside: str = ""
    to_group: str = ""
    to_region: str = ""
    to_node: str = ""
    also: tuple[Put | Delete, ...] = ()
    compares: tuple[Compare, ...] = ()
    begin: bool = True
    principal: str = "operator"
    reason: str = ""
    shard: str = "system"


@dataclass(frozen=True, slots=True)
class CancelResharding:
    """Drop a resharding whose parents are not closed yet (at the leader of the shard `system`)."""

    number: int
    begin: bool = True
    principal: str = "operator"
    reason: str = ""
    shard: str = "system"


@dataclass(frozen=True, slots=True)
class MakeGroup:
    """Have a group made that votes in these regions (at the leader of the shard `system`)."""

    regions: tuple[str, ...]
    begin: bool = True
    principal: str = "operator"
    reason: str = ""
    shard: str = "system"


@dataclass(frozen=True, slots=True)
class DropGroup:
    """Let a group go that was made, and in which there is no shard (at the leader of `system`)."""

    group: str
    begin: bool = True
    principal: str = "operator"
    reason: str = ""
    shard: str = "system"


class Fate(StrEnum):
    """What became of a write that its leader could not confirm."""

    KEPT = "kept"  # the next leader found it and went on with it: it has happened
    REPLACED = "replaced"  # another entry is committed in its place: it will never happen
    RETRIED = "retried"  # it was replaced, and sent again under its id: it has happened
    UNKNOWN = "unknown"  # the log was trimmed beyond it, and its id is not remembered


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of an entry that was to stand at `sequence` (at any node with a copy)."""

    shard: str
    sequence: int
    epoch: int
    chain: int
    operation: str


class StoreAction(StrEnum):
    """What is to become of a group's store set."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class ChangeStores:
    """Another store set for a group (at a node that stands there).

    `by` comes in the place of a store that is replaced; the store itself, admitted anew, if that
    is its own name. `follower`: one that is added holds copies, and does not vote.
    """

    group: str
    action: StoreAction
    store: str
    by: str = ""
    follower: bool = False
    principal: str = "operator"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChangeLease:
    """Another lease for a group (at a node that stands there); it may be made longer than this
    where measured round trips need it."""

    group: str
    ttl_ms: int
    principal: str = "operator"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ForceRecover:
    """Make a group go on with what is left of it, when most of its stores are lost."""

    group: str
    accept_loss: bool = False
    principal: str = "operator"
    reason: str = ""


Request: TypeAlias = (
    Write
    | Read
    | Scan
    | Transfer
    | Evict
    | History
    | Trace
    | Reshard
    | CancelResharding
    | MakeGroup
    | DropGroup
)


@dataclass(frozen=True, slots=True)
class LeaderHint:
    """Where a shard is led, as far as the answering node knows; the higher epoch always wins."""

    node: str
    region: str
    url: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Written:
    """The change is on a majority of stores at `position`, also the version of its keys."""

    shard: str
    epoch: int
    position: int
    replayed: bool = False  # an earlier attempt with the same id had done it


@dataclass(frozen=True, slots=True)
class Provenance:
    """What every read answer says of itself. `staleness_ms` 0 is strong, None is unknown (any)."""

    shard: str
    epoch: int
    position: int
    staleness_ms: int | None
    role: Role
    store: str


@dataclass(frozen=True, slots=True)
class Value:
    """One value and the position that wrote it."""

    version: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Answer to Read: one value or None for each key, in the order asked."""

    values: tuple[Value | None, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Scanned:
    """Answer to Scan; `more` is true when the limit cut it short."""

    items: tuple[tuple[str, Value], ...]
    more: bool
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Transferred:
    """A majority of stores holds the handover and the target knows; writes paused `paused_ms`."""

    shard: str
    from_epoch: int
    to_node: str
    paused_ms: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """A majority of stores holds the revocation of `epoch`."""

    shard: str
    epoch: int
    holder: str


@dataclass(frozen=True, slots=True)
class Resharded:
    """A resharding as it is written down, or would be; how far it is, its own page says."""

    number: int
    kind: Kind
    parents: tuple[Part, ...]
    children: tuple[Part, ...]
    phase: Phase
    begun: bool


@dataclass(frozen=True, slots=True)
class GroupWanted:
    """A group as it is, is being made (`begun`), or would be."""

    group: str
    voters: tuple[str, ...]
    followers: tuple[str, ...]
    ttl_ms: int
    begun: bool


@dataclass(frozen=True, slots=True)
class GroupDropped:
    """A group that was let go (`begun`: just now), or would be, and why."""

    group: str
    why: str
    begun: bool


@dataclass(frozen=True, slots=True)
class Tenures:
    """Answer to History: records as the leaders wrote them, oldest first."""

    shard: str
    records: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """Answer to Trace; `position` is where the write stands, if it has happened."""

    shard: str
    fate: Fate
    position: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was not done (UNKNOWN_OUTCOME: is not known to be done), and why."""

    problem: Problem
    detail: str
    leader: LeaderHint | None = None
    retry_after_ms: int | None = None
    version: int | None = None  # PRECONDITION_FAILED: the version found


@dataclass(frozen=True, slots=True)
class StoresWanted:
    """What is wanted as the version after `version`: stores, and how long leases last; whether it
    was begun."""

    group: str
    version: int
    voters: tuple[str, ...]
    followers: tuple[str, ...]
    begun: bool
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class StoresForced:
    """What a group goes on with after `version`, whether it was begun, and what is lost with it.

    `left` have their data, `emptied` lost it and are admitted anew, `silent` do not answer and are
    left out. `dumps` voters are read instead of `dumps_needed`; `lost` says in words what of.
    """

    group: str
    version: int
    voters: tuple[str, ...]
    followers: tuple[str, ...]
    begun: bool
    left: tuple[str, ...]
    emptied: tuple[str, ...]
    silent: tuple[str, ...]
    dumps: int
    dumps_needed: int
    lost: str


GroupChange: TypeAlias = ChangeStores | ChangeLease
Outcome: TypeAlias = (
    Written
    | Found
    | Scanned
    | Transferred
    | Evicted
    | Tenures
    | Traced
    | Resharded
    | GroupWanted
    | GroupDropped
    | Refused
)
