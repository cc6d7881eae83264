"""What a person at `leadplane top` looks at: which view, filtered and sorted how, what is marked.

Pure: looks and keys go in, rows come out. A look is what the fleet answered at one moment; what
changed hands between two looks is kept as the list of elections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controlplane.cli.output import Column, Row, text_of
from controlplane.cli.rollout_views import ROLLOUTS
from controlplane.cli.shards import SHARDS
from controlplane.cli.status import NODES, REGIONS

ELECTIONS_KEPT: Final = 500
VIEWS: Final = ("regions", "nodes", "shards", "elections", "rollouts")
ENTER, ESCAPE, BACKSPACE, UP, DOWN, PAGE_UP, PAGE_DOWN, TAB = (
    "enter", "escape", "backspace", "up", "down", "page-up", "page-down", "tab",
)  # fmt: skip
PAGE: Final = 10

ELECTIONS = (
    Column("WHEN", lambda e: e["when"]),
    Column("SHARD", lambda e: e["shard"]),
    Column("EPOCH", lambda e: e["epoch"], right=True),
    Column("FROM", lambda e: e["before"]),
    Column("TO", lambda e: e["after"], lambda e: "red" if e["after"] is None else ""),
    Column("GROUP", lambda e: e["group"]),
)
COLUMNS: Final[Mapping[str, Sequence[Column]]] = {
    "regions": REGIONS,
    "nodes": NODES,
    "shards": SHARDS,
    "elections": ELECTIONS,
    "rollouts": ROLLOUTS,
}
FURTHER: Final[Mapping[str, tuple[str, Callable[[Row], str]]]] = {
    "regions": ("nodes", lambda row: f"region={row['region']}"),
    "nodes": ("shards", lambda row: f"leader={row['node']}"),
}
"""Where Enter leads from a row, and what is looked for there."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the fleet answered; `rollouts` None: nobody tells of them just now."""

    status: Row
    shards: Sequence[Row]
    rollouts: Sequence[Row] | None


@dataclass(slots=True)
class _Place:
    """One view as it was left."""

    view: str
    filter: str = ""
    marked: int = 0
    sort: int | None = None
    falling: bool = False


