"""Who belongs to a group, and for how long its leases hold: what every one of its stores knows.

A voter is its *incarnation*, not its name: a store that forgot what it held is somebody else, even
at the same address. The lease must be the same for all: a node that believed in a shorter one would
take over while the holder may still serve. So both stand in the description, which is decided once
for each version of a group, and never changed.

Another lease is another version. Within a version all believe in the same one, and nothing of one
version counts in the next, so a longer lease needs no more than that. After a shorter one, leases
of versions before may still run when all that this version knows of has been waited for. So it says
how long the longest of them can be (`earlier_ttl_ms`), and nobody takes over before that is over.

A later version also names the voters of the one before it: whoever meets the description on a
sealed store can then finish the change, though nobody is left who took part in deciding it.

A version that an operator forced was decided by nobody (regions/forcing). It says so, and `before`
are then not voters of whom a majority is enough, but all that was left: every one is needed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from regions.codec import Code, as_bytes, as_text
from regions.latency import TTL_FLOOR_MS
from regions.quorum import quorum_of

FIRST_VERSION = 1
VERSION_AT, STATE_AT, DESCRIPTION_AT = 1, 2, 3  # [code, version, state, description, ...]
ADDED_MAX = REMOVED_MAX = 2
TTL_MAX_MS = 60_000
"""No lease is made longer: after a crash nobody would lead for a minute."""


class Member(NamedTuple):
    """A store as a group knows it. Incarnation "" is whoever answers there."""

    store: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Forced:
    """That a version was forced: from which one, without which of its stores, by whom and why."""

    of: int
    gone: Mapping[str, str]
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """One version of a group. Voters and followers map a store's id to its incarnation;
    `before` are the voters of the version before, none of the first one. No epoch up to `floor`
    is asked for in this version and in later ones. `set_ttl_ms` is the lease that people set, where
    round trips need a longer one; `earlier_ttl_ms` the longest that a version before may have left,
    where it is longer than this version's own; else both are 0. `cluster` is the id that a fleet
    got when it was restored from a backup, "" before."""

    group: str
    version: int
    ttl_ms: int
    voters: Mapping[str, str]
    followers: Mapping[str, str]
    before: Mapping[str, str] = field(default_factory=dict)
    floor: int = 0
    forced: Forced | None = None
    set_ttl_ms: int = 0
    earlier_ttl_ms: int = 0
    cluster: str = ""

    @property
    def least_ttl_ms(self) -> int:
        """The lease that people set: none is made shorter than that by what is measured."""
        return self.set_ttl_ms or self.ttl_ms

    @property
    def longest_ttl_ms(self) -> int:
        """The longest lease of this version, or of one before, that there can be."""
        return max(self.ttl_ms, self.earlier_ttl_ms)

    @property
    def previous(self) -> int:
        """The version that this one was made of."""
        return self.version - 1 if self.forced is None else self.forced.of

    @property
    def dumps_needed(self) -> int:
        """How many of `before` must be read: a majority; all, where one is not left."""
        return quorum_of(len(self.before)) if self.forced is None else len(self.before)

    @property
    def incarnations(self) -> dict[str, str]:
        """The incarnation of every store of the group."""
        return {**self.voters, **self.followers}

    @property
    def quorum(self) -> int:
        """How many voters decide."""
        return quorum_of(len(self.voters))


def members(stores: Mapping[str, str]) -> list[Member]:
    """Stores and their incarnations, by name."""
    return [Member(store, incarnation) for store, incarnation in sorted(stores.items())]


def write_description(description: GroupDescription) -> bytes:
    """The description as stores keep it; equal descriptions give equal bytes."""
    document: dict[str, Any] = {
        "group": description.group,
        "version": description.version,
        "ttl_ms": description.ttl_ms,
        "voters": _written(description.voters),
        "followers": _written(description.followers),
    }
    if description.before:
        document["before"] = _written(description.before)
    if description.floor:
        document["floor"] = description.floor
    if description.forced is not None:
        forced = description.forced
        document["forced"] = {
            "of": forced.of, "gone": _written(forced.gone), "by": forced.by, "why": forced.why,
        }  # fmt: skip
    if description.set_ttl_ms:
        document["set_ttl_ms"] = description.set_ttl_ms
    if description.earlier_ttl_ms:
        document["earlier_ttl_ms"] = description.earlier_ttl_ms
    if description.cluster:
        document["cluster"] = description.cluster
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _written(stores: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"store": m.store, "incarnation": m.incarnation} for m in members(stores)]


def read_description(text: bytes | str) -> GroupDescription:
    """The description in `text`. Raises ValueError when it is none."""
    try:
        document = json.loads(as_text(text))
        return GroupDescription(
            str(document["group"]),
            int(document["version"]),
            int(document["ttl_ms"]),
            _read(document["voters"]),
            _read(document["followers"]),
            _read(document.get("before", [])),
            int(document.get("floor", 0)),
            _read_forced(document.get("forced")),
            int(document.get("set_ttl_ms", 0)),
            int(document.get("earlier_ttl_ms", 0)),
            str(document.get("cluster", "")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the description of a group: {error!r}") from error


def _read_forced(document: dict[str, Any] | None) -> Forced | None:
    if document is None:
        return None
    gone = _read(document["gone"])
    return Forced(int(document["of"]), gone, str(document["by"]), str(document["why"]))


def _read(listed: list[dict[str, str]]) -> dict[str, str]:
    return {m["store"]: m["incarnation"] for m in listed}


def ask_for_description(group: str) -> list[Any]:
    """A command that is refused by every store of the group, with the group's description."""
    return ["observe", group, 0, 0, 1]


