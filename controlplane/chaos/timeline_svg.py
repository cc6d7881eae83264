"""A run as a picture: what succeeded each quarter of a second, who led what, and faults.
Plain SVG without scripts or fonts of its own; it is read by any browser, on paper, and by a person
who does not know the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from textwrap import wrap

from controlplane.chaos.failovers import Reign, reigns_of
from controlplane.chaos.runner import Run
from controlplane.chaos.verdicts import answered
from controlplane.requests import Write
from controlplane.time_picture import (
    LEFT,
    PLOT,
    RIGHT,
    ROW,
    TROUBLE,
    WIDTH,
    TimePicture,
    colours_of,
)

BIN_MS = 250
LOAD_HEIGHT, GAP = 150, 16
TITLE_HEIGHT = 60
CAPTION_CHARACTERS = 150
WRITES, READS = "#3b6fb6", "#a9c4e6"


def draw(run: Run) -> str:
    """The timeline of a run."""
    seen = run.seen
    ends = [o.ended_ms or 0 for o in seen.history] + [s.ended_ms or 0 for s in seen.struck]
    drawing = TimePicture((max([seen.load_ended_ms, *ends]) // BIN_MS + 1) * BIN_MS)
    verdict = "every verdict holds" if run.holds else "NOT as promised"
    drawing.text(LEFT, 20, f"{run.scenario.name}: {verdict}", size=15)
    for number, line in enumerate(wrap(run.scenario.shows, CAPTION_CHARACTERS)[:2]):
        drawing.text(LEFT, 37 + 14 * number, line, fill="#555555")
    shards = len(reigns_of(run.seen.history))
    rows = shards + 1 + len(run.seen.struck)
    _shade(drawing, run, TITLE_HEIGHT, TITLE_HEIGHT + LOAD_HEIGHT + 16 + 2 * GAP + rows * ROW)
    below = _load(drawing, run, TITLE_HEIGHT)
    below = _leaders(drawing, run, below + GAP)
    below = _faults(drawing, run, below + GAP)
    drawing.axis(below + 4, lambda at_s: f"{at_s} s")
    return drawing.document(below + 40)


def _load(drawing: TimePicture, run: Run, top: float) -> float:
    """Bars of what succeeded, reads upon writes; ticks below them where something did not."""
    writes: Counter[int] = Counter()
    reads: Counter[int] = Counter()
    trouble: Counter[int] = Counter()
    for operation in run.seen.history:
        at = (operation.ended_ms or operation.started_ms) // BIN_MS
        if not answered(operation):
            trouble[at] += 1
        elif isinstance(operation.request, Write):
            writes[at] += 1
        else:
            reads[at] += 1
    most = max((writes[at] + reads[at] for at in writes.keys() | reads.keys()), default=1)
    floor = top + LOAD_HEIGHT
    width = PLOT * BIN_MS / drawing.until_ms
    for at in sorted(writes.keys() | reads.keys()):
        x = drawing.x(at * BIN_MS)
        low, high = (LOAD_HEIGHT - 20) * writes[at] / most, (LOAD_HEIGHT - 20) * reads[at] / most
        drawing.rect(x, floor - low, width - 0.5, low, WRITES)
        drawing.rect(x, floor - low - high, width - 0.5, high, READS)
    most_trouble = max(trouble.values(), default=1)
    for at, count in sorted(trouble.items()):
        height = 4 + 10 * count / most_trouble
        drawing.rect(drawing.x(at * BIN_MS), floor + 2, width - 0.5, height, TROUBLE)
    peak = most * 1_000 // BIN_MS
    drawing.line(LEFT, floor, WIDTH - RIGHT, floor, "#888888")
    drawing.text(LEFT - 8, top + 26, f"{peak:,} a second", "end")
    drawing.text(LEFT - 8, top + 42, "reads", "end", fill="#6d93c4")
    drawing.text(LEFT - 8, top + 58, "writes", "end", fill=WRITES)
    drawing.text(LEFT - 8, floor + 13, "refused, no answer", "end", fill=TROUBLE)
    return floor + 16


def _leaders(drawing: TimePicture, run: Run, top: float) -> float:
    """A row for each shard: who acknowledged its writes, epoch by epoch."""
    reigns = reigns_of(run.seen.history)
    names = {n for epochs in run.leaders.values() for n in epochs.values()}
    colours = colours_of(names)
    y = top
    for shard in sorted(reigns):
        drawing.text(LEFT - 8, y + 13, shard, "end")
        for reign in reigns[shard]:
            _reign(drawing, reign, run.leaders.get(shard, {}), colours, y)
        y += ROW
    return drawing.key(y, "led by", colours)


def _reign(
    drawing: TimePicture,
    reign: Reign,
    leaders: Mapping[int, str],
    colours: Mapping[str, str],
    y: float,
) -> None:
    colour = colours.get(leaders.get(reign.epoch, ""), "#999999")
    x, end = drawing.x(reign.first_ms), drawing.x(reign.last_ms)
    drawing.rect(x, y + 2, end - x, ROW - 5, colour)
    if end - x > 14:
        drawing.text(x + 4, y + 13, str(reign.epoch), fill="#ffffff")


def _faults(drawing: TimePicture, run: Run, top: float) -> float:
    y = top
    drawing.text(LEFT - 8, y + 13, "faults", "end")
    for struck in sorted(run.seen.struck, key=lambda s: s.began_ms):
        x, end = drawing.x(struck.began_ms), drawing.x(struck.ended_ms or struck.began_ms)
        drawing.rect(x, y + 2, max(end - x, 3), ROW - 5, TROUBLE, 0.75)
        said = f"{struck.kind} {_short(struck.targets)}"
        room_right = WIDTH - RIGHT - end > 6.2 * len(said)
        if room_right:
            drawing.text(max(end, x + 3) + 5, y + 13, said)
        else:
            drawing.text(x - 5, y + 13, said, "end")
        y += ROW
    return y


def _shade(drawing: TimePicture, run: Run, top: float, bottom: float) -> None:
    """A light veil over everything while a fault lasts."""
    for struck in run.seen.struck:
        x, end = drawing.x(struck.began_ms), drawing.x(struck.ended_ms or struck.began_ms)
        drawing.rect(x, top, max(end - x, 1.5), bottom - top, TROUBLE, 0.07)


def _short(targets: Iterable[str]) -> str:
    names = list(targets)
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"
