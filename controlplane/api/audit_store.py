"""The audit log in the system shard, as its leader reads it on behalf of a request.

A question that another node has to answer takes the whole request there: then what comes back is
that node's answer, and is given as it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aiohttp import web

from config.audit import (
    ANCHOR_KEY,
    HEAD_KEY,
    PARTITION,
    RECORDS_PREFIX,
    Anchor,
    Head,
    Kept,
    read_anchor,
    read_head,
    record_key,
    sequence_of,
)
from controlplane.api.edge import Edge
from controlplane.node.following import SYSTEM
from controlplane.planning.system_shard import known_as
from controlplane.requests import Found, Read, Scan, Scanned

SCANNED_AT_ONCE: Final = 1_000


class Ends(NamedTuple):
    """Where what is kept begins, and where the log ends."""

    anchor: Anchor
    head: Head


class Page(NamedTuple):
    """Records in their order, and whether there are more."""

    records: tuple[Kept, ...]
    more: bool


async def read_ends(edge: Edge, request: web.Request) -> Ends | web.Response:
    """Both, as of one moment. Raises RequestRefused."""
    outcome = await edge.ask(request, SYSTEM, Read(SYSTEM, (ANCHOR_KEY, HEAD_KEY)))
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Found), outcome
    anchor, head = (None if value is None else value.data for value in outcome.values)
    return Ends(known_as(read_anchor, anchor), known_as(read_head, head))


async def read_page(
    edge: Edge, request: web.Request, after: int, limit: int = SCANNED_AT_ONCE
) -> Page | web.Response:
    """Records behind one, at most `limit`. Raises RequestRefused."""
    scan = Scan(SYSTEM, PARTITION, RECORDS_PREFIX, record_key(after), limit)
    outcome = await edge.ask(request, SYSTEM, scan)
    if isinstance(outcome, web.Response):
        return outcome
    assert isinstance(outcome, Scanned), outcome
    found = tuple(Kept(sequence_of(key), value.data) for key, value in outcome.items)
    return Page(found, outcome.more and bool(found))


async def read_all(edge: Edge, request: web.Request) -> tuple[Kept, ...] | web.Response:
    """Every record that is kept. What is recorded or trimmed meanwhile may be among them."""
    found: list[Kept] = []
    more = True
    while more:
        page = await read_page(edge, request, found[-1].sequence if found else 0)
        if isinstance(page, web.Response):
            return page
        found += page.records
        more = page.more
    return tuple(found)
