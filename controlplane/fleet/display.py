"""What a person sees while a fleet comes up, when it is up, and when it goes.

On a terminal, one line that changes; elsewhere, a line for every step. All of it goes to stderr,
so that stdout is free for what scripts read.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from controlplane.command_name import to_find_it
from controlplane.fleet.state import FleetState, Phase, Progress

AGAIN_S = 5.0
"""Without a terminal, a step that takes long is shown again so often, if something has changed."""
_PHASES = {
    Phase.STARTING_STORES: "starting stores",
    Phase.BOOTSTRAPPING: "initialising the empty stores: this is the first start",
    Phase.STARTING_NODES: "starting nodes",
    Phase.ELECTING: "electing a leader for every shard",
    Phase.READY: "every shard has a leader",
    Phase.STOPPING: "stopping: nodes hand over, then stores close",
    Phase.STOPPED: "stopped",
    Phase.FAILED: "failed",
}


class FleetDisplay:
    """Follows a fleet's states. `show` may be called with the same state twice."""

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._clock = clock
        self._line = ""
        self._line_s = 0.0
        self._status: Status | None = None
        self._said = Progress()
        self._first = True

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the changing line, if there is a terminal, while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status("...") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def show(self, state: FleetState) -> None:
        """Show how far it is now."""
        progress, said = state.progress, self._said
        if progress.first_start and not said.first_start:
            self.console.print("stores initialised: this was the first start, it happens once")
        if self._status is not None:
            self._status.update(escape(line_of(progress)))
        elif (
            self._first
            or progress.phase is not said.phase
            or (progress.phase is not Phase.READY and self._clock() - self._line_s >= AGAIN_S)
        ):
            self._print(line_of(progress))
        ready = progress.phase is Phase.READY
        if ready and progress.detail and progress.detail != said.detail:
            self.console.print(escape(progress.detail), soft_wrap=True)
        self._said, self._first = progress, False

    def _print(self, line: str) -> None:
        if line != self._line:
            self.console.print(escape(line), soft_wrap=True)
            self._line, self._line_s = line, self._clock()

    def announce(self, state: FleetState) -> None:
        """Show where everything is, and what to do next."""
        table = Table("region", "nodes", "stores", box=None, pad_edge=False, header_style="bold")
        for region in dict.fromkeys(node.region for node in state.nodes):
            urls = [node.url for node in state.nodes if node.region == region]
            ports = [str(store.port) for store in state.stores if store.region == region]
            table.add_row(region, "\n".join(urls), " ".join(ports))
        self.console.print(table)
        told = (
            f"latency between regions: {state.latency:g} of the real one" if state.latency else ""
        )
        lives = f"data in {state.dir}" + (" (ephemeral)" if state.ephemeral else "")
        self.console.print(escape("; ".join(filter(None, [lives, told]))), soft_wrap=True)
        url = state.nodes[0].url if state.nodes else ""
        place = shlex.quote(state.dir)
        lines = [
            to_find_it(),
            f"export LEADPLANE_URL={url}",
            "leadplane status",
            "leadplane kv put '{customer42}/name' Ada",
            "leadplane kv get '{customer42}/name'",
            f"leadplane tour --dir {place}",
            f"leadplane down --dir {place}",
        ]
        typed = "\n      ".join(filter(None, lines))
        self.console.print(f"\ntry:  {typed}", soft_wrap=True, markup=False)


def line_of(progress: Progress) -> str:
    """Say in one line how far a fleet is."""
    parts = [
        f"stores {progress.stores_up}/{progress.stores}",
        f"nodes {progress.nodes_up}/{progress.nodes}",
        f"shards led {progress.shards_led}/{progress.shards}",
        _PHASES[progress.phase],
    ]
    if progress.detail and progress.phase is not Phase.READY:
        parts.append(progress.detail)
    return " · ".join(parts)
