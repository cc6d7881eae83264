"""Carrying a request to a node that can answer it: here, one hop away, or nowhere.

`shards.routing.decide` makes every decision; this file does what it says, learns from the answers,
and asks it again, at most ATTEMPTS_MAX times in all. What makes a second attempt safe:

* a node that refuses with `not-leader` has done nothing, so the request may go where it points;
* a node that could not be reached was sent nothing;
* everything else that goes wrong with a write after it was sent is `unknown-outcome`, and final.

A shard that changes hands on purpose has, for a moment, a successor who has not heard of it. A
request that was sent there because the old leader said so is held until the successor knows more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson
from aiohttp import web
from multidict import CIMultiDict, istr

from controlplane.api.documents import leader_hint
from controlplane.api.service import Service, Subscription
from controlplane.api.settings import ApiSettings
from controlplane.http_client import HttpClient, PeerLost, PeerReply, PeerUnreachable
from controlplane.problems import (
    InputError,
    RequestRefused,
    from_refusal,
    invalid,
    leader_document,
)
from controlplane.requests import LeaderHint, Outcome, Problem, Refused, Request
from controlplane.telemetry.request_spans import CURRENT
from controlplane.views import NodeView, ShardView
from regions.store import ByteCount
from shards.routing import (
    Asked,
    Forward,
    Hints,
    Redirect,
    Refuse,
    Serve,
    Target,
    Why,
    decide,
)

ATTEMPTS_MAX: Final = 3
"""At home, at the leader, and at the leader that the first one pointed to."""
HOP_HEADER: Final = istr("Leadplane-Hop")
NAMED_HEADER: Final = istr("Leadplane-Named-Epoch")
"""The epoch at which whoever passes a request on believes that the receiver leads."""
SENT_ON: Final = (
    "Accept",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "traceparent",
    "tracestate",
)
SENT_BACK: Final = ("Content-Type", "ETag", "Retry-After", "Idempotency-Replayed")
OUR_HEADERS: Final = "leadplane-"

# The replica of this region could not answer a read; its leader still might.
HOME_FAILURES: Final = frozenset({Problem.STALE, Problem.NO_QUORUM, Problem.NOT_LEADER})
REFUSAL_KINDS: Final = {
    Why.NO_LEADER: "no-leader",
    Why.NOT_LEADER: "not-leader",
    Why.UNREACHABLE: "leader-unreachable",
}


@dataclass(slots=True)
class Passage:
    """One HTTP request that another node may have to answer."""

    incoming: web.Request
    request_id: str
    body: bytes = b""
    patience_ms: int = 0  # how long the answer may take, if that is longer than usual
    own_path: str = ""  # where it goes, as JSON, if this node made it: nobody passed that on yet

    @property
    def changes(self) -> bool:
        """Whether an answer that got lost may have changed something."""
        return self.incoming.method not in ("GET", "HEAD")

    @property
    def path_and_query(self) -> str:
        """Where it goes at another node."""
        url = self.incoming.rel_url
        if not self.own_path:
            return url.raw_path_qs
        return f"{self.own_path}?{url.raw_query_string}" if url.raw_query_string else self.own_path

    @property
    def hops(self) -> int:
        """How many nodes have passed the request on. Raises RequestRefused."""
        if self.own_path:
            return 0
        return _count(self.incoming, HOP_HEADER, digits_max=2)

    @property
    def named_epoch(self) -> int:
        """The epoch at which the last of them believes this node to lead. Raises RequestRefused."""
        return _count(self.incoming, NAMED_HEADER, digits_max=16) if self.hops else 0


@dataclass(slots=True)
class Errand:
    """A request for a shard on its way, with what a node is asked for it.

    `at_leader` is what to ask of a node that leads the shard and still could not answer `question`
    from the copy of its region: for a read that may be old, the same read, strong.
    """

    passage: Passage
    shard: str
    question: Request
    needs_leader: bool = True
    may_proxy: bool = True
    at_leader: Request | None = None


class Dispatch:
    """What one node does with requests for shards, and what it learnt while doing it."""

    def __init__(self, service: Service, settings: ApiSettings) -> None:
        self._service = service
        self._settings = settings
        self._here = service.identity.node
        self._hints = Hints()
        self._led_here: set[str] = set()
        self._led_as_of: tuple[int, int] = (-1, -1)
        self._failed_until: dict[str, float] = {}
        self._client: HttpClient | None = None
        self.routed: Callable[[str], None] = lambda result: None
        """Told of each request that another node was to answer, and what came of it."""
        self.bytes_of: Callable[[str], ByteCount | None] = lambda region: None
        """Where bytes are counted of what is passed on to a region, and of the answers."""

    async def open(self) -> None:
        """Get ready to speak to other nodes; call it inside the running loop."""
        self._client = HttpClient(
            self._settings.peer_connections_max,
            self._settings.connect_timeout_ms,
            self._settings.dial,
        )

    async def close(self) -> None:
        """Close all connections to other nodes."""
        if self._client is not None:
            await self._client.close()

    def leader_of(self, view: ShardView) -> Target | None:
        """Who leads a shard, as far as this node can tell: its own view, or a newer claim."""
        return self._hints.leader(view.shard, _target(view.leader), view.epoch)

    @property
    def has_hints(self) -> bool:
        """Whether another node knew more of some leader than this one does."""
        return bool(self._hints)

    def hint_of(self, view: ShardView) -> LeaderHint | None:
        """The same, as a record for the outside."""
        if not self._hints:
            return view.leader
        leader = self.leader_of(view)
        return leader_hint(leader) if leader is not None else None

    async def run(self, errand: Errand) -> Outcome | web.Response:
        """Get the request answered: the outcome when it was served here, else another's response.

        Never gives Refused: a refusal is raised as RequestRefused.
        """
        passage = errand.passage
        hops, named_epoch = passage.hops, passage.named_epoch
        attempts = ATTEMPTS_MAX
        home_refusal: Refused | None = None
        refused_by_leader: web.Response | None = None
        if not errand.needs_leader or self._leads(errand.shard):
            # As `decide` would have it, without a picture of the shard for every request.
            outcome = await self._service.submit(errand.question)
            if not isinstance(outcome, Refused):
                return outcome
            if not self._goes_on(errand, outcome):
                raise _settled(outcome, self._view_of(errand))
            home_refusal = None if errand.needs_leader else outcome
            attempts -= 1
        for _ in range(attempts):
            view = self._view_of(errand)
            asked = Asked(errand.needs_leader, hops, errand.may_proxy, home_refusal is not None)
            match decide(asked, self._here, self._led_by(view, named_epoch), self._failed()):
                case Serve():
                    question = errand.question if home_refusal is None else errand.at_leader
                    if question is None:
                        break
                    outcome = await self._serve(errand, question)
                    if not isinstance(outcome, Refused):
                        return outcome
                    held = self._is_named(errand, outcome)
                    if held or home_refusal is not None or not self._goes_on(errand, outcome):
                        raise _settled(outcome, view)
                    home_refusal = None if errand.needs_leader else outcome
                case Forward(target):
                    reply = await self._forward(passage, target, hops)
                    if reply is None:
                        continue
                    refused_by_leader = _response(reply)
                    if not self._points_elsewhere(errand.shard, reply, target):
                        return refused_by_leader
                case Redirect(target):
                    self.routed("redirected")
                    return _redirect(passage.incoming, target)
                case Refuse() as refusal if home_refusal is None and refused_by_leader is None:
                    self.routed("refused")
                    raise _refused(refusal, errand.shard)
                case _:
                    break
        if refused_by_leader is not None:
            return refused_by_leader
        if home_refusal is not None:
            raise _settled(home_refusal, self._view_of(errand))
        raise RequestRefused("no-leader", "its leader changed while the request looked for it")

    async def pass_on(self, passage: Passage, nodes: Iterable[NodeView]) -> web.Response:
        """The answer of the first of some nodes that can be reached; one hop, and no further.

        Raises RequestRefused when none can be, or when the request was passed on before.
        """
        if passage.hops:
            raise RequestRefused("no-member", "it was passed on to a node that cannot do it either")
        for node in nodes:
            target = Target(node.node, node.region, node.url, 0)
            if (reply := await self._forward(passage, target, 0)) is not None:
                return _response(reply)
        raise RequestRefused("no-member", "no node that could do it can be reached from here")

    def _leads(self, shard: str) -> bool:
        """Whether this node leads a shard, as far as it knows; the node itself decides when asked.

        Looked up once as long as nobody has learnt of another leader of anything.
        """
        as_of = (self._service.map_version, self._service.leadership_revision)
        if as_of != self._led_as_of:
            self._led_here.clear()
            self._led_as_of = as_of
        if shard in self._led_here:
            return True
        leader = self.leader_of(self._view(shard))
        if leader is None or leader.node != self._here:
            return False
        self._led_here.add(shard)
        return True

    def _learn(self, shard: str, claim: Target) -> bool:
        """Take another node's word for who leads; True when it was news."""
        self._led_here.discard(shard)
        return self._hints.learn(shard, claim)

    def _view_of(self, errand: Errand) -> ShardView:
        """The shard of an errand: by now, if it went over into others, the one that has its key."""
        view = self._service.shard_view(errand.shard)
        if view is not None:
            return view
        errand.shard = self._service.shard_now(errand.question)
        return self._view(errand.shard)

    def _view(self, shard: str) -> ShardView:
        view = self._service.shard_view(shard)
        if view is None:
            raise RequestRefused("unknown-shard", f"no shard is called {shard}")
        return view

    def _led_by(self, view: ShardView, named_epoch: int) -> Target | None:
        """Who leads, if it is not this node at the epoch at which it was named."""
        leader = self.leader_of(view)
        if named_epoch <= view.epoch or (leader is not None and leader.epoch >= named_epoch):
            return leader
        here = self._service.identity
        return Target(here.node, here.region, here.url, named_epoch)

    async def _serve(self, errand: Errand, question: Request) -> Outcome:
        """Ask this node; again for a moment, if it was named as leader and has not heard of it."""
        outcome = await self._service.submit(question)
        if not self._is_named(errand, outcome):
            return outcome
        news = asyncio.Event()
        forget = self._service.subscribe(Subscription(lambda _: news.set(), lambda _: None))
        try:
            async with asyncio.timeout(self._settings.named_wait_ms / 1_000):
                while True:
                    news.clear()
                    outcome = await self._service.submit(question)
                    if not self._is_named(errand, outcome):
                        return outcome
                    await news.wait()
        except TimeoutError:
            return outcome
        finally:
            forget()

    def _is_named(self, errand: Errand, outcome: Outcome) -> bool:
        """Whether this node refused for not leading what it is about to take over."""
        if not isinstance(outcome, Refused) or outcome.problem is not Problem.NOT_LEADER:
            return False
        leader = self._led_by(self._view_of(errand), errand.passage.named_epoch)
        if leader is None or leader.node != self._here:
            return False
        return outcome.leader is None or outcome.leader.epoch < leader.epoch

    def _goes_on(self, errand: Errand, refused: Refused) -> bool:
        """Whether there is another place to try after a refusal of this node."""
        claim = _target(refused.leader)
        if claim is not None and claim.node != self._here:
            newer = self._learn(errand.shard, claim)
            if refused.problem is Problem.NOT_LEADER and newer:
                return True
        return not errand.needs_leader and refused.problem in HOME_FAILURES

    async def _forward(self, passage: Passage, target: Target, hops: int) -> PeerReply | None:
        """The answer of another node, or None when nothing reached it."""
        headers, span = _sent_on(passage, hops, target.epoch), CURRENT.get()
        if span is None:
            return await self._send(passage, target, headers)
        hop = span.child("forward", node=target.node)
        headers["traceparent"] = hop.traceparent
        error = "no answer"
        try:
            reply = await self._send(passage, target, headers)
            error = "not reached" if reply is None else ""
            return reply
        finally:
            hop.end(error)

    async def _send(
        self, passage: Passage, target: Target, headers: Mapping[str, str]
    ) -> PeerReply | None:
        assert self._client is not None, "the application is not started"
        incoming = passage.incoming
        try:
            reply = await self._client.send(
                incoming.method,
                target.url.rstrip("/") + passage.path_and_query,
                headers=headers,
                body=passage.body,
                timeout_ms=max(passage.patience_ms, self._settings.request_timeout_ms),
                byte_count=self.bytes_of(target.region),
            )
        except PeerUnreachable:
            pause_s = self._settings.peer_pause_ms / 1000
            self._failed_until[target.node] = asyncio.get_running_loop().time() + pause_s
            self.routed("unreachable")
            return None
        except PeerLost as failure:
            self.routed("unreachable")
            raise _overdue(passage.changes, f"{target.node} was to do it; {failure}") from failure
        self.routed("forwarded")
        return reply

    def _points_elsewhere(self, shard: str, reply: PeerReply, target: Target) -> bool:
        """Whether the answer is a refusal that names a newer leader than the one just asked."""
        if reply.status != 421:
            return False
        claim = _claim(reply.body)
        return claim is not None and claim.epoch > target.epoch and self._learn(shard, claim)

    def _failed(self) -> frozenset[str]:
        if not self._failed_until:
            return frozenset()
        now = asyncio.get_running_loop().time()
        self._failed_until = {n: until for n, until in self._failed_until.items() if until > now}
        return frozenset(self._failed_until)


