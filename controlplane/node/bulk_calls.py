"""Calls of one node on bulk lanes: large, or to stores of which no order is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from controlplane.machine import Fetch
from controlplane.node.lane import Lane
from regions.codec import FORMAT
from regions.codec import Reply as StoreReply
from shards.leadership import Reply

if TYPE_CHECKING:
    from controlplane.node.node import Node

TakeFetched: TypeAlias = Callable[[StoreReply | None, int], None]
FETCH_MS_MAX: Final = 5_000
VISIT_MS_MAX: Final = 1_500


class BulkCalls:
    """What is under way there, by token: each is answered once, with None if the answer is lost."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tokens = 0
        self._takes: dict[int, TakeFetched] = {}

    def fetch(self, lane: Lane, command: list[Any], reply: Reply) -> None:
        """Send a command to a store as this process knows it."""

        def take(fetched: StoreReply | None, now_ms: int) -> None:
            reply(fetched.results[0] if fetched is not None and fetched.results else None, now_ms)

        header = [FORMAT, lane.incarnation, self._node.plan.process, max(1, lane.generation)]
        self._send(lane.store, header, [command], take, FETCH_MS_MAX)

    def visit(
        self, store: str, incarnation: str, commands: list[list[Any]], take: TakeFetched
    ) -> None:
        """Send a call to whatever incarnation, as nobody in particular.

        No order with what went over lanes before is asked for: a store that is another one now may
        have heard of connections that this process does not count any more.
        """
        self._send(store, [FORMAT, incarnation, "", 0], commands, take, VISIT_MS_MAX)

    def fetched(self, token: int, reply: StoreReply | None, now_ms: int) -> None:
        """An answer came, or was lost."""
        take = self._takes.pop(token, None)
        if take is not None:
            take(reply, now_ms)

    def _send(
        self,
        store: str,
        header: list[Any],
        commands: list[list[Any]],
        take: TakeFetched,
        timeout_ms: int,
    ) -> None:
        self._tokens += 1
        self._takes[self._tokens] = take
        self._node.out.append(Fetch(store, self._tokens, header, commands, timeout_ms))
