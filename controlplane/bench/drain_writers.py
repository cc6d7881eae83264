"""Clients that follow redirects, and see what it costs them when the shards they write to move.

Each writes to one shard all the time until that has moved, then to another one that has not: shards
move in the order of their names, so a client that finds shards moved already looks further ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any
from urllib.parse import quote

from controlplane.http_client import HttpClient, PeerLost, PeerUnreachable

AGAIN_S = 0.005
THINK_S = 0.005
PATIENCE_S = 10.0
ANSWER_MS_MAX = 3_000
REDIRECT = 307
TAKEN = 200


@dataclass(frozen=True, slots=True)
class Target:
    """A shard of the place that is drained: a key of it, and the epoch that it had."""

    shard: str
    key: str
    epoch: int


@dataclass
class DrainWriters:
    """What all clients of one run saw."""

    client: HttpClient
    urls: Sequence[str]
    targets: Sequence[Target]
    pauses_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    written: int = 0
    redirected: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _op: Any = field(default_factory=count)

    async def work(self, first: int, stride: int) -> None:
        """One client: every `stride`-th target from the first on."""
        at, jump = first, 1
        while at < len(self.targets) and not self.stop.is_set():
            measured = await self._until_moved(self.targets[at])
            jump = 1 if measured else 2 * jump
            at += stride * jump
        while not self.stop.is_set():  # the load goes on
            await self._until_moved(self.targets[first % len(self.targets)], once=True)

    async def _until_moved(self, target: Target, once: bool = False) -> bool:
        """Write until another epoch acknowledges; whether that was seen as a pause."""
        last_s: float | None = None
        while not self.stop.is_set():
            found = await self._write(target)
            now_s = monotonic()
            if found is not None and found > target.epoch:
                if last_s is not None:
                    self.pauses_ms.append((now_s - last_s) * 1_000)
                await asyncio.sleep(THINK_S)
                return last_s is not None
            if found is not None:
                last_s = now_s
            await asyncio.sleep(THINK_S)
            if once:
                return False
        return False

    async def _write(self, target: Target) -> int | None:
        """The epoch that acknowledged one write, however often it was sent; None: it failed."""
        name = f"d{next(self._op)}"
        path = f"/v1/kv/{quote(target.key, safe='')}?proxy=false"
        url, said = self.urls[hash(name) % len(self.urls)] + path, ""
        until_s = monotonic() + PATIENCE_S
        while monotonic() < until_s:
            try:
                reply = await self.client.send(
                    "PUT", url, headers={"Idempotency-Key": name}, body=b"v",
                    timeout_ms=ANSWER_MS_MAX,
                )  # fmt: skip
            except (PeerLost, PeerUnreachable) as lost:
                said = str(lost)
                url = self.urls[hash(said) % len(self.urls)] + path
            else:
                if reply.status == TAKEN:
                    self.written += 1
                    return int(reply.headers["Leadplane-Epoch"])
                said = f"{reply.status} {reply.body[:200]!r}"
                url = self._followed(url, path, reply.status, reply.headers)
                if reply.status == REDIRECT:
                    continue
            await asyncio.sleep(AGAIN_S)
        self.failed.append(f"{target.shard}: {said}")
        return None

    def _followed(self, url: str, path: str, status: int, headers: Mapping[str, str]) -> str:
        if status != REDIRECT:
            return url
        self.redirected += 1
        there: str = headers["Location"]
        return there if there.startswith("http") else self.urls[0] + path
