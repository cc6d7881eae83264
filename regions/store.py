"""What the rest of Leadplane knows of a store: an ordered lane to it, and what it says of itself.

A lane is one connection. Calls arrive in the order they are sent and are answered in that order, or
the lane is lost. A lost lane never comes back: its driver opens another one under a greater
generation, and the store refuses whatever of the old one is still under way.

Nothing is retried here. A call whose reply did not come is *unknown*: it may have been carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from regions.codec import Reply

OnReply: TypeAlias = Callable[[Reply], None]
OnLost: TypeAlias = Callable[[Exception], None]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store listens, and as whom to speak to it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Who a store is. The incarnation was minted by the store itself, once, when it was empty."""

    store_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store said of itself when a lane to it was opened."""

    identity: StoreIdentity
    run_id: str
    opseq: int
    server: str  # "valkey 9.1.2", "redis 7.0.15"
    groups: tuple[tuple[str, int, str], ...]  # name, version, state


@dataclass(frozen=True, slots=True)
class StoreRoom:
    """What a store may use, and uses; of its disk, None where that cannot be seen from here."""

    memory_used_bytes: int
    memory_max_bytes: int  # 0: nobody knows a limit
    disk_free_bytes: int | None = None
    disk_size_bytes: int | None = None


@dataclass(slots=True)
class ByteCount:
    """Bytes of one kind on one way between two places: what went out, and what came back."""

    sent: int = 0
    received: int = 0


class Lane(Protocol):
    """One connection to a store. Not thread-safe; all callbacks run on the loop that opened it."""

    async def open(self) -> StoreStatus:
        """Connect and verify the store; once. Raises StoreUnavailable, StoreUnsuitable or one of
        their kind; the lane is closed then, and `on_lost` is not called."""
        ...

    def send(self, header: list[Any], commands: list[list[Any]], on_reply: OnReply) -> None:
        """Write one call now, without waiting. `on_reply` is called once with its reply, after
        those of all calls sent before; never, when the lane is lost first.

        A lane that is lost takes the call and drops it.
        """
        ...

    def look(self, on_room: Callable[[StoreRoom], None]) -> None:
        """Ask how much room the store has; in turn with the calls, and answered like them. A store
        that does not let Leadplane know never answers."""
        ...

    def close(self) -> None:
        """Close at once. Pending calls are unknown; neither they nor `on_lost` are called."""
        ...
