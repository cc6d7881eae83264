"""How `leadplane top` is drawn: one line on how the fleet is, the rows that fit, and the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.cli.output import Row, table
from controlplane.cli.rollout_views import draw_rollout
from controlplane.cli.shards import draw_shard
from controlplane.cli.status import verdict
from controlplane.cli.top_screen import COLUMNS, VIEWS, Look, Screen

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

FRAME_LINES = 6
"""What is drawn beside the rows: verdict, views, a blank, the head of the table, a blank, keys."""
KEYS = "1-5 view  up/down  enter more  esc back  / filter  s sort  r reverse  q quit"
NOTHING_HERE = {
    "elections": "Nothing has changed hands since this was opened.",
    "rollouts": "There is no rollout, or nobody tells of them now.",
}


def draw_screen(screen: Screen, lines: int) -> RenderableType:
    """The whole screen, in as many lines."""
    from rich.console import Group
    from rich.text import Text

    if screen.look is None:
        return Text(screen.problem or "Asking the fleet ...")
    found = verdict(screen.look.status)
    head = Text(found.sentence, style=f"bold {found.colour}", no_wrap=True, overflow="ellipsis")
    if screen.problem:
        head = Text(
            f"Last seen: {found.sentence} ({screen.problem})", style="bold red", no_wrap=True
        )
    body: RenderableType
    if screen.opened is not None:
        body = _alone(screen.opened)
    else:
        body = _rows(screen, max(1, lines - FRAME_LINES))
    return Group(head, _views(screen), Text(), body, Text(), _keys(screen))


def _views(screen: Screen) -> Text:
    """Which views there are, and how this one is filtered and sorted."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    for number, view in enumerate(VIEWS, 1):
        here = view == screen.place.view
        line.append(f"[{number} {view}]" if here else f" {number} {view} ", "bold" if here else "")
    found = len(screen.rows())
    line.append(f"  {found} {'row' if found == 1 else 'rows'}")
    if screen.place.filter or screen.typing:
        line.append(f", filter: {screen.place.filter}{'_' if screen.typing else ''}")
    if screen.place.sort is not None and screen.columns:
        column = screen.columns[screen.place.sort % len(screen.columns)]
        line.append(f", by {column.title.lower()}{', falling' if screen.place.falling else ''}")
    return line


def _rows(screen: Screen, room: int) -> RenderableType:
    """The rows around the one that is marked, as many as fit."""
    from rich.text import Text

    rows = screen.rows()
    if not rows:
        return Text(NOTHING_HERE.get(screen.place.view, "Nothing is like that."))
    marked = min(screen.place.marked, len(rows) - 1)
    first = max(0, min(marked - room // 2, len(rows) - room))
    drawn = table(screen.columns, rows[first : first + room], wide=False)
    for column in drawn.columns:  # one line for each row, however narrow it is
        column.no_wrap, column.overflow = True, "ellipsis"
    drawn.rows[marked - first].style = "reverse"
    return drawn


def _alone(row: Row) -> RenderableType:
    """One shard or one rollout, with all that is known of it."""
    from rich.text import Text

    if "slots" in row or "first_slot" in row:
        return draw_shard(row, False)
    if "phase" in row:
        return draw_rollout(row, False)
    return Text("\n".join(f"{name:8} {value}" for name, value in row.items()))


def _keys(screen: Screen) -> Text:
    from rich.text import Text

    typed = "type what values begin with, or column=value  enter keep  esc drop"
    return Text(typed if screen.typing else KEYS, "dim", no_wrap=True, overflow="ellipsis")


def draw_once(look: Look) -> RenderableType:
    """All views but that of elections, one below the other: where there is no terminal."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(verdict(look.status).sentence)]
    for view, rows in (
        ("regions", look.status["regions"]),
        ("nodes", look.status["nodes"]),
        ("shards", look.shards),
        ("rollouts", look.rollouts or ()),
    ):
        if rows:
            parts += [Text(), table(COLUMNS[view], rows, wide=False)]
    return Group(*parts)
