"""What must be possible with a fleet so that it can be broken on purpose, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from controlplane.chaos.clocks import Clocks
from controlplane.chaos.roles import Site
from controlplane.chaos.ways import Ways
from regions.topology import Topology


class FleetOnTrial(Protocol):
    """Hands on every process of a fleet, by the ids of its sites.

    What cannot be done there raises ChaosImpossible.
    """

    @property
    def topology(self) -> Topology | None:
        """Where the stores themselves can be asked; None where they cannot."""

    @property
    def sites(self) -> tuple[Site, ...]: ...

    @property
    def urls(self) -> Mapping[str, str]:
        """Where each node answers clients."""

    @property
    def ways(self) -> Ways: ...

    @property
    def clocks(self) -> Clocks | None: ...

    def says_of_itself(self) -> str:
        """In a sentence, what this fleet is."""

    async def stop(self, site: str) -> None:
        """Freeze a process."""

    async def go_on(self, site: str) -> None:
        """Let a frozen one go on."""

    async def kill(self, site: str) -> None:
        """Crash it; it is started again, unless it is held."""

    async def end(self, site: str) -> None:
        """Ask it to end well; it is started again."""

    async def hold(self, site: str) -> None:
        """Once down, let it stay down."""

    async def let_go(self, site: str) -> None:
        """Let it be started again."""

    async def forget(self, store: str, how: str) -> str:
        """Crash a store and take away some of what it had; say what was done."""

    async def fill(self, store: str, what: str, leave_mib: int) -> str:
        """Leave a store little room; say what was done."""

    async def empty(self, store: str, what: str) -> None:
        """Give the room back."""