def _count(request: web.Request, header: str, digits_max: int) -> int:
    text = request.headers.get(header)
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= digits_max):
        wanted = f"must be an integer from 0 to {'9' * digits_max}"
        raise invalid(InputError(wanted, header=header))
    return int(text)


def _target(hint: LeaderHint | None) -> Target | None:
    return Target(hint.node, hint.region, hint.url, hint.epoch) if hint is not None else None


def _settled(refused: Refused, view: ShardView) -> RequestRefused:
    """A refusal that a client can act on.

    `not-leader` without a leader to go to is an election; an election that cannot be won, because a
    majority of the stores is out of reach, is called that.
    """
    nobody = refused.leader is None and refused.problem in (Problem.NOT_LEADER, Problem.NO_LEADER)
    if nobody and view.state == "unavailable":
        refused = replace(refused, problem=Problem.NO_QUORUM, detail=view.why or refused.detail)
    elif nobody:
        refused = replace(refused, problem=Problem.NO_LEADER)
    return from_refusal(refused)


def _refused(refusal: Refuse, shard: str) -> RequestRefused:
    leader = refusal.leader
    more = {"leader": leader_document(leader_hint(leader))} if leader is not None else {}
    return RequestRefused(
        REFUSAL_KINDS[refusal.why], f"shard {shard}: {refusal.why.value}", more=more
    )


