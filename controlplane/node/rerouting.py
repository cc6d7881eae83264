"""Requests that name a shard of another map: which shard has their key in the map known here.

Theory of operation. Who asks has mapped a key to its shard by some map: an old one, if the shard
went over into others meanwhile, or a newer one than is known here. The key says which shard it is
by the map of this node; if that one was closed, its leader and its stores refuse, and the request
waits until this node's map comes to the shards that continue it.

A position names shards, too. One that this node's map has not reached may continue the very shard
that is read: nothing here can tell, so nothing but the leader, or a later map, may answer [!].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controlplane.node.following import SYSTEM
from controlplane.node.group import Group
from controlplane.requests import Problem, Read, Refused, Request, Scan, Write
from shards.keyspace import key_slot, slot_of
from shards.position import Position, reading_from, writing_since

if TYPE_CHECKING:
    from controlplane.node.node import Node


def rerouted(node: Node, request: Request) -> Request:
    """The request for the shard that has its key here; itself where that is not known."""
    directory = node.directory
    if request.shard in directory.rows or request.shard == SYSTEM or not directory.is_known:
        return request
    slot = _slot(request)
    shard = None if slot is None else directory.shard_of_slot(slot)
    if shard is None:
        return request
    return replace(request, shard=shard)


def _slot(request: Request) -> int | None:
    match request:
        case Write(mutations=(first, *_)):
            return slot_of(first.partition)
        case Write(compares=(compare, *_)):
            return key_slot(compare.key)
        case Read(keys=(key, *_)):
            return key_slot(key)
        case Scan():
            return slot_of(request.partition)
    return None


def addressed(node: Node, request: Request, position: Position) -> Request:
    """A client's request for the shard that has its key here, with what its position says of it."""
    request = rerouted(node, request)
    if isinstance(request, Read | Scan):
        sequence, beside = reading_from(position, request.shard, node.directory.rows)
        return replace(request, position=sequence, beside=beside)
    if isinstance(request, Write):
        ancestors = node.reshardings.ancestors(request.shard)
        return replace(request, since=writing_since(position, request.shard, ancestors))
    return request


def is_ahead(node: Node, request: Read | Scan) -> bool:
    """Whether the position of who asks is of a later map than is known here [!]."""
    rows, reshardings = node.directory.rows, node.reshardings
    return any(name not in rows and reshardings.is_ahead(name) for name in request.beside)


def await_map(node: Node, group: Group, number: int, request: Request) -> None:
    """A shard was found closed: let a request for it wait until the map says where its key went.

    If the map says so by now, it goes there.
    """
    row = node.directory.rows.get(request.shard)
    if row is None or row.group != group.group:
        node.resubmit(number, request, node.now_ms)
        return
    detail = f"{request.shard} goes on in other shards, which the map here does not show yet"
    node.parking.park(number, request, Refused(Problem.NO_LEADER, detail, retry_after_ms=50))
