"""What happened in a window, in the order of time: events and audit records as one list.

Many events of one kind at a moment, such as elections after a node was lost, are one line.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from config.audit import What
from controlplane.lookback.markdown import span
from controlplane.lookback.remembered import Remembered, named
from controlplane.lookback.tenures import FAILOVER, Row, Tenure, Window, person
from controlplane.node.event_records import ELECTED

TOLD_ELSEWHERE: Final = frozenset(
    {What.LEADERSHIP.value, What.CHECKPOINT.value, What.TRIMMED.value}
)
"""Records that say what events say, or that are of the log itself."""
OF_SHARDS: Final = frozenset(
    {What.MOVE.value, What.TRANSFER.value, What.EVICTION.value, What.FOLLOWER.value}
)
"""Records whose subject is a shard."""
TOGETHER_MS: Final = 1_000
TOGETHER_MIN: Final = 4
"""So many that happened within a second of each other are told as one."""
DETAIL_MAX: Final = 200
LEFT_OUT: Final = frozenset({"row", "group"})
NO_LEADER: Final = frozenset(
    {"lease-expired", "fenced", "evicted", "resigned", "stuck", "group-lost", "store-forgot"}
)


@dataclass(frozen=True, slots=True)
class Happened:
    """One line: when, what, of what, where, and what else is to be said.

    `by` is the person who did it, "" of what happened by itself. `trouble`: a leadership was lost
    by it, or more.
    """

    wall_ms: int
    what: str
    about: str
    where: str
    detail: str
    by: str = ""
    trouble: bool = False


def story(
    told: Remembered,
    tenures: Iterable[Tenure],
    window: Window,
    shards: Collection[str] = (),
) -> list[Happened]:
    """Everything of a window; with `shards`, only what concerns them."""
    groups = {row["group"] for row in told.shards if row["shard"] in shards}
    found = list(_elections(t for t in tenures if not shards or t.shard in shards))
    found += [
        _of_event(event) for event in told.events
        if event["kind"] != ELECTED and _concerns(event, shards, groups)
    ]  # fmt: skip
    found += [
        _of_record(record) for record in told.audit
        if record["kind"] not in TOLD_ELSEWHERE
        and (not shards or record["kind"] not in OF_SHARDS or record["subject"] in shards)
    ]  # fmt: skip
    within = [each for each in found if window.has(each.wall_ms)]
    return together(sorted(within, key=lambda each: (each.wall_ms, each.what, each.about)))


def _concerns(event: Row, shards: Collection[str], groups: Collection[str]) -> bool:
    if not shards:
        return True
    return event["shard"] in shards or (not event["shard"] and event["group"] in {"", *groups})


def _elections(tenures: Iterable[Tenure]) -> Iterator[Happened]:
    for tenure in tenures:
        said = [f"epoch {tenure.epoch}", tenure.cause]
        if tenure.before:
            said.append(f"after {tenure.before}, {tenure.ended}")
        if tenure.unled_ms is not None:
            said.append(f"nobody led for {span(tenure.unled_ms)}")
        if tenure.reason:
            said.append(f"because: {tenure.reason}")
        yield Happened(
            tenure.wall_ms, ELECTED, tenure.shard, tenure.node, "; ".join(filter(None, said)),
            person(tenure.principal), tenure.cause == FAILOVER,
        )  # fmt: skip


def _of_event(event: Row) -> Happened:
    detail = {n: v for n, v in event["detail"].items() if n not in LEFT_OUT}
    return Happened(
        event["wall_ms"], event["kind"], event["shard"] or event["group"], event["node"],
        _said(detail), trouble=event["kind"] in NO_LEADER,
    )  # fmt: skip


def _of_record(record: Row) -> Happened:
    parts = [record["reason"]] if record["reason"] else []
    for name in ("before", "after"):
        value = record[name]
        if value is not None:
            parts.append(f"{name}: {_said(value) if isinstance(value, dict) else value}")
    return Happened(
        record["wall_ms"], record["kind"], record["subject"], record["node"],
        _cut("; ".join(parts)), person(record["principal"]),
    )  # fmt: skip


def _said(detail: Mapping[str, Any]) -> str:
    return _cut(", ".join(f"{name} {_value(name, value)}" for name, value in detail.items()))


def _value(name: str, value: Any) -> str:
    if name.endswith("_ms") and isinstance(value, int) and not name.endswith("wall_ms"):
        return span(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_MAX else text[: DETAIL_MAX - 1] + "…"


def together(lines: Iterable[Happened]) -> list[Happened]:
    """The same, with one line for many of one kind at one place that happened at about one time."""
    bundles: list[list[Happened]] = []
    open_ones: dict[tuple[str, str, str, bool], list[Happened]] = {}
    for line in lines:
        key = (line.what, line.where, line.by, line.trouble)
        bundle = open_ones.get(key)
        if bundle is None or line.wall_ms - bundle[0].wall_ms > TOGETHER_MS:
            bundle = open_ones[key] = []
            bundles.append(bundle)
        bundle.append(line)
    found = []
    for bundle in bundles:
        found += [_as_one(bundle)] if len(bundle) >= TOGETHER_MIN else bundle
    return sorted(found, key=lambda each: each.wall_ms)


def _as_one(bundle: list[Happened]) -> Happened:
    first, last = bundle[0], bundle[-1]
    names = list(dict.fromkeys(each.about for each in bundle))
    lasted = span(last.wall_ms - first.wall_ms)
    return replace(
        first,
        about=f"{len(bundle)} times",
        detail=f"within {lasted}: {named(names)}; the first: {first.detail}",
    )
