"""What every handler has at hand: the node, its limits, its routing table, the way to others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Final, TypeAlias

from aiohttp import web
from multidict import istr

from controlplane.api.dispatch import Dispatch, Errand, Passage
from controlplane.api.event_feed import EventFeed
from controlplane.api.flag_copy import FlagCopy
from controlplane.api.kept import Kept
from controlplane.api.newest_documents import NewestDocuments
from controlplane.api.replay import Replays
from controlplane.api.reply import Reply
from controlplane.api.service import Service
from controlplane.api.settings import ApiSettings
from controlplane.api.table_feed import TableFeed
from controlplane.planning.planner import Planner
from controlplane.problems import RequestRefused
from controlplane.requests import Outcome, Request
from controlplane.views import NodeView
from shards.keyspace import key_slot
from shards.routing import RoutingTable

REQUEST_ID: Final = web.RequestKey("request_id", str)
REQUEST_ID_NAME: Final = istr("X-Request-Id")
REQUEST_ID_CHARACTERS_MAX: Final = 128


class Edge:
    """The HTTP edge of one node: what its handlers share."""

    def __init__(
        self,
        service: Service,
        settings: ApiSettings,
        describe: Callable[[], bytes],
        planner: Planner,
    ) -> None:
        self.service = service
        self.describe = describe
        self.planner = planner
        self.settings = settings
        self.here = service.identity
        self.dispatch = Dispatch(service, settings)
        self.table_feed = TableFeed(service, settings)
        self.event_feed = EventFeed(settings)
        self.flags = FlagCopy(service)
        self.newest = NewestDocuments()
        self.kept_routes = Kept(settings.route_kept_ms)
        self.replays = Replays(settings.replays_max, settings.replay_ms)
        self.streams = 0
        self._table = RoutingTable((), -1)
        self._request_ids = count(1)

    @property
    def table(self) -> RoutingTable:
        """Shards by slot; made anew only when the shard map has another version."""
        version = self.service.map_version
        if self._table.map_version != version:
            self._table = RoutingTable(self.service.slot_ranges(), version)
        return self._table

    def shard_of(self, key: str) -> str:
        """The shard of a key. Raises RequestRefused while the shard map is not known."""
        return self.shard_of_slot(key_slot(key))

    def shard_of_slot(self, slot: int) -> str:
        """The shard that has a slot. Raises RequestRefused while the shard map is not known."""
        shard = self.table.shard_of_slot(slot)
        if shard is None:
            raise RequestRefused("not-ready", "this node does not know the shard map yet")
        return shard

    def request_id(self, offered: str | None) -> str:
        """The id of a request: the client's own if it is fit to be printed, else a new one."""
        if offered and len(offered) <= REQUEST_ID_CHARACTERS_MAX and is_printable(offered):
            return offered
        return f"{self.here.process}-{next(self._request_ids)}"

    def ask(
        self,
        request: web.Request,
        shard: str,
        question: Request,
        *,
        body: bytes = b"",
        needs_leader: bool = True,
        may_proxy: bool = True,
        at_leader: Request | None = None,
        own_path: str = "",
    ) -> Awaitable[Outcome | web.Response]:
        """Get a question answered, wherever that is possible; see Dispatch.run.

        `own_path`: where it goes at another node, if the body is what this node makes of the
        request, whoever passed that on to it.
        """
        passage = Passage(request, request[REQUEST_ID], body, own_path=own_path)
        return self.dispatch.run(
            Errand(passage, shard, question, needs_leader, may_proxy, at_leader)
        )

    async def pass_on(
        self, request: web.Request, nodes: Iterable[NodeView], body: bytes, patience_ms: int = 0
    ) -> web.Response:
        """Have one of these nodes answer; see Dispatch.pass_on."""
        passage = Passage(request, request[REQUEST_ID], body, patience_ms)
        return await self.dispatch.pass_on(passage, nodes)


Handler: TypeAlias = Callable[[Edge, web.Request], Awaitable[web.StreamResponse | Reply]]


def is_printable(text: str) -> bool:
    """True for visible ASCII: fit for a header, a log line, and a person."""
    return text.isascii() and text.isprintable()
