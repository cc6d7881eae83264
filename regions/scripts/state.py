"""What a store remembers, as plain records of the twin. The keys are those of docs/STORE_FORMAT.md.

Epochs are integers here and decimal strings in payloads. Records of the packages above are kept
without being looked into; all they need is `copy`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from regions.codec import as_bytes


class Copyable(Protocol):
    """A record that can be copied, so that changes of the copy leave it alone."""

    def copy(self) -> Self: ...


@dataclass(slots=True)
class Session:
    """One session in one group. It is never forgotten: a dead one must stay dead."""

    process: str
    node: str
    region: str
    url: str
    counter: int = 0
    dead: bool = False
    revision: int = 0
    revocations: list[tuple[str, int]] = field(default_factory=list)
    seen: int = 0

    def copy(self) -> Session:
        return replace(self, revocations=list(self.revocations))


@dataclass(slots=True)
class Grant:
    """The authority over one shard, and where the shard should be led."""

    pe: int = 0  # promised epoch: only grows
    pf: int = 0  # floor for prepares: only grows
    he: int = 0  # epoch held, at most pe
    h: str = ""  # session that holds it
    st: str = "free"
    tgt: str = ""
    rvk: int = 0
    ver: int = 0  # configuration version in which it was granted
    sync: int = 0  # epoch whose leader vouches that the shard's data is complete
    prev: int = 0  # revision of the placement
    pref: bytes | str = ""  # the placement

    def shown(self, version: int) -> list[Any]:
        """The grant as payloads carry it in that version of its group."""
        return [
            str(self.pe),
            str(self.pf),
            str(self.he),
            self.h,
            self.state_in(version),
            self.tgt,
            self.rvk,
        ]

    def state_in(self, version: int) -> str:
        """What the grant reads as: it licenses nothing if an earlier version gave it."""
        return "inherited" if self.pe and max(self.ver, 1) < version else self.st


@dataclass(frozen=True, slots=True)
class Register:
    """The ballots of one version: promised (n, p), accepted (an, ap, ad); numbers from 1."""

    version: int = 0
    n: int = 0
    p: str = ""
    an: int = 0
    ap: str = ""
    ad: bytes | str = ""


@dataclass(slots=True)
class Group:
    """One group in this store. `state` absent means that the store is no member of it."""

    version: int = 0
    state: str = "absent"
    description: bytes | str | bool = False
    next: bytes | str | bool = False  # what a sealed group becomes
    to: int = 0  # the version of `next`
    by: str = ""  # the attempt that copies to a learner
    register: Register = Register()
    sessions: dict[str, Session] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    grants: dict[str, Grant] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # in order of opseq, as it grows
    shards: dict[str, Any] = field(default_factory=dict)  # Copyable records of the package above
    # What is staged for the next version: shards merged by an attempt, tails by attempt and shard,
    # shards of which a learner has pages.
    merged: dict[str, set[str]] = field(default_factory=dict)
    tails: dict[tuple[str, str], dict[int, bytes | str]] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)
    drafts: dict[str, Any] = field(default_factory=dict)  # as `shards`: no shards yet

    def copy(self) -> Group:
        return replace(
            self,
            sessions={sid: session.copy() for sid, session in self.sessions.items()},
            live=set(self.live),
            grants={shard: replace(grant) for shard, grant in self.grants.items()},
            changes=dict(self.changes),
            shards={shard: record.copy() for shard, record in self.shards.items()},
            merged={attempt: set(shards) for attempt, shards in self.merged.items()},
            tails={of: dict(entries) for of, entries in self.tails.items()},
            paged=set(self.paged),
            drafts={shard: draft.copy() for shard, draft in self.drafts.items()},
        )

    @property
    def shown_description(self) -> bytes | str | bool:
        """What the group is, and of a sealed one what it becomes; False when it was never told."""
        return self.next if self.state == "sealed" else self.description

    @property
    def next_version(self) -> int:
        """The version that is made of this one: the one after it, if no seal named another."""
        return self.to or self.version + 1

    def shard_names(self) -> list[str]:
        """Every shard of which there is a record, by the bytes of its name."""
        return sorted(self.grants.keys() | self.shards.keys(), key=as_bytes)


@dataclass(slots=True)
class StoreState:
    """All that survives a restart. `incarnation` "" is a store that was never minted."""

    store_id: str = ""
    incarnation: str = ""
    nonce: str = ""
    admitted_run_id: str = ""
    opseq: int = 0
    generations: dict[str, int] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def copy(self) -> StoreState:
        return replace(
            self,
            generations=dict(self.generations),
            groups={name: group.copy() for name, group in self.groups.items()},
        )


def process_of(sid: str) -> str:
    """The process that opened a session: what comes before the last `/` of its id."""
    head, slash, _ = sid.rpartition("/")
    return head if slash else sid