def _claim(body: bytes) -> Target | None:
    """The leader that a `not-leader` problem names; None when it does not, or not properly."""
    try:
        leader = orjson.loads(body)["leader"]
        node, region, url = (str(leader[name]) for name in ("node", "region", "url"))
        return Target(node, region, url, int(leader["epoch"]))
    except (ValueError, KeyError, TypeError):
        return None


def _overdue(changes: bool, detail: str) -> RequestRefused:
    if changes:
        return RequestRefused("unknown-outcome", detail)
    return RequestRefused("leader-unreachable", detail)


def _redirect(request: web.Request, target: Target) -> web.Response:
    location = target.url.rstrip("/") + request.rel_url.raw_path_qs
    return web.Response(
        status=307, headers={"Location": location, "Leadplane-Epoch": str(target.epoch)}
    )


def _sent_on(passage: Passage, hops: int, epoch: int) -> dict[str, str]:
    incoming = passage.incoming.headers
    headers = {name: incoming[name] for name in SENT_ON if name in incoming}
    if passage.own_path:
        headers["Content-Type"] = "application/json"
    headers[HOP_HEADER] = str(hops + 1)
    headers[NAMED_HEADER] = str(epoch)
    headers["X-Request-Id"] = passage.request_id
    return headers


def _response(reply: PeerReply) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, text in reply.headers.items():
        if name.lower().startswith(OUR_HEADERS):
            headers[name] = text
    for name in SENT_BACK:
        if name in reply.headers:
            headers[name] = reply.headers[name]
    return web.Response(status=reply.status, body=reply.body, headers=headers)
