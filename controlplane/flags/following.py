"""A thread that keeps an application's copy of the flags as a node has them in force.

Theory of operation. The thread asks `GET /v1/flags` with the tag of what it has, and the node
answers when something else is in force, or after a while that it still is the same. Whatever goes
wrong, the last good copy stays: the next address is asked, after a pause that grows. Once nobody
has answered for `stale_after_s`, the copy is called stale, and good again with the next answer.

The region is that of the first answer, unless it is given. An answer of a node in another region
is never taken: there other flags may be in force.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

from config.flags import CompiledDocument, FlagSet, compile_document

PATH: Final = "/v1/flags"
PAUSE_S_MIN: Final = 0.2
PAUSE_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 5.0
"""How long an answer may take beyond the time for which it was to be put off."""
WAITS_PER_STALE: Final = 3
"""How many answers are due in the time after which a copy is called stale."""
WAIT_S_MAX: Final = 30.0
"""For how long an answer is put off at most."""
END_S_MAX: Final = 5.0


class News(Enum):
    """What an application is told of its copy."""

    READY = "ready"
    CHANGED = "changed"
    STALE = "stale"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Told:
    """One piece of news: the flags that are not as they were, or what is wrong."""

    news: News
    flags: tuple[str, ...] = ()
    why: str = ""


class Unusable(Exception):
    """A node answered, and the answer is of no use."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a copy comes from. `urls` are nodes of one region, asked in turn."""

    urls: Sequence[str]
    region: str | None = None
    token: str | None = None
    cacert: str | None = None
    stale_after_s: float = 30.0


class LocalCopy:
    """What is in force, as far as was heard: taken as a whole, or not at all."""

    def __init__(self, region: str | None = None) -> None:
        self.region = region
        self.flags: FlagSet | None = None
        self.tag = ""
        self._compiled: dict[str, tuple[str, CompiledDocument]] = {}

    def take(self, answer: Any, tag: str) -> tuple[str, ...]:
        """Take an answer of a node; gives the flags that are not as they were.

        Raises Unusable, and leaves everything as it is.
        """
        try:
            region, documents = answer["region"], answer["documents"]
            if self.region is not None and region != self.region:
                raise Unusable(f"{answer['node']} stands in {region}, not in {self.region}")
            compiled = {each["name"]: self._compile(each, region) for each in documents}
        except (KeyError, TypeError) as failure:
            raise Unusable(f"the answer is not one of a node: {failure!r}") from failure
        before, flags = self.flags, FlagSet(document for _, document in compiled.values())
        self.region, self.tag, self._compiled, self.flags = region, tag, compiled, flags
        return tuple((before or FlagSet()).differing(flags))

    def _compile(self, document: Mapping[str, Any], region: str) -> tuple[str, CompiledDocument]:
        name, version = document["name"], document["version"]
        what = f"{version} {document['digest']}"
        known = self._compiled.get(name)
        if known is not None and known[0] == what:
            return known
        return what, compile_document(name, version, document["content"], region)


class Follower:
    """The thread. `tell` is called on it, though not while the first copy is awaited."""

    def __init__(self, source: Source, copy: LocalCopy, tell: Callable[[Told], None]) -> None:
        self._source = source
        self._copy = copy
        self._tell = tell
        self._over = threading.Event()
        self._first = threading.Event()
        self._is_late = False
        self._lock = threading.Lock()  # whether the first copy came in time is decided once
        self._may_wait = True
        self._socket: socket.socket | None = None
        self._at = 0
        self._heard_s = time.monotonic()
        self._trouble: News | None = None
        self.why = "nobody was asked yet"
        self._thread = threading.Thread(target=self._run, name="leadplane-flags", daemon=True)

    def start(self, wait_s: float) -> bool:
        """Begin, and wait for the first copy; says whether it came."""
        self._thread.start()
        if self._first.wait(wait_s):
            return True
        with self._lock:
            self._is_late = not self._first.is_set()
            return not self._is_late

    def stop(self) -> None:
        """End the thread, also in the middle of waiting for an answer."""
        self._over.set()
        waiting = self._socket
        if waiting is not None:
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        self._thread.join(END_S_MAX)

    def _run(self) -> None:
        pause_s = PAUSE_S_MIN
        while not self._over.is_set():
            asked_s = time.monotonic()
            try:
                self._ask()
            except (OSError, http.client.HTTPException, Unusable) as failure:
                self._failed(failure)
                self._at += 1
                self._over.wait(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
            else:
                pause_s = PAUSE_S_MIN
                least_s = PAUSE_S_MIN if self._may_wait else PAUSE_S_MAX
                self._may_wait = True
                self._over.wait(max(0.0, asked_s + least_s - time.monotonic()))

    def _ask(self) -> None:
        """One question and its answer. Raises OSError, HTTPException and Unusable."""
        wait_s = min(self._source.stale_after_s / WAITS_PER_STALE, WAIT_S_MAX)
        wait_s = wait_s if self._may_wait else 0.0
        url = self._source.urls[self._at % len(self._source.urls)]
        connection = self._connect(url)
        headers = {"If-None-Match": f'"{self._copy.tag}"'} if self._copy.tag else {}
        if self._source.token:
            headers["Authorization"] = f"Bearer {self._source.token}"
        try:
            connection.connect()
            self._socket = connection.sock
            self._socket.settimeout(wait_s + ANSWER_S_MAX)
            if self._over.is_set():
                return
            path = urlsplit(url).path.rstrip("/") + PATH
            connection.request("GET", f"{path}?wait_ms={int(wait_s * 1000)}", headers=headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            self._socket = None
            connection.close()
        self._heard(url, reply.status, body, reply.getheader("ETag", "").strip('"'))

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https":
            return http.client.HTTPConnection(host, parts.port, timeout=ANSWER_S_MAX)
        trust = ssl.create_default_context(cafile=self._source.cacert)
        return http.client.HTTPSConnection(host, parts.port, timeout=ANSWER_S_MAX, context=trust)

    def _heard(self, url: str, status: int, body: bytes, tag: str) -> None:
        changed: tuple[str, ...] = ()
        if status == http.HTTPStatus.OK:
            try:
                answer = json.loads(body)
            except ValueError as failure:
                raise Unusable(f"{url} does not answer as a node does: {failure}") from failure
            changed = self._copy.take(answer, tag)
        elif status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            self._may_wait = False  # it may be that too many wait there
            raise ConnectionError(
                f"{url} answers {status}: it is not ready, or has too many asking"
            )
        elif status != http.HTTPStatus.NOT_MODIFIED:
            raise Unusable(f"{url} answers {status}: see whether it is a node of this release")
        self._heard_s = time.monotonic()
        was_troubled, self._trouble = self._trouble is not None, None
        with self._lock:
            is_first = not self._first.is_set()
            self._first.set()
        if was_troubled or (is_first and self._is_late):
            self._tell(Told(News.READY))
        if changed and not is_first:
            self._tell(Told(News.CHANGED, changed))

    def _failed(self, failure: Exception) -> None:
        self.why = str(failure) or type(failure).__name__
        trouble = News.ERROR if isinstance(failure, Unusable) else News.STALE
        silent_s = time.monotonic() - self._heard_s
        if trouble is News.STALE and silent_s < self._source.stale_after_s:
            return
        is_awaited = not self._first.is_set() and not self._is_late
        if not is_awaited and self._trouble is not trouble and not self._over.is_set():
            self._trouble = trouble
            self._tell(Told(trouble, why=self.why))
