"""What nodes run: always what their region was to run at one position of the log, never less far.

* Whatever a node has in force is what the targets of its region say, at the position up to which it
  has read; and it only reads on.
* What its region's store knew to be decided a while ago, a node has read before it takes things up.
* What was ordered and taken back before its region's store came to know of it is never in force:
  a node reads at least as far as the store was told to be decided when it was given the order.
  While its region's store does not know as much, it has read at another one: then that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from config.effect import EVERYWHERE, Target, read_target, target_key
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.replay import Replay
from controlplane.simulator.checkers.rollouts import NOTHING, Content

PROMPT_MS = 1_100
"""Nodes take up nothing that answers an older question, by clocks that may be off."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A process has another version of a document in force than before, having read so far."""

    process: str
    region: str
    document: str
    content: Content
    position: int
    at_ms: int


def target_at(replay: Replay, document: str, region: str, position: int) -> tuple[Target, int]:
    """What a region was to run at a position of the log, and where that was ordered."""
    for place in (region, EVERYWHERE):
        key = target_key(document, place)
        value = replay.value(key, position)
        if value is not None:
            return read_target(value.data), value.version
    return Target(*NOTHING, 0, 0, 0), 0


def check_applied(
    applied: list[Applied],
    replay: Replay,
    told: Callable[[str, int], int],
    known: Callable[[str, int], int],
    regions: Collection[str],
    findings: Findings,
) -> None:
    """`told` says up to where a region's store was told that entries are decided when it was
    first known there that the one of a position is; `known`, up to where it knew so at a time."""
    reached: dict[str, int] = {}
    for each in applied:
        target, ordered_at = target_at(replay, each.document, each.region, each.position)
        name = f"{each.process} has {each.document} {each.content} at {each.position}"
        if each.content != (target.version, target.digest):
            findings.add("nodes run what was decided", each.at_ms, f"{name}, not {target}")
        if each.position < reached.get(each.process, 0):
            detail = f"{name}, after {reached[each.process]}"
            findings.add("nodes only read on", each.at_ms, detail)
        reached[each.process] = each.position
        late = known(each.region, each.at_ms - PROMPT_MS)
        if each.position < late:
            detail = f"{name}, when {late} was known long ago"
            findings.add("who was away reads on first", each.at_ms, detail)
        knew = [region for region in regions if known(region, each.at_ms) >= each.position]
        asked = [each.region] if each.region in knew else knew or [each.region]
        decided = min(told(region, ordered_at) for region in asked)
        if each.position < decided:
            detail = f"{name}, of {ordered_at}, while {decided} was decided"
            findings.add("what was taken back is not run", each.at_ms, detail)