def description_in(result: list[Any]) -> GroupDescription | None:
    """What a store answered to `ask_for_description`, None when it is no member of the group."""
    if result[0] == Code.NOT_MEMBER or not result[DESCRIPTION_AT]:
        return None
    return read_description(result[DESCRIPTION_AT])


def later_description(result: list[Any], version: int) -> bytes | None:
    """What a refusal shows of a version after `version`, None if it shows none: a sealed store
    and one that has gone on name the description that was decided."""
    if result[0] not in (Code.SEALED, Code.OLD_VERSION) or not result[DESCRIPTION_AT]:
        return None
    text = as_bytes(result[DESCRIPTION_AT])
    return text if read_description(text).version > version else None


def may_follow(
    old: GroupDescription,
    new: GroupDescription,
    caught_up: Collection[Member],
    answering: Collection[Member],
) -> str:
    """Why `new` must not be proposed as the version after `old`; "" if it may.

    `answering` are those that answered within the last TTL, `caught_up` the learners among them
    that lack next to nothing. What is decided cannot be taken back, so all of this is asked before:
    too many strangers at once, or stores that are not there, and v+1 might never come into use.
    """
    return _malformed(old, new) or _too_much(old, new) or _unready(old, new, caught_up, answering)


def _malformed(old: GroupDescription, new: GroupDescription) -> str:
    if (new.group, new.cluster, new.floor) != (old.group, old.cluster, old.floor):
        return "the group, its cluster and its floor of epochs stay as they are"
    if not TTL_FLOOR_MS <= new.ttl_ms <= TTL_MAX_MS and new.ttl_ms != old.ttl_ms:
        return f"a lease lasts {TTL_FLOOR_MS} to {TTL_MAX_MS} ms"
    if new.longest_ttl_ms < old.ttl_ms:
        return f"leases of {old.ttl_ms} ms may be left, and it does not say so"
    if new.forced is not None:
        return "what is forced is not put to the vote"
    if new.version != old.version + 1:
        return f"version {new.version} does not follow on {old.version}"
    if dict(new.before) != dict(old.voters):
        return f"it does not name the voters of version {old.version}"
    if not new.voters:
        return "nobody would vote"
    twice = new.voters.keys() & new.followers.keys()
    if twice:
        return f"named twice: {', '.join(sorted(twice))}"
    incarnations = Counter([*new.voters.values(), *new.followers.values()])
    unminted = sorted(s for s, incarnation in new.incarnations.items() if not incarnation)
    if unminted:
        return f"not minted: {', '.join(unminted)}"
    if max(incarnations.values()) > 1:
        return "two stores have one incarnation"
    return ""


def _too_much(old: GroupDescription, new: GroupDescription) -> str:
    """One voter for another, or at most two more, or at most two less."""
    before, after = set(members(old.voters)), set(members(new.voters))
    added, removed = len(after - before), len(before - after)
    if not added and not removed and (new.followers, new.ttl_ms, new.least_ttl_ms) == (
        old.followers, old.ttl_ms, old.least_ttl_ms,
    ):  # fmt: skip
        return "nothing would change"
    if (added, removed) == (1, 1) or (not removed and added <= ADDED_MAX):
        return ""
    if not added and removed <= REMOVED_MAX:
        return ""
    counted = f"adds {added} and removes {removed} voters at once"
    return f"{counted}: one for one, or two more, or two less"


def _unready(
    old: GroupDescription,
    new: GroupDescription,
    caught_up: Collection[Member],
    answering: Collection[Member],
) -> str:
    before, after = members(old.voters), members(new.voters)
    silent = [m.store for m in after if m not in before and m not in answering]
    if silent:
        return f"does not answer: {', '.join(silent)}"
    behind = [m.store for m in after if m not in before and m not in caught_up]
    if behind:
        return f"has not caught up: {', '.join(behind)}"
    alive = [m for m in before if m in answering]
    if len(alive) < old.quorum:
        absent = [m.store for m in before if m not in answering]
        return f"no quorum of version {old.version} answers: {', '.join(absent)} missing"
    if sum(m in after for m in alive) < new.quorum:
        return f"fewer than {new.quorum} of its voters vote now and answer"
    return ""
