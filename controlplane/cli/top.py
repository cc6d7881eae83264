"""`leadplane top`: the fleet on a screen that follows it, looked through by keys."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, Problem, access_at
from controlplane.cli.output import console, print_document
from controlplane.cli.status import merged, whole_fleet
from controlplane.cli.top_screen import (
    BACKSPACE,
    DOWN,
    ENTER,
    ESCAPE,
    PAGE_DOWN,
    PAGE_UP,
    TAB,
    UP,
    Look,
    Screen,
)
from controlplane.cli.top_view import draw_once, draw_screen

EVERY_S = 1.0
LIST_LIMIT = 1_000
KEY_WAIT_S = 0.1
NAMES = {
    "\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN, "\x1b[5~": PAGE_UP,
    "\x1b[6~": PAGE_DOWN, "\x1b": ESCAPE, "\r": ENTER, "\n": ENTER, "\t": TAB,
    "\x7f": BACKSPACE, "\b": BACKSPACE, "\x03": "q", "\x04": "q",
}  # fmt: skip


def look_at(access: FleetAccess, at: str | None) -> Look:
    """Ask the fleet for all that is shown. Raises CommandFailed."""
    status = merged([access.get("/v1/status")]) if at else whole_fleet(access)
    shards = access.items("/v1/shards", limit=LIST_LIMIT)["items"]
    rollouts: list[Any] | None
    try:
        rollouts = access.items("/v1/rollouts")["items"]
    except Problem:  # nobody has them now; all the rest is known
        rollouts = None
    return Look(status, shards, rollouts)


@click.command("top")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3_600),
    default=EVERY_S,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def top(at: str | None, every_s: float, output: str) -> None:
    """Follow the fleet on a screen: regions, nodes, shards, elections, rollouts. It only looks.

    Keys: 1 to 5 choose what is shown, up and down mark a row, enter shows more of it (of a region
    its nodes, of a node the shards that it leads), esc goes back, / filters, s sorts by the next
    column, r turns the order round, q ends it. Elections are those seen since it was started.

    Where there is no terminal, or with -o json, all is printed once.

    \b
    Example:
      leadplane top
      leadplane top --at us-east-1 --every 5
      leadplane top -o json | jq '.shards[] | select(.leader == null)'
    """
    access = access_at(at)
    if output == "json" or not (sys.stdout.isatty() and sys.stdin.isatty()):
        look = look_at(access.at_once(), at)
        document = {"status": look.status, "shards": look.shards, "rollouts": look.rollouts}
        print_document(document, lambda _, __: draw_once(look), output)
        return
    _follow(access.at_once(), at, every_s)


def _follow(access: FleetAccess, at: str | None, every_s: float) -> None:
    """Draw until somebody presses q. Looks are taken beside it, so that keys are never waited
    for."""
    from rich.live import Live

    screen, turn, over = Screen(), threading.Lock(), threading.Event()

    def go_on_looking() -> None:
        while not over.is_set():
            try:
                look = look_at(access, at)
            except CommandFailed as failure:
                with turn:
                    screen.failed(f"{time.strftime('%H:%M:%S')}: {failure.message}")
            except Exception as defect:  # the screen must not go on as if nothing were wrong
                with turn:
                    screen.failed(f"{time.strftime('%H:%M:%S')}: {defect!r}")
                raise
            else:
                with turn:
                    screen.saw(look, time.strftime("%H:%M:%S"))
            over.wait(every_s)

    threading.Thread(target=go_on_looking, daemon=True).start()
    terminal = console()
    try:
        with (
            _keys_at_once() as keyboard,
            Live(console=terminal, screen=True, auto_refresh=False) as live,
        ):
            while not screen.is_over:
                with turn:
                    drawn = draw_screen(screen, terminal.height)
                live.update(drawn, refresh=True)
                for key in _pressed(keyboard):
                    with turn:
                        screen.press(key)
    except KeyboardInterrupt:
        return
    finally:
        over.set()


@contextmanager
def _keys_at_once() -> Iterator[int]:
    """Let keys come as they are pressed, and the terminal be as it was afterwards."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _pressed(keyboard: int) -> list[str]:
    """Keys that were pressed, after a short wait for the first; the end of all input ends it."""
    ready, _, _ = select.select([keyboard], [], [], KEY_WAIT_S)
    if not ready:
        return []
    data = os.read(keyboard, 1_024)
    return keys_in(data.decode("utf-8", "replace")) if data else ["q"]


def keys_in(text: str) -> list[str]:
    """The keys that make up what a terminal sent."""
    found: list[str] = []
    at = 0
    sequences = sorted((s for s in NAMES if len(s) > 1), key=len, reverse=True)
    while at < len(text):
        known = next((s for s in sequences if text.startswith(s, at)), text[at])
        found.append(NAMES.get(known, known))
        at += len(known)
    return found
