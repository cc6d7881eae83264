"""What the audit log says of changes that the system shard's own records show: small, and plain."""

from __future__ import annotations

from typing import Any

from config.audit import SYSTEM_PRINCIPAL, Note, What
from controlplane.node.drains import Drain, Scope
from regions.membership import GroupDescription
from shards.resharding import Part, Phase, Resharding


def drain_notes(
    before: Drain | None, after: Drain, principal: str | None = None
) -> tuple[Note, ...]:
    """A drain that begins, ends, or has other canaries; nothing of one that only went on.

    `principal`: who did that, if it is not who is named in the drain.
    """
    was, now = None if before is None else _drain(before), _drain(after)
    if was == now:
        return ()
    by = after.principal if principal is None else principal
    return (Note(What.DRAIN, _place(after), by, after.reason, was, now),)


def _place(drain: Drain) -> str:
    place = f"{drain.scope.value} {drain.name}"
    return f"{place} of {drain.within}" if drain.scope is Scope.ZONE else place


def _drain(drain: Drain) -> dict[str, Any]:
    said: dict[str, Any] = {"state": drain.state.value}
    if drain.deadline_wall_ms is not None:
        said["deadline_wall_ms"] = drain.deadline_wall_ms
    if drain.added_p99_ms is not None:
        said["added_p99_ms"] = drain.added_p99_ms
    if drain.canaries:
        said["canaries"] = len(drain.canaries)
    return said


def resharding_notes(
    before: Resharding | None,
    after: Resharding,
    principal: str = SYSTEM_PRINCIPAL,
    reason: str = "",
) -> tuple[Note, ...]:
    """A resharding that begins or goes to another phase; one that begins is its orderer's."""
    if before is not None and before.phase is after.phase:
        return ()
    if before is None:
        principal, reason = after.principal, after.reason
    was = None if before is None else {"phase": before.phase.value}
    now: dict[str, Any] = {"phase": after.phase.value, "kind": after.kind.value}
    if after.phase in (Phase.DRAFTING, Phase.DONE):
        now |= {"parents": _parts(after.parents), "children": _parts(after.children)}
    return (Note(What.RESHARDING, str(after.number), principal, reason, was, now),)


def _parts(parts: tuple[Part, ...]) -> list[list[Any]]:
    return [[part.shard, part.group, part.first_slot, part.end_slot] for part in parts]


def group_note(
    description: GroupDescription, state: str, principal: str = SYSTEM_PRINCIPAL, reason: str = ""
) -> Note:
    """A group that is to be made, is made, has another version by now, or is dropped."""
    now = {
        "state": state, "version": description.version, "ttl_ms": description.ttl_ms,
        "voters": sorted(description.voters), "followers": sorted(description.followers),
    }  # fmt: skip
    return Note(What.GROUP, description.group, principal, reason, after=now)
