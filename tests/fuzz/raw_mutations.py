"""Requests as no client should send them: good ones, cut, split, bent and buried in garbage.

Each mutation is a list of pieces, sent one after the other, each in a packet of its own. The same
number always makes the same mutation, so a failure is found again by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice, product
from random import Random
from typing import TypeAlias

HEAD = b" HTTP/1.1\r\nHost: a\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GOOD: tuple[bytes, ...] = (
    b"GET /livez" + HEAD + b"\r\n",
    b"GET /v1/route?key=a&intent=write" + HEAD + b"X-Request-Id: r-1\r\n\r\n",
    b"GET /v1/kv?partition=a&consistency=any" + HEAD + b"\r\n",
    b"PUT /v1/kv/a" + HEAD + b"Content-Length: 5\r\nIdempotency-Key: k\r\n\r\nhello",
    b"PUT /v1/kv/a" + HEAD + CHUNKED + b"\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    b"DELETE /v1/kv/a" + HEAD + b"traceparent: 00-1-2-3\r\n\r\n",
    b"POST /v1/shards/s0/evict?dry_run=true" + HEAD + JSON + b"Content-Length: 2\r\n\r\n{}",
    b"HEAD /readyz" + HEAD + b"Connection: close\r\n\r\n",
    b"GET /v1/routes" + HEAD + b"Accept: text/event-stream\r\n\r\n",
)  # fmt: skip
"""One request for each way of the server: answers, bodies of both kinds, a stream. Each is served
whatever was done before."""

LENGTHS = (
    b"", b" ", b"-1", b"+5", b"5 5", b"5,5", b"0x5", b"5.0", b"1e3", b"\xd9\xa5", b"0005", b"4",
    b"6", b"99999999", b"9" * 19, b"9" * 400, b"5;q=1", b"\t5\t", b"five",
)  # fmt: skip
CHUNKS = (
    b"", b"0", b"0\r\n", b"x\r\n", b"-1\r\n", b"5\r\nhel", b"5\r\nhelloX\r\n0\r\n\r\n", b"5hello",
    b"5\nhello\n0\n\n", b"00000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5;ext=\"\r\nhello\r\n0\r\n\r\n",
    b"f" * 16 + b"\r\n", b"f" * 400 + b"\r\n", b"5\r\nhello\r\n0\r\nTrailer\r\n\r\n",
    b"0\r\nA: b\r\n\r\n",
    b"5;" + b"e" * 20_000 + b"\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n",
    b"5\r\nhello\r\n" * 500 + b"0\r\n\r\n", b"1\r\nx\r\n0\r\n" + b"T: x\r\n" * 500 + b"\r\n",
)  # fmt: skip
HEADERS = (
    b"Content-Length: 5", b"Content-Length: 6", b"Transfer-Encoding: chunked", b"Host: b", b"Host:",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: x",
    b"Connection: upgrade\r\nUpgrade: websocket", b"Connection: upgrade\r\nUpgrade: h2c",
    b"Expect: 100-continue", b"Expect: tea", b"Content-Encoding: gzip", b"Content-Type: ;;=;",
    b"Content-Type: application/json; charset=nonsense", b"If-Match: *", b"If-None-Match: *",
    b"Leadplane-Hop: 1", b"Leadplane-Hop: 99", b"Idempotency-Key: ", b"Accept: text/event-stream",
    b"Last-Event-ID: 1", b"X-Request-Id: \x7f", b"Cookie: =;=", b" folded: a", b"A\r\n b: c",
    b"No colon", b": no name", b"A B: c", b"A: \x00", b"A: \xff\xfe", b"A: b\rc: d", b"A: b\n c",
    b"traceparent: 00-0-0-0", b"X: " + b"x" * 8_200, b"x" * 8_200 + b": x",
    b"X: y\r\n" * 150 + b"Y: z",
    b"Range: bytes=0-", b"Authorization: Basic %", b"Forwarded: for=\"_", b"Sec-WebSocket-Key: x",
)  # fmt: skip
TARGETS = (
    b"*", b"", b"//", b"/..", b"/v1/kv/../../x", b"http://b/livez", b"http://[::1/livez",
    b"http://",
    b"b:443", b"/v1/kv/%", b"/v1/kv/%00", b"/v1/kv/\x00", b"/v1/kv/\xff", b"/v1/kv/%ED%A0%80", b"?",
    b"/livez?", b"/livez#x", b"/livez?a=%zz&&&=", b"/" + b"a" * 9_000, b"/v1/kv/" + b"%41" * 2_000,
    b"/v1/route?key=" + b"k" * 8_000, b"/v1/route?" + b"a&" * 3_000, b"/v1/kv/a b", b"/v1/kv/\x7f",
    b"/v1/kv?partition=%00", b"/v1/shards/%2e%2e/evict", b"/v1/shards/s0%2Fevict", b"/\\", b"/;/",
)  # fmt: skip
VERSIONS = (
    b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/11", b"http/1.1", b"",
    b"HTTP/1.1 x", b"ICY/1.1", b"HTTP/1." + b"1" * 400,
)  # fmt: skip
METHODS = (
    b"",
    b"get",
    b"BREW",
    b"G\x00T",
    b"GE T",
    b"PRI",
    b"CONNECT",
    b"M" * 9_000,
    b"\xff",
    b"@",
)
GARBAGE = (
    b"\x00", b"\r\n", b"\n" * 50, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff" * 3_000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n", b"x" * 70_000, b"GET",
    b"\r\n\r\n\r\n", b" ",
)  # fmt: skip

Pieces: TypeAlias = tuple[bytes, ...]


@dataclass(frozen=True)
class Mutation:
    """One way to say something wrong, or something right in an odd way."""

    name: str
    pieces: Pieces


def splits() -> Iterator[Mutation]:
    """Every good request in two packets, parted at each of its bytes: as good as in one."""
    for number, request in enumerate(GOOD):
        for at in range(1, len(request)):
            yield Mutation(f"split {number} at {at}", (request[:at], request[at:]))


def mutations(seed: int, wanted: int) -> Iterator[Mutation]:
    """As many as are wanted: first every listed one, then random ones as `seed` has them."""
    return islice(_all(seed), wanted)


def _all(seed: int) -> Iterator[Mutation]:
    yield from _listed()
    for number in count():
        random = Random(f"{seed}/{number}")
        way = random.choice(RANDOM_WAYS)
        yield Mutation(f"{way.__name__} {seed}/{number}", way(random))


def _listed() -> Iterator[Mutation]:
    put, post = b"PUT /v1/kv/a" + HEAD, b"POST /v1/shards/s0/evict" + HEAD + JSON
    for start, length in product((put, post), LENGTHS):
        yield Mutation(
            f"length {length!r:.30}", (start + b"Content-Length: " + length + b"\r\n\r\nhello",)
        )
    for start, chunk in product((put, post), CHUNKS):
        yield Mutation(f"chunk {chunk!r:.30}", (start + CHUNKED + b"\r\n" + chunk,))
    for request, header in product((GOOD[0], GOOD[3], GOOD[4], GOOD[6]), HEADERS):
        yield Mutation(f"header {header!r:.30}", (request.replace(HEAD, HEAD + header + b"\r\n"),))
    for method, target in product((b"GET ", b"PUT ", b"OPTIONS "), TARGETS):
        yield Mutation(f"target {target!r:.30}", (method + target + HEAD + b"\r\n",))
    for version in VERSIONS:
        yield Mutation(
            f"version {version!r:.30}", (b"GET /livez " + version + b"\r\nHost: a\r\n\r\n",)
        )
    for method in METHODS:
        yield Mutation(f"method {method!r:.30}", (method + b" /livez" + HEAD + b"\r\n",))
    for garbage in GARBAGE:
        yield Mutation(f"garbage {garbage!r:.30}", (garbage,))
        yield Mutation(f"garbage behind {garbage!r:.30}", (GOOD[0] + garbage + GOOD[3],))


def _cut(random: Random) -> Pieces:
    request = random.choice(GOOD)
    return (request[: random.randrange(len(request))],)


def _flipped(random: Random) -> Pieces:
    request = bytearray(random.choice(GOOD))
    for _ in range(random.randint(1, 4)):
        request[random.randrange(len(request))] = random.randrange(256)
    return (bytes(request),)


def _inserted(random: Random) -> Pieces:
    request = bytearray(random.choice(GOOD))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(request) + 1)
        request[at:at] = random.choice((b"\x00", b"\r", b"\n", b" ", b":", b"\xff", b"%", b"\r\n"))
    return (bytes(request),)


def _deleted(random: Random) -> Pieces:
    request = random.choice(GOOD)
    at = random.randrange(len(request))
    return (request[:at] + request[at + random.randint(1, 8) :],)


def _repeated(random: Random) -> Pieces:
    request = random.choice(GOOD)
    start, end = sorted(random.choices(range(len(request) + 1), k=2))
    return (request[:end] + request[start:end] * random.randint(1, 30) + request[end:],)


def _lines_mixed(random: Random) -> Pieces:
    lines = random.choice(GOOD).split(b"\r\n") + random.choice(GOOD).split(b"\r\n")
    random.shuffle(lines)
    return (b"\r\n".join(lines),)


def _headers_added(random: Random) -> Pieces:
    added = b"\r\n".join(random.choices(HEADERS, k=random.randint(1, 4)))
    return (random.choice(GOOD).replace(HEAD, HEAD + added + b"\r\n"),)


def _pipelined(random: Random) -> Pieces:
    parts = random.choices(GOOD + GARBAGE + CHUNKS, k=random.randint(2, 12))
    return (b"".join(parts),)


def _dripped(random: Random) -> Pieces:
    """A slow sender: byte by byte, and mostly not to the end."""
    (request,) = random.choice((_cut, _flipped, _headers_added))(random)
    return tuple(request[at : at + 1] for at in range(len(request[:300])))


RANDOM_WAYS: tuple[Callable[[Random], Pieces], ...] = (
    _cut, _flipped, _inserted, _deleted, _repeated, _lines_mixed, _headers_added, _pipelined,
    _dripped,
)  # fmt: skip
