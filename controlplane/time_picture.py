"""Pictures whose x axis is time, in plain SVG without scripts or fonts of their own.

Read by any browser, on paper, and by a person who does not know what is shown. What a colour says
is said in words as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape

WIDTH, LEFT, RIGHT = 1_080, 150, 20
PLOT = WIDTH - LEFT - RIGHT
ROW = 20
COLOURS = ("#3b6fb6", "#d9822b", "#4f9d69", "#8e5ea2", "#b5483f", "#5f7a8a", "#b09c2c", "#2b9aa0")
TROUBLE = "#c0392b"
TICKS_MAX = 12
TICK_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200,
    86_400, 172_800, 604_800,
)  # fmt: skip
CHARACTER = 6.5
"""How wide one is, about."""


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, always the same ones for the same names."""
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(sorted(set(names)))}


class TimePicture:
    """Elements of a picture that shows `until_ms` milliseconds."""

    def __init__(self, until_ms: int) -> None:
        self.until_ms = until_ms
        self._parts: list[str] = []

    def x(self, at_ms: float) -> float:
        """Where a moment is."""
        return LEFT + PLOT * min(max(at_ms, 0), self.until_ms) / self.until_ms

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        opacity: float = 1.0,
        told: str = "",
    ) -> None:
        """A filled rectangle; `told` is shown to who points at it."""
        end = f"><title>{escape(told)}</title></rect>" if told else "/>"
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" '
            f'fill="{fill}" fill-opacity="{opacity:g}"{end}'
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

    def key(self, y: float, title: str, colours: Mapping[str, str]) -> float:
        """What the colours stand for, in as many lines as it takes; returns where it ends."""
        self.text(LEFT - 8, y + 13, title, "end", fill="#555555")
        x = float(LEFT)
        for name, colour in colours.items():
            wide = 30 + CHARACTER * len(name)
            if x > LEFT and x + wide > WIDTH - RIGHT:
                x, y = float(LEFT), y + ROW
            self.rect(x, y + 4, 10, 10, colour)
            self.text(x + 14, y + 13, name)
            x += wide
        return y + ROW

    def axis(self, y: float, label: Callable[[int], str]) -> None:
        """The axis, with a label every so many seconds."""
        seconds = self.until_ms / 1_000
        step = next((s for s in TICK_STEPS_S if seconds / s <= TICKS_MAX), TICK_STEPS_S[-1])
        self.line(LEFT, y, WIDTH - RIGHT, y, "#888888")
        for at_s in range(0, int(seconds) + 1, step):
            x = self.x(at_s * 1_000)
            self.line(x, y, x, y + 5, "#888888")
            self.text(x, y + 18, label(at_s), "middle")

    def document(self, height: float) -> str:
        """The whole picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" fill="#222222">'
        )
        back = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
        return "\n".join([head, back, *self._parts, "</svg>", ""])
