"""The words between a node's pure core and its driver: what happened, what is to be done.

A driver (asyncio with real stores, or the simulator in virtual time) owns sockets and clocks. It
calls `Node.step(event, now_ms)` for all that happened, `Node.advance(now_ms)` when
`Node.deadline_ms` has come, and then `Node.take(now_ms)` for the effects, which it carries out in
order. `now_ms` is the process's own monotonic, suspend-aware clock, read just before each of these
calls: the send time of a call is the `now_ms` of the `take` that returned it, so a driver must not
hold an effect back and send it later under an older reading of the clock (later sending is safe,
earlier is not possible).

Ordered lane: for each (node, store) one connection at a time, numbered by `generation`, which the
driver increases with every new connection of this process to that store. Calls of one generation
arrive in the order sent, and are answered in that order, or the connection is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from controlplane.requests import Outcome, Request
from regions.codec import Reply
from regions.store import StoreAddress

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Connected:
    """The ordered lane to `store` is open, verified and empty."""

    store: str
    generation: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The ordered lane is gone; whatever was not answered is unknown."""

    store: str
    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Reply to the oldest unanswered Call of this generation."""

    store: str
    generation: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Fetched:
    """Reply to a Fetch, or None when it was lost or timed out."""

    token: int
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Requested:
    """A client of this node asks; answered by exactly one Answer with the same `id`."""

    id: int
    request: Request


@dataclass(frozen=True, slots=True)
class Told:
    """A message of another node: plain data, already checked to be a dict."""

    sender: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Probed:
    """Outcome of a Probe: whether `node` served a strong read of `shard` at its front door."""

    node: str
    shard: str
    served: bool


@dataclass(frozen=True, slots=True)
class Draining:
    """Hand over everything led, then report Drained (SIGTERM)."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """What a store uses of what it may use; 0 and None where nobody knows."""

    store: str
    memory_used_bytes: int
    memory_max_bytes: int
    disk_free_bytes: int | None
    disk_size_bytes: int | None


@dataclass(frozen=True, slots=True)
class HomeWish:
    """A leader (`asker`) would hand a shard to a node that is better placed."""

    asker: str
    shard: str
    to_node: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The admission of moves looked at wishes to hand shards home, and lets some go."""

    wishes: tuple[HomeWish, ...]
    admitted: tuple[HomeWish, ...]


Event: TypeAlias = (
    Connected | Disconnected | Answered | Fetched | Requested | Told | Probed | Draining | Headroom
    | Judged
)  # fmt: skip

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Call:
    """Send on the ordered lane of this generation (drop silently if that lane is gone)."""

    store: str
    generation: int
    header: list[Any]
    commands: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the ordered lane (it timed out); the driver reports Disconnected and reconnects."""

    store: str
    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Rewire:
    """Keep the ordered lane to this incarnation of `store` from now on, and to no other."""

    store: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Locate:
    """Reach `store` at this address from now on, on lanes of either kind; None: not at all."""

    store: str
    address: StoreAddress | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send on the bulk lane, at most `timeout_ms`; answered by one Fetched with the same token.

    That lane takes a store as it is, whoever it is: the header says for whom the call is meant.
    """

    store: str
    token: int
    header: list[Any]
    commands: list[list[Any]]
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the client request `id`."""

    id: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Tell:
    """Send to another node, at most once, unordered; nothing depends on its arrival for safety."""

    node: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask `node` for a strong read of `shard` through its front door, and report Probed."""

    node: str
    url: str
    shard: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Happened:
    """One life-cycle event, for logs, metrics, traces and watchers. `kind` is from the glossary:
    elected, renewed, transferred, resigned, expired, evicted, fenced, recovered, stuck, ..."""

    kind: str
    shard: str
    epoch: int
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing is led any more: the process may end."""


Effect: TypeAlias = (
    Call | Drop | Rewire | Locate | Fetch | Answer | Tell | Probe | Happened | Drained
)
