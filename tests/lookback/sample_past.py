"""A past made by hand: three shards, a node that was lost, a flapping shard, a document changed."""

from __future__ import annotations

from typing import Any

from controlplane.lookback.remembered import Remembered
from controlplane.lookback.tenures import Window

DAY = 86_400_000
HOUR = 3_600_000
TO = 1_790_000_000_000
WEEK = 7 * DAY
LOST = TO - 2 * DAY
"""When the node n1 was lost."""
WINDOW = Window(LOST - 60_000, LOST + 60_000)


def line(shard: str, epoch: int, wall_ms: int, node: str, **more: Any) -> dict[str, Any]:
    """A line of history: unplanned unless it is said."""
    return {
        "shard": shard, "epoch": epoch, "node": node, "region": "eu", "group": "global",
        "before": "n1", "before_epoch": epoch - 1, "ended": "expired", "cause": "unplanned",
        "unled_ms": 4_000, "principal": "system", "reason": "", "wall_ms": wall_ms,
        "previous": [10 * epoch, epoch - 1, 0],
    } | more  # fmt: skip


def first(shard: str, wall_ms: int, node: str = "n1") -> dict[str, Any]:
    """The first line of a shard."""
    more = {"before": "", "ended": "vacant", "cause": "first", "unled_ms": None}
    return line(shard, 1, wall_ms, node, **more)


def event(number: int, kind: str, shard: str, wall_ms: int, **more: Any) -> dict[str, Any]:
    """An event that is kept."""
    return {
        "sequence": number, "kind": kind, "shard": shard, "group": "global", "epoch": 0,
        "node": "n2", "region": "eu", "wall_ms": wall_ms, "recorded_ms": wall_ms + 5,
        "process": "p", "number": number, "detail": {},
    } | more  # fmt: skip


def elected(number: int, of: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The event of a line of history."""
    whys = {"expired": "dead", "transferred": "handover", "vacant": "free"}
    detail = {
        "why": whys[of["ended"]], "cause": of["cause"], "before": of["before"], "took_ms": 31,
        "unled_ms": of["unled_ms"] and of["unled_ms"] + 5, "row": "ab" * 32,
    } | more  # fmt: skip
    found = event(number, "elected", of["shard"], of["wall_ms"], detail=detail)
    return found | {"epoch": of["epoch"], "node": of["node"]}


def record(number: int, kind: str, subject: str, wall_ms: int, **more: Any) -> dict[str, Any]:
    """An audit record."""
    return {
        "sequence": number, "previous": "", "wall_ms": wall_ms, "epoch": 3, "node": "n2",
        "kind": kind, "subject": subject, "principal": "operator", "reason": "", "before": None,
        "after": None, "digest": "d",
    } | more  # fmt: skip


def row(shard: str, state: str = "led") -> dict[str, Any]:
    """A shard as it is now."""
    return {"shard": shard, "group": "global", "state": state}


def rollout(number: int, phase: str, began_ms: int, ended_ms: int | None) -> dict[str, Any]:
    """A rollout."""
    return {
        "rollout": number, "document": "placement", "version": 4, "phase": phase, "why": "",
        "principal": "operator", "reason": "nights | are quiet", "began_wall_ms": began_ms,
        "ended_wall_ms": ended_ms,
    }  # fmt: skip


def past(**changed: Any) -> Remembered:
    """s1 and s2 lost n1, s2 for longer; s3 was handed over. A month old."""
    s1 = line("s1", 2, LOST + 4_000, "n2")
    s2 = line("s2", 2, LOST + 9_000, "n3", unled_ms=9_000)
    s3 = line(
        "s3", 2, LOST + 30_000, "n2", before="n3", ended="transferred", cause="planned",
        unled_ms=12, principal="operator", reason="nearer",
    )  # fmt: skip
    old = TO - 30 * DAY
    found: dict[str, Any] = {
        "asked_ms": TO,
        "shards": [row("s1"), row("s2"), row("s3")],
        "events": [
            event(1, "lease-expired", "", LOST + 2_000, detail={"group": "global", "shards": 2}),
            elected(2, s1), elected(3, s2), elected(4, s3),
        ],
        "histories": {
            "s1": [first("s1", old), s1],
            "s2": [first("s2", old), s2],
            "s3": [first("s3", old, "n3"), s3],
        },
        "audit": [
            record(1, "leadership", "s1", LOST + 5_000, principal="system"),
            record(2, "document", "placement", LOST + 20_000, reason="a | b\n<c>"),
            record(3, "transfer", "s3", LOST + 29_000),
        ],
        "rollouts": [
            rollout(7, "succeeded", LOST - HOUR, LOST + HOUR),
            rollout(6, "rolled-back", LOST - WEEK - HOUR, LOST - WEEK),
        ],
        "orders": [{"wall_ms": LOST, "moved": 3, "done": 5, "skipped": []}],
    }  # fmt: skip
    return Remembered(**(found | changed))
