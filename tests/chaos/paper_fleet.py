"""A fleet that does what it is told and writes it down."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from controlplane.chaos.roles import Kind, Site
from controlplane.chaos.ways import Hindrance, Pairs


class PaperFleet:
    """Keeps what was done, in order, as words."""

    topology = None
    clocks = None

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = tuple(sites)
        self.urls = {site.id: f"http://{site.id}" for site in sites if site.kind is Kind.NODE}
        self.done: list[tuple[Any, ...]] = []
        self.sleeps = asyncio.Event()
        self.ways = _PaperWays(self.done)

    def says_of_itself(self) -> str:
        return "a fleet of paper"

    async def stop(self, site: str) -> None:
        self.done.append(("stop", site))
        self.sleeps.set()

    async def go_on(self, site: str) -> None:
        self.done.append(("go on", site))

    async def kill(self, site: str) -> None:
        self.done.append(("kill", site))

    async def end(self, site: str) -> None:
        self.done.append(("end", site))

    async def hold(self, site: str) -> None:
        self.done.append(("hold", site))

    async def let_go(self, site: str) -> None:
        self.done.append(("let go", site))

    async def forget(self, store: str, how: str) -> str:
        self.done.append(("forget", store, how))
        return "forgot"

    async def fill(self, store: str, what: str, leave_mib: int) -> str:
        self.done.append(("fill", store, what, leave_mib))
        return "filled"

    async def empty(self, store: str, what: str) -> None:
        self.done.append(("empty", store, what))


class _PaperWays:
    def __init__(self, done: list[tuple[Any, ...]]) -> None:
        self._done = done

    async def cut(self, name: str, pairs: Pairs) -> None:
        self._done.append(("cut", len(pairs)))

    async def mend(self, name: str, *, loses: bool) -> str:
        self._done.append(("mend", loses))
        return "mended"

    async def hamper(self, name: str, sites: Collection[str], how: Hindrance) -> None:
        self._done.append(("hamper", *sites, how))

    async def ease(self, name: str) -> None:
        self._done.append(("ease",))

    async def snap(self, sites: Collection[str]) -> None:
        self._done.append(("snap", *sites))
