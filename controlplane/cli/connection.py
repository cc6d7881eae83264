"""How the command line reaches a fleet: where it is, what to say to it, what its refusals mean.

The address is `LEADPLANE_URL` (several, separated by commas, are tried in turn), else the fleet
that `leadplane up` runs from this folder. HTTP is spoken with the standard library alone: it is
imported in milliseconds, and a command makes a handful of requests.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

import click

TIMEOUT_S = 15.0
TOLD_S_MAX = 10.0
"""How long is listened to a stream that never falls silent."""
ELECTION_WAIT_S = 10.0
"""How long a command waits for a leader before it says that there is none."""
ELECTION_PAUSE_S = 0.25
ELECTING = frozenset({"no-leader", "not-leader"})
"""Refusals of which nothing was done, and that are over when somebody leads."""
LOCAL_FOLDER = ".leadplane"
STATE_FILE = "fleet.json"
PROBLEM = "application/problem+json"


class CommandFailed(click.ClickException):
    """A command that did not do what was asked: what, where, and what to do next."""

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.where = where
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print to standard error, one line for each part."""
        click.echo(f"error: {self.message}", err=True)
        if self.where:
            click.echo(f"  at:   {self.where}", err=True)
        if self.hint:
            click.echo(f"  next: {self.hint}", err=True)


class Problem(CommandFailed):
    """The fleet refused a request; `kind` is the last part of the problem's type."""

    def __init__(self, document: Mapping[str, Any], status: int, where: str) -> None:
        self.document = document
        self.status = status
        self.kind = str(document.get("type", "")).rsplit("/", 1)[-1]
        super().__init__(_sentence(document, status), where, _next_step(document, self.kind))


class Unreachable(CommandFailed):
    """Nobody answered at any of the addresses."""


class OutcomeUnknown(CommandFailed):
    """The connection broke after the request was sent: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: headers in lower case, the body as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def document(self) -> Any:
        """The body as JSON. Raises CommandFailed when whoever answered speaks something else."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError as failure:
            said = self.body[:60].decode("utf-8", "replace").strip()
            raise CommandFailed(
                f"the answer is not one of a node: {said!r}",
                self.url,
                "see whether LEADPLANE_URL, or --at, is the address of a node",
            ) from failure