@dataclass(slots=True)
class Screen:
    """The state. `typing`: what is typed is the filter. `opened`: a shard, or a rollout, alone."""

    look: Look | None = None
    problem: str = ""
    place: _Place = field(default_factory=lambda: _Place("regions"))
    typing: bool = False
    opened: Row | None = None
    is_over: bool = False
    elections: deque[Row] = field(default_factory=lambda: deque(maxlen=ELECTIONS_KEPT))
    _back: list[_Place] = field(default_factory=list)

    # -- looks

    def saw(self, look: Look, when: str) -> None:
        """Take a look; note who leads what since the one before."""
        before = {} if self.look is None else {s["shard"]: s for s in self.look.shards}
        for shard in look.shards:
            was = before.get(shard["shard"])
            if was is not None and _led_by(was) != _led_by(shard):
                self.elections.appendleft({
                    "when": when, "shard": shard["shard"], "group": shard["group"],
                    "epoch": shard["epoch"], "before": _led_by(was)[0],
                    "after": _led_by(shard)[0],
                })  # fmt: skip
        self.look, self.problem = look, ""

    def failed(self, problem: str) -> None:
        """Nobody answered; what was seen last stays."""
        self.problem = problem

    # -- rows

    @property
    def columns(self) -> list[Column]:
        """Of the present view, as far as they are shown."""
        rows = self._all_rows()
        return [
            column
            for column in COLUMNS[self.place.view]
            if not column.wide
            and (not column.sparse or any(column.cell(row) not in (None, "") for row in rows))
        ]

    def rows(self) -> list[Row]:
        """Of the present view: those that match the filter, in the order that is wanted."""
        columns, words = self.columns, self.place.filter.lower().split()
        rows = [row for row in self._all_rows() if all(_fits(row, word, columns) for word in words)]
        if self.place.sort is not None and columns:
            column = columns[self.place.sort % len(columns)]
            rows.sort(key=lambda row: _sort_key(column.cell(row)), reverse=self.place.falling)
        return rows

    def _all_rows(self) -> Sequence[Row]:
        if self.look is None:
            return ()
        match self.place.view:
            case "shards":
                return self.look.shards
            case "elections":
                return list(self.elections)
            case "rollouts":
                return self.look.rollouts or ()
        found: Sequence[Row] = self.look.status[self.place.view]
        return found

    @property
    def marked(self) -> Row | None:
        """The row that keys are about."""
        rows = self.rows()
        return rows[min(self.place.marked, len(rows) - 1)] if rows else None

    # -- keys

    def press(self, key: str) -> None:
        """A key: a character, or the name of one."""
        if self.typing:
            self._type(key)
        elif self.opened is not None and key in (ESCAPE, BACKSPACE, ENTER):
            self.opened = None
        elif key == "q":
            self.is_over = True
        elif key in "12345":
            self._turn_to(VIEWS[int(key) - 1])
        elif key == TAB:
            self._turn_to(VIEWS[(VIEWS.index(self.place.view) + 1) % len(VIEWS)])
        elif key == "/":
            self.typing, self.opened = True, None
        elif self.opened is None:
            self._within_list(key)

    def _type(self, key: str) -> None:
        place = self.place
        if key in (ENTER, ESCAPE):
            self.typing = False
            place.filter = "" if key == ESCAPE else place.filter
        elif key == BACKSPACE:
            place.filter = place.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            place.filter += key
        place.marked = 0

    def _turn_to(self, view: str) -> None:
        self.opened = None
        self._back.clear()
        self.place = _Place(view)

    def _within_list(self, key: str) -> None:
        place, last = self.place, max(0, len(self.rows()) - 1)
        steps = {UP: -1, "k": -1, DOWN: 1, "j": 1, PAGE_UP: -PAGE, PAGE_DOWN: PAGE}
        if key in steps:
            place.marked = min(max(min(place.marked, last) + steps[key], 0), last)
        elif key == "s":
            count = max(1, len(self.columns))
            place.sort = 0 if place.sort is None else (place.sort + 1) % count
        elif key == "r":
            place.falling = not place.falling
        elif key == ENTER:
            self._drill()
        elif key in (ESCAPE, BACKSPACE):
            self._go_back()

    def _drill(self) -> None:
        row = self.marked
        if row is None:
            return
        if self.place.view not in FURTHER:
            self.opened = row
            return
        view, wanted = FURTHER[self.place.view]
        self._back.append(self.place)
        self.place = _Place(view, wanted(row))

    def _go_back(self) -> None:
        if self._back:
            self.place = self._back.pop()
        else:
            self.place.filter = ""


def _fits(row: Row, word: str, columns: Sequence[Column]) -> bool:
    """Whether a word is said of a row: `column=value`, or what a value, or a part of one, begins
    with. Parts are set off by what is no letter and no digit."""
    name, equals, value = word.partition("=")
    texts = {c.title.lower().replace(" ", "-"): text_of(c.cell(row)).lower() for c in columns}
    if equals:
        return name in texts and (not value or texts[name] == value)
    return any(_has_part(text, word) for text in texts.values())


def _has_part(text: str, word: str) -> bool:
    at = text.find(word)
    while at > 0 and word[0].isalnum() and text[at - 1].isalnum():
        at = text.find(word, at + 1)
    return at >= 0


def _led_by(shard: Row) -> tuple[str | None, int]:
    leader = shard["leader"]
    return (leader["node"], leader["epoch"]) if leader else (None, 0)


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before texts; nothing comes last."""
    if value is None or value == "":
        return 2, 0.0, ""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, text_of(value)
