"""Whether the tenures of a shard follow each other, as they must.

Theory of operation. A tenure begins with an entry that opens its epoch, and the line of history in
that entry says which entry it goes on behind. So the tenures of one log cannot overlap: each one
goes on behind an entry of the epoch that was opened just before it. Where a line says otherwise,
two leaders wrote beside each other, or a line is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def overlaps(tenures: Sequence[Mapping[str, Any]]) -> list[str]:
    """What cannot be of tenures in the order of their epochs; nothing where all is well.

    The first one is not judged: what it goes on behind is not kept. Neither is the first one of a
    shard whose history is that of another up to there.
    """
    found: list[str] = []
    for before, after in pairwise(tenures):
        found += _between(before, after)
    return found


def _between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    epoch, last = after["epoch"], before["epoch"]
    if epoch <= last:
        return [f"epoch {epoch} comes behind epoch {last}"]
    found: list[str] = []
    succeeds = after.get("before_epoch")
    if isinstance(succeeds, int) and succeeds >= epoch:
        found.append(f"epoch {epoch} says it came after epoch {succeeds}")
    match before.get("previous"), after.get("previous"):
        case [opened, _, _], [sequence, goes_on, _] if before.get("shard") == after.get("shard"):
            if goes_on != last:
                found.append(
                    f"epoch {epoch} goes on behind an entry of epoch {goes_on}, not of {last}: "
                    "both led at once, or a tenure between them is missing"
                )
            elif sequence <= opened:
                found.append(
                    f"epoch {epoch} goes on behind entry {sequence}, before epoch {last} opened"
                )
    return found
