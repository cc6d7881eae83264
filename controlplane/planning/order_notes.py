"""What the audit log says of orders of placement, of their moves, and of what holds them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from config.audit import SYSTEM_PRINCIPAL, Note, What
from controlplane.node.directory import MapRow
from controlplane.planning.orders import Order, Pause
from controlplane.planning.proceedings import Crashed
from controlplane.planning.stopping import Promise


def order_notes(
    before: Order | None, after: Order, was: MapRow | None = None, now: MapRow | None = None
) -> tuple[Note, ...]:
    """One step of an order: that it begins or ends, what it moves, what it gives up.

    `was` and `now`: the row of the shard map that the step changes.
    """
    notes = []
    is_same = before is not None and before.number == after.number
    if not is_same or before is None:
        said = {"plan": after.plan, "moves": after.total, "state": after.state.value}
        notes.append(Note(What.PLAN, _name(after), after.principal, after.reason, after=said))
    elif before.state is not after.state:
        ended = {"state": after.state.value, "moved": after.moved, "of": after.total}
        notes.append(
            Note(What.PLAN, _name(after), before={"state": before.state.value}, after=ended)
        )
    if now is not None:
        old = None if was is None else _row(was)
        move = Note(What.MOVE, now.shard, after.principal, _name(after), old, _row(now))
        notes.append(move)
    if is_same and before is not None and len(after.skipped) > len(before.skipped):
        shard, why = after.skipped[-1]
        given_up = {"given_up": why.value}
        notes.append(Note(What.MOVE, shard, SYSTEM_PRINCIPAL, _name(after), after=given_up))
    return tuple(notes)


def _name(order: Order) -> str:
    return f"order {order.number}"


def _row(row: MapRow) -> dict[str, Any]:
    said: dict[str, Any] = {"regions": list(row.regions)}
    return said | {"node": row.node} if row.node else said


def pause_note(pause: Pause | None, principal: str, reason: str) -> Note:
    """Moves are held up, or not any more."""
    if pause is None:
        return Note(What.PAUSE, "placement", principal, reason, after={"until_wall_ms": None})
    until = {"until_wall_ms": pause.until_wall_ms}
    return Note(What.PAUSE, "placement", pause.principal, pause.reason, after=until)


def release_note(crashes: Iterable[Crashed], principal: str, reason: str) -> Note:
    """The brake is let go: these nodes are not counted any more."""
    before = {"went_down": [crash.node for crash in crashes]}
    return Note(What.BRAKE, "placement", principal, reason, before, {"went_down": []})


def promise_note(
    node: str, made: Iterable[Promise], until_ms: int | None, principal: str, reason: str
) -> Note:
    """A node may be stopped until then, or the promise is taken back."""
    before = {each.node: {"until_wall_ms": each.until_wall_ms} for each in made}.get(node)
    after = None if until_ms is None else {"until_wall_ms": until_ms}
    return Note(What.PROMISE, node, principal, reason, before, after)