@dataclass(frozen=True, slots=True)
class FleetAccess:
    """The addresses of a fleet's nodes and what is needed to talk to them.

    What is refused because nobody leads yet is asked again for `election_wait_s`.
    """

    urls: tuple[str, ...]
    token: str | None = None
    cacert: str | None = None
    timeout_s: float = TIMEOUT_S
    election_wait_s: float = 0.0

    def get(self, path: str, **query: Any) -> Any:
        """A document of the fleet."""
        return self.send("GET", path, query=query).document()

    def items(self, path: str, **query: Any) -> dict[str, Any]:
        """A whole list: pages are fetched until there is no `continue`."""
        pages = list(self.pages(path, **query))
        if len(pages) == 1:
            return pages[0]
        return {**pages[-1], "items": [item for page in pages for item in page["items"]]}

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Each page of a list."""
        page: dict[str, Any] = self.get(path, **query)
        yield page
        while page.get("continue"):
            page = self.get(path, **{**query, "continue": page["continue"]})
            yield page

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request to the first address that takes it.

        Another address is tried only when this one cannot have carried the request out. Raises
        Problem for a refusal, Unreachable, or OutcomeUnknown.
        """
        until_s = time.monotonic() + self.election_wait_s
        while True:
            try:
                return self._send(method, path, query, headers, body)
            except Problem as problem:
                if problem.kind not in ELECTING or time.monotonic() >= until_s:
                    raise
            time.sleep(ELECTION_PAUSE_S)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> Reply:
        wanted = {name: _query_text(value) for name, value in (query or {}).items()}
        present = {name: value for name, value in wanted.items() if value is not None}
        target = f"{path}?{urlencode(present)}" if present else path
        failures = []
        for url in self.urls:
            try:
                reply = self._send_to(url, method, target, dict(headers or {}), body)
            except _NotSent as failure:
                failures.append(f"{url}: {failure}")
                continue
            if reply.status >= 400:
                raise Problem(_problem_document(reply), reply.status, f"{method} {url}{target}")
            return reply
        raise Unreachable(
            "no node of the fleet answers",
            "; ".join(failures),
            "see whether it runs (leadplane up), or set LEADPLANE_URL",
        )

    def told(self, target: str, quiet_s: float) -> str:
        """What a stream of events at the first address tells until it is quiet for so long.

        Raises Problem, Unreachable.
        """
        import http.client

        url = self.urls[0]
        parts = urlsplit(url)
        connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.connect()
            socket = connection.sock  # which is not there any more once a short answer has come
            connection.request("GET", parts.path.rstrip("/") + target, headers=self._headers())
            answer = connection.getresponse()
            if answer.status >= 400:
                reply = Reply(answer.status, _named(answer), answer.read(), url)
                raise Problem(_problem_document(reply), reply.status, f"GET {url}{target}")
            socket.settimeout(quiet_s)
            return b"".join(_until_quiet(answer)).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as failure:
            raise Unreachable("no answer", f"{url}{target} ({failure})") from failure
        finally:
            connection.close()

    def at_once(self) -> FleetAccess:
        """The same access, for who asks again by themselves while nobody leads."""
        return replace(self, election_wait_s=0.0)

    def within(self, timeout_s: float) -> FleetAccess:
        """The same access, in less time."""
        return replace(self, timeout_s=timeout_s)

    def only(self, url: str) -> FleetAccess:
        """The same access, to one node alone; what it says now is what is asked for."""
        return replace(self, urls=(url.rstrip("/"),), election_wait_s=0.0)

    def _send_to(
        self, url: str, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Reply:
        import http.client

        parts = urlsplit(url)
        connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
        headers |= self._headers()
        try:
            connection.connect()
        except OSError as failure:
            raise _NotSent(failure.strerror or str(failure)) from failure
        try:
            connection.request(method, parts.path.rstrip("/") + target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as failure:
            if method in ("GET", "HEAD"):
                raise _NotSent(f"no answer ({failure})") from failure
            raise OutcomeUnknown(
                f"the connection broke: {method} may have been carried out, or not",
                f"{url}{target} ({failure})",
                "look before you repeat it, or repeat it with the same --idempotency-key",
            ) from failure
        finally:
            connection.close()
        return Reply(answer.status, _named(answer), content, url)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _connect(self, scheme: str, host: str, port: int | None) -> Any:
        import http.client

        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        import ssl

        trust = ssl.create_default_context(cafile=self.cacert)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=trust)


def _until_quiet(answer: Any) -> Iterator[bytes]:
    """The lines of an answer, until its end, or until none came in time; and not for ever."""
    until_s = time.monotonic() + TOLD_S_MAX
    while time.monotonic() < until_s:
        try:
            line = answer.readline()
        except TimeoutError:
            return
        if not line:
            return
        yield line


def _named(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}


class _NotSent(Exception):
    """This address cannot have carried the request out."""


def fleet_access() -> FleetAccess:
    """The fleet this command is about, from the environment or from a fleet run in this folder."""
    token = os.environ.get("LEADPLANE_TOKEN") or None
    cacert = os.environ.get("LEADPLANE_CACERT") or None
    named = [each.strip().rstrip("/") for each in os.environ.get("LEADPLANE_URL", "").split(",")]
    urls = tuple(each for each in named if each)
    for url in urls:
        check_address(url, "LEADPLANE_URL")
    urls = urls or tuple(str(node["url"]) for node in local_fleet()["nodes"])
    return FleetAccess(urls, token, cacert, election_wait_s=ELECTION_WAIT_S)


def local_fleet(folder: Path | None = None) -> dict[str, Any]:
    """What runs from this folder, as the fleet's supervisor wrote it down.

    Raises CommandFailed when nothing runs there, and says how to start something.
    """
    from controlplane.process_identity import ProcessIdentity

    path = (folder or Path(LOCAL_FOLDER)) / STATE_FILE
    start = "start one with `leadplane up`, or set LEADPLANE_URL to the address of a node"
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        supervisor = ProcessIdentity(**state["supervisor"]) if state["supervisor"] else None
    except FileNotFoundError:
        raise CommandFailed("no fleet to talk to", f"there is no {path}", start) from None
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise CommandFailed(f"this is not the state of a fleet: {failure}", str(path)) from failure
    if supervisor is None or not supervisor.alive:
        raise CommandFailed("no fleet to talk to", f"that of {path.parent} has ended", start)
    return state


def access_at(place: str | None) -> FleetAccess:
    """The fleet, or only the node that `place` names: an address, a node's id or a region."""
    fleet = fleet_access()
    if place is None:
        return fleet
    if "://" in place:
        check_address(place, "--at")
        return fleet.only(place)
    nodes = fleet.get("/v1/nodes")["items"]
    found = [n for n in nodes if place in (n["node"], n["region"])]
    alive = [n for n in found if n["alive"]] or found
    if not alive:
        known = ", ".join(sorted({n["region"] for n in nodes} | {n["node"] for n in nodes}))
        raise CommandFailed(f"no node or region is called {place!r}", hint=f"one of {known}")
    return fleet.only(str(alive[0]["url"]))


def check_address(url: str, named_by: str) -> None:
    """Refuse what cannot be the address of a node. Raises CommandFailed."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        usable = False
    if not usable:
        raise CommandFailed(
            f"{named_by}: {url!r} is not an address", hint="write it as http://127.0.0.1:7101"
        )


def _query_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _problem_document(reply: Reply) -> dict[str, Any]:
    if reply.headers.get("content-type", "").startswith(PROBLEM):
        document = reply.document()
        if isinstance(document, dict):
            return document
    if reply.headers.get("content-type", "") == "application/json":
        document = reply.document()
        if isinstance(document, dict) and "errorCode" in document:
            title, detail = document["errorCode"], document.get("errorDetails")
            return {"type": "about:blank", "title": title, "detail": detail}
    said = reply.body.decode("utf-8", "replace").strip()[:200]
    return {"type": "about:blank", "title": f"HTTP {reply.status}", "detail": said}


NEXT_STEPS = {
    "built-in": "put other content into it; it cannot be deleted, and built-in schemas not edited",
    "compacted": "begin anew, without a place to go on from",
    "document-changed": "read it again, and decide anew",
    "document-in-use": "change first what needs it",
    "drain-refused": "see what is drained with `leadplane placement show`",
    "expectation-failed": "send it without that expectation",
    "group-not-dropped": "see groups with `leadplane regions groups`, shards with `shards list`",
    "group-not-made": "see stores with `leadplane regions stores`, groups with `regions groups`",
    "header-too-large": "shorten what the request names: key, position, parameters",
    "idempotency-mismatch": "use a new key for another request",
    "internal": "see the log of that node",
    "invalid": "correct what is named, and send it again",
    "leader-unreachable": "the node asked cannot reach the leader: ask another one with --at",
    "malformed": "see whether that is the address of a node",
    "method-not-allowed": "see whether that is a node of the same version",
    "move-refused": "see what holds moves up with `leadplane placement show`, or use --force",
    "no-candidate": "see who is alive with `leadplane nodes`",
    "no-leader": "an election is on; see what it waits for with `leadplane shards list`",
    "no-member": "ask a node of the group's own region with --at",
    "no-placement": "change one of the constraints that conflict",
    "no-quorum": "see which stores are down with `leadplane status`; -c any still reads",
    "no-such-key": "nothing is stored there, or not yet at this copy",
    "no-such-route": "see whether that is a node of the same version",
    "not-appliable": "make another plan: `leadplane placement plan`",
    "not-changed": "see what is on with `leadplane regions groups`",
    "not-leader": "the map here is behind; ask again, or ask the leader",
    "not-resharded": "see what is on with `leadplane shards reshardings`",
    "not-ready": "the node has just started, or stops: ask another one with --at",
    "overloaded": "ask less at a time, or another node with --at",
    "placement-busy": "see how far it is with `leadplane placement show`",
    "plan-outdated": "plan again with `leadplane placement plan`, and decide anew",
    "planning-failed": "see the log of the global leader's node, then ask again",
    "precondition-failed": "read it again, and decide anew",
    "precondition-required": "name the version that you read",
    "quota-exceeded": "delete something of that shard first",
    "request-timeout": "send it again; it did not arrive whole",
    "rollout-refused": "see how far it is with `leadplane rollouts list`",
    "rollout-unfinished": "see it with `leadplane rollouts list`; `rollouts start` takes --queue",
    "stale": "accept an older answer, or read with -c strong",
    "store-full": "give the stores named more room, or delete something",
    "too-large": "store less under one key, or raise the limit named in the node's settings",
    "too-many-streams": "end a stream, or ask another node with --at",
    "too-old": "find out by reading; a new key makes it a new request",
    "transferring": "wait for the hand-over, a matter of milliseconds",
    "unknown-document": "see which there are with `leadplane config list`",
    "unknown-group": "see which there are with `leadplane regions groups`",
    "unknown-node": "see which there are with `leadplane nodes`",
    "unknown-outcome": "look before you repeat it, or repeat it with the same --idempotency-key",
    "unknown-plan": "make it again with `leadplane placement plan`",
    "unknown-resharding": "see which there are with `leadplane shards reshardings`",
    "unknown-rollout": "see which there are with `leadplane rollouts list`",
    "unknown-region": "see which there are with `leadplane regions`",
    "unknown-shard": "see which there are with `leadplane shards`",
    "unknown-store": "it must be in the topology of every node: `leadplane status -o wide`",
    "unknown-version": "see which are kept with `leadplane config history`",
    "unsplittable": "spread its keys over more partitions",
    "unknown-write": "see which there are with `leadplane fenced`",
    "unsupported-media-type": "see whether that is a node of the same version",
    "wrong-role": "ask another node with --at",
}
"""What to do next, by kind of problem, where the fleet does not say so itself."""


def _sentence(document: Mapping[str, Any], status: int) -> str:
    """What a problem says. Where it lists the places that are wrong, those say all there is."""
    title = str(document.get("title") or f"HTTP {status}")
    if errors := document.get("errors"):
        radius = (document.get("blast_radius") or {}).get("summary", ())
        would = [f"  it would do this: {sentence}" for sentence in radius]
        told = title.removesuffix("; `errors` says where")
        return "\n".join([told, *map(_place, errors), *would])
    detail = str(document.get("detail") or "")
    return f"{title}: {detail}" if detail and detail.lower() != title.lower() else title


def _place(error: Mapping[str, Any]) -> str:
    where = error.get("pointer") or error.get("parameter") or error.get("header") or "request"
    return f"  {where}: {error.get('detail', '')}"


def _next_step(document: Mapping[str, Any], kind: str) -> str:
    leader = document.get("leader") or {}
    steps = [str(document.get("hint") or NEXT_STEPS.get(kind, ""))]
    if kind == "not-leader" and leader.get("url"):
        steps = [f"ask the leader: --at {leader['url']}"]
    if document.get("retry_after_ms") is not None:
        steps.append(f"try again in {document['retry_after_ms']} ms")
    return "; ".join(step for step in steps if step)
