"""A run as a picture: what succeeded each quarter of a second, who led what, and faults.
Plain SVG without scripts or fonts of its own; it is read by any browser, on paper, and by a person
who does not know the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from textwrap import wrap

from controlplane.chaos.failovers import Reign, reigns_of
from controlplane.chaos.runner import Run
from controlplane.chaos.verdicts import answered
from controlplane.requests import Write

WIDTH, LEFT, RIGHT = 1_080, 150, 20
PLOT = WIDTH - LEFT - RIGHT
BIN_MS = 250
LOAD_HEIGHT, ROW, GAP = 150, 20, 16
TITLE_HEIGHT = 60
CAPTION_CHARACTERS = 150
COLOURS = ("#3b6fb6", "#d9822b", "#4f9d69", "#8e5ea2", "#b5483f", "#5f7a8a", "#b09c2c", "#2b9aa0")
WRITES, READS, TROUBLE = "#3b6fb6", "#a9c4e6", "#c0392b"
TICKS_MAX = 12
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


class _Drawing:
    """Elements of a picture whose x axis is time."""

    def __init__(self, until_ms: int) -> None:
        self.until_ms = (until_ms // BIN_MS + 1) * BIN_MS
        self._parts: list[str] = []

    def x(self, at_ms: float) -> float:
        """Where a moment is."""
        return LEFT + PLOT * min(max(at_ms, 0), self.until_ms) / self.until_ms

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0
    ) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" '
            f'fill="{fill}" fill-opacity="{opacity:g}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = "#dddddd") -> None:
        """A thin line."""
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'
        )

    def text(
        self, x: float, y: float, said: str, anchor: str = "start", size: int = 11, fill: str = ""
    ) -> None:
        """A line of text."""
        colour = f' fill="{fill}"' if fill else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{colour}>'
            f"{escape(said)}</text>"
        )

    def document(self, height: float) -> str:
        """The whole picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" fill="#222222">'
        )
        back = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
        return "\n".join([head, back, *self._parts, "</svg>", ""])


def draw(run: Run) -> str:
    """The timeline of a run."""
    seen = run.seen
    ends = [o.ended_ms or 0 for o in seen.history] + [s.ended_ms or 0 for s in seen.struck]
    drawing = _Drawing(max([seen.load_ended_ms, *ends]))
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
    _axis(drawing, below + 4)
    return drawing.document(below + 40)


def _load(drawing: _Drawing, run: Run, top: float) -> float:
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


def _leaders(drawing: _Drawing, run: Run, top: float) -> float:
    """A row for each shard: who acknowledged its writes, epoch by epoch."""
    reigns = reigns_of(run.seen.history)
    names = {n for epochs in run.leaders.values() for n in epochs.values()}
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(sorted(names))}
    y = top
    for shard in sorted(reigns):
        drawing.text(LEFT - 8, y + 13, shard, "end")
        for reign in reigns[shard]:
            _reign(drawing, reign, run.leaders.get(shard, {}), colours, y)
        y += ROW
    x = float(LEFT)
    for name, colour in colours.items():
        drawing.rect(x, y + 4, 10, 10, colour)
        drawing.text(x + 14, y + 13, name)
        x += 30 + 6.5 * len(name)
    drawing.text(LEFT - 8, y + 13, "led by", "end", fill="#555555")
    return y + ROW


def _reign(
    drawing: _Drawing,
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


def _faults(drawing: _Drawing, run: Run, top: float) -> float:
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


def _shade(drawing: _Drawing, run: Run, top: float, bottom: float) -> None:
    """A light veil over everything while a fault lasts."""
    for struck in run.seen.struck:
        x, end = drawing.x(struck.began_ms), drawing.x(struck.ended_ms or struck.began_ms)
        drawing.rect(x, top, max(end - x, 1.5), bottom - top, TROUBLE, 0.07)


def _axis(drawing: _Drawing, y: float) -> None:
    seconds = drawing.until_ms / 1_000
    step = next((s for s in TICK_STEPS_S if seconds / s <= TICKS_MAX), TICK_STEPS_S[-1])
    drawing.line(LEFT, y, WIDTH - RIGHT, y, "#888888")
    for at in range(0, int(seconds) + 1, step):
        x = drawing.x(at * 1_000)
        drawing.line(x, y, x, y + 5, "#888888")
        drawing.text(x, y + 18, f"{at} s", "middle")


def _short(targets: Iterable[str]) -> str:
    names = list(targets)
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"
