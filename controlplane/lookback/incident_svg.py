"""An incident as a picture: who led which shard when, gaps in red, and events as marks."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.lookback.incident import Incident
from controlplane.lookback.markdown import clock, moment, span
from controlplane.lookback.story import Happened
from controlplane.lookback.tenures import Gap, Reign
from controlplane.time_picture import (
    CHARACTER,
    LEFT,
    PLOT,
    ROW,
    TROUBLE,
    WIDTH,
    TimePicture,
    colours_of,
)

ROWS_MAX = 40
TITLE_HEIGHT = 46
NAME_MAX = 22
DAY_MS = 86_400_000
QUIET, PEOPLE = "#5f7a8a", "#222222"
MARK = 3.0


def draw(found: Incident) -> str:
    """The picture: a row for each shard that changed its leader, those without one for long
    first; below them events, changes by people, and the time in UTC."""
    window = found.window
    picture = TimePicture(max(1, window.lasts_ms))
    head = f"{moment(window.from_ms)} to {moment(window.to_ms)} UTC"
    picture.text(LEFT, 20, f"Leaders, {head}", size=15)
    picture.text(LEFT, 37, _told(found), fill="#555555")
    shards = _order(found)
    shown = shards[:ROWS_MAX]
    nodes = {reign.tenure.node for shard in shown for reign in found.reigns[shard]}
    colours = colours_of(nodes)
    y = float(TITLE_HEIGHT)
    for shard in shown:
        picture.text(LEFT - 8, y + 13, _short(shard), "end")
        for reign in found.reigns[shard]:
            _reign(picture, found, reign, colours[reign.tenure.node], y)
        for gap in found.gaps:
            if gap.shard == shard:
                _gap(picture, found, gap, y)
        y += ROW
    if len(shards) > len(shown):
        picture.text(LEFT, y + 13, f"and {len(shards) - len(shown)} shards more", fill="#555555")
        y += ROW
    for title, lines, colour in (
        ("trouble", [line for line in found.story if line.trouble], TROUBLE),
        ("other events", [ln for ln in found.story if not ln.trouble and not ln.by], QUIET),
        ("by people", [line for line in found.story if line.by], PEOPLE),
    ):
        _marks(picture, found, title, lines, colour, y)
        y += ROW
    if nodes:
        y = picture.key(y, "led by", colours | {"nobody": TROUBLE})
    with_day = window.lasts_ms > DAY_MS
    picture.axis(y + 4, lambda at_s: clock(window.from_ms + 1_000 * at_s, with_day))
    return picture.document(y + 34)


def _told(found: Incident) -> str:
    if not found.reigns:
        return "No shard changed its leader."
    worst = max(found.gaps, key=lambda gap: gap.lasts_ms, default=None)
    text = f"{len(found.reigns)} shards changed their leader, {found.steady} did not"
    if worst is None:
        return f"{text}; none is known to have been without one"
    return f"{text}; longest without one: {worst.shard}, {span(worst.lasts_ms)}"


def _order(found: Incident) -> list[str]:
    unled = dict.fromkeys(found.reigns, 0)
    for gap in found.gaps:
        unled[gap.shard] += found.window.shared_ms(gap.from_ms, gap.to_ms)
    return sorted(unled, key=lambda shard: (-unled[shard], shard))


def _reign(picture: TimePicture, found: Incident, reign: Reign, colour: str, y: float) -> None:
    start_ms = found.window.from_ms
    to_ms = found.window.to_ms if reign.to_ms is None else reign.to_ms
    tenure = reign.tenure
    x, end = picture.x(tenure.wall_ms - start_ms), picture.x(to_ms - start_ms)
    told = f"{tenure.shard}: {tenure.node}, epoch {tenure.epoch}, from {moment(tenure.wall_ms)}"
    picture.rect(x, y + 2, end - x, ROW - 5, colour, told=told)
    if end - x > CHARACTER * len(tenure.node) + 8:
        picture.text(x + 4, y + 13, tenure.node, fill="#ffffff")


def _gap(picture: TimePicture, found: Incident, gap: Gap, y: float) -> None:
    start_ms = found.window.from_ms
    x, end = picture.x(gap.from_ms - start_ms), picture.x(gap.to_ms - start_ms)
    told = f"{gap.shard}: nobody for {span(gap.lasts_ms)}, from {moment(gap.from_ms)}"
    picture.rect(x, y + 2, max(end - x, 2), ROW - 5, TROUBLE, told=told)


def _marks(
    picture: TimePicture,
    found: Incident,
    title: str,
    lines: Sequence[Happened],
    colour: str,
    y: float,
) -> None:
    picture.text(LEFT - 8, y + 13, title, "end", fill=colour)
    picture.line(LEFT, y + 10, LEFT + PLOT, y + 10)
    for line in lines:
        x = picture.x(line.wall_ms - found.window.from_ms)
        x = min(x - MARK / 2, WIDTH - MARK)
        told = f"{moment(line.wall_ms)} {line.what} {line.about} {line.detail}"
        picture.rect(x, y + 4, MARK, ROW - 8, colour, 0.8, told)


def _short(name: str) -> str:
    return name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "…"
