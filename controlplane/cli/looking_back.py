"""Asking a fleet for all that it keeps of its past; what the documents about it have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess
from controlplane.cli.durations import ago_or_moment_ms

if TYPE_CHECKING:
    from controlplane.lookback.remembered import Remembered

PAGE = 1_000
AUDIT_PAGE = 500
AUDIT = "audit records"
HISTORIES_MAX = 1_000
"""The histories of so many shards are asked for, one after the other."""
FAILURES_MAX = 20
HISTORY_TIMEOUT_S = 5.0
MOMENT = "DURATION|MOMENT"


def now_ms() -> int:
    """The wall clock of who asks."""
    return time.time_ns() // 1_000_000


def moment_of(text: str, option: str, at_ms: int) -> int:
    """A moment that has been. Raises UsageError naming the option."""
    found = ago_or_moment_ms(text, option, at_ms)
    assert found is not None, "there is a text"
    if found > at_ms:
        raise click.UsageError(f"{option}: {text!r} has not been yet")
    return found


class _Asking:
    """Asks for one list after the other, and notes what could not be had."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def rows(self, what: str, ask: Callable[[], list[Any]]) -> list[Any]:
        """What was answered; nothing, where nobody gave it."""
        try:
            return ask()
        except CommandFailed as failure:
            self.failed[what] = str(failure.message)
            return []


def gather(
    access: FleetAccess, from_ms: int, until_ms: int | None, shards: Collection[str] = ()
) -> Remembered:
    """Ask for everything from a moment on. Raises CommandFailed when no shard can be asked for.

    Whatever else cannot be had is named in what is returned. Of `shards`, if there are any, the
    own histories are asked for, else of all.
    """
    from controlplane.lookback.remembered import NEVER, Remembered

    asked_ms = now_ms()
    rows = access.items("/v1/shards", limit=PAGE)["items"]
    asking = _Asking()
    span = {"since": from_ms, "until": until_ms}
    pages = asking.rows("events", lambda: list(access.pages("/v1/events/kept", limit=PAGE, **span)))
    if any(page["staleness_ms"] is None for page in pages):
        asking.failed["the newest events"] = "nobody vouches for how new the copy is that was read"

    def listed(what: str, path: str, **query: Any) -> list[Any]:
        return asking.rows(what, lambda: access.items(path, **query)["items"])

    oldest = asking.rows(AUDIT, lambda: access.get("/v1/audit", limit=1)["items"])
    audit = listed(AUDIT, "/v1/audit", limit=AUDIT_PAGE, **span) if oldest else []
    names = [row["shard"] for row in rows if not shards or row["shard"] in shards]
    histories, not_asked = _histories(access, names, asking)
    return Remembered(
        asked_ms=asked_ms,
        shards=rows,
        events=[event for page in pages for event in page["items"]],
        events_since_ms=(pages[-1]["summarised_before"]["wall_ms"] or 0) if pages else NEVER,
        hours=listed("counts of older events", "/v1/events/summary", limit=PAGE),
        histories=histories,
        audit=audit,
        audit_since_ms=NEVER if AUDIT in asking.failed else _kept_since(oldest),
        rollouts=listed("rollouts", "/v1/rollouts", limit=PAGE),
        orders=listed("plans", "/v1/placement/history"),
        not_asked=not_asked,
        failed=asking.failed,
    )


def _kept_since(oldest: list[Any]) -> int:
    """Since when records are kept; 0 where none was ever trimmed."""
    return 0 if not oldest or oldest[0]["sequence"] == 1 else int(oldest[0]["wall_ms"])


def _histories(
    access: FleetAccess, names: list[str], asking: _Asking
) -> tuple[dict[str, list[Mapping[str, Any]]], list[str]]:
    """The own history of each shard, as far as they answer, and of whom nobody was asked."""
    from urllib.parse import quote

    door = access.at_once().within(HISTORY_TIMEOUT_S)
    found: dict[str, list[Mapping[str, Any]]] = {}
    silent: list[str] = []
    asked = names[:HISTORIES_MAX]
    for number, shard in enumerate(asked):
        try:
            path = f"/v1/shards/{quote(shard, safe='')}/history"
            found[shard] = door.items(path, limit=PAGE)["items"]
        except CommandFailed as failure:
            silent.append(shard)
            asking.failed[f"the own history of {shard}"] = str(failure.message)
            if len(silent) >= FAILURES_MAX:
                asked = asked[: number + 1]
                break
    return found, names[len(asked) :]


def check_new(file: Path, force: bool) -> None:
    """Refuse to replace what somebody may have written in. Raises CommandFailed."""
    if file.exists() and not force:
        raise CommandFailed(f"{file} is there already", hint="take another name, or --force")


def write(file: Path, text: str) -> None:
    """Write a file. Raises CommandFailed."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from error
