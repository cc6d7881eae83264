"""What the audit log keeps of rollouts: their beginning, every transition, and who approved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from config.audit import Note, What
from config.rollout import Rollout, Why
from config.strategy import StrategyName


@dataclass(frozen=True, slots=True)
class Ordered:
    """Who ordered a transition, and why; nobody where the global leader went on by itself."""

    principal: str
    reason: str = ""


ITSELF: Final = Ordered("system")


def beginning_notes(rollout: Rollout, replaced: Iterable[Rollout]) -> tuple[Note, ...]:
    """A rollout is begun; others may be over thereby."""
    is_emergency = rollout.strategy.name is StrategyName.EMERGENCY
    begun = Note(
        What.EMERGENCY if is_emergency else What.ROLLOUT,
        _subject(rollout), rollout.principal, rollout.reason,
        after=_state(rollout) | {"waves": [list(wave) for wave in rollout.waves]},
    )  # fmt: skip
    over = [
        Note(What.ROLLOUT, _subject(each), rollout.principal, each.why, after=_state(each))
        for each in replaced
    ]
    return (begun, *over)


def transition_notes(before: Rollout, after: Rollout, by: Ordered) -> tuple[Note, ...]:
    """One transition; that only time was written down is none."""
    was, now = _state(before), _state(after)
    if was == now:
        return ()
    approves = before.pause is not None and before.pause.why is Why.APPROVAL and by is not ITSELF
    what = What.APPROVAL if approves and after.pause is None else What.ROLLOUT
    changed = [name for name in now if was.get(name) != now[name]]
    return (
        Note(
            what, _subject(after), by.principal, by.reason or after.why,
            {name: was[name] for name in changed}, {name: now[name] for name in changed},
        ),
    )  # fmt: skip


def _subject(rollout: Rollout) -> str:
    return f"{rollout.id}/{rollout.document}"


def _state(rollout: Rollout) -> dict[str, Any]:
    """What people would ask of it."""
    return {
        "version": rollout.version,
        "phase": rollout.phase.value,
        "wave": rollout.wave + 1,
        "paused": None if rollout.pause is None else rollout.pause.why.value,
        "regions": {each.region: [each.reached.value, each.step] for each in rollout.regions},
    }
