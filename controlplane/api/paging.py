"""Pages of lists: in an order that stays, going on behind the last item of the page before.

What a client gets as `continue` is opaque to it: the last item's name, and a checksum over what was
listed, so that a token is not used with another query, where it would skip items in silence.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest
from typing import Any, Final, TypeVar
from zlib import crc32

from controlplane.problems import InputError, invalid

PAGE_ITEMS: Final = 100
_CHECKSUM_BYTES: Final = 4

Item = TypeVar("Item")


def page(
    items: Iterable[Item],
    name_of: Callable[[Item], str],
    scope: str,
    found: Mapping[str, Any],
    show: Callable[[Item], Any],
) -> dict[str, Any]:
    """One page as a document: items by name, as many as `limit` of the query allows.

    Raises RequestRefused when the `continue` of the query is of another list.
    """
    after = read_continue(found.get("continue"), scope)
    limit: int = found.get("limit", PAGE_ITEMS)
    behind = (item for item in items if not after or name_of(item) > after)
    listed = nsmallest(limit + 1, behind, key=name_of)
    document: dict[str, Any] = {"items": [show(item) for item in listed[:limit]]}
    if len(listed) > limit:
        document["continue"] = continue_token(name_of(listed[limit - 1]), scope)
    return document


def continue_token(after: str, scope: str) -> str:
    """What a client sends back to go on behind `after` in the list that `scope` names."""
    name = after.encode()
    return urlsafe_b64encode(_checksum(name, scope) + name).rstrip(b"=").decode()


def read_continue(token: str | None, scope: str) -> str:
    """Where to go on; empty without a token, at the beginning. Raises RequestRefused."""
    if token is None:
        return ""
    try:
        raw = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        name = raw[_CHECKSUM_BYTES:]
        after = name.decode()
    except (Base64Error, UnicodeError):
        after, raw, name = "", b"", b""
    if not after or raw[:_CHECKSUM_BYTES] != _checksum(name, scope):
        complaint = "is not what the page before gave, or the rest of the query is another"
        raise invalid(InputError(complaint, parameter="continue"))
    return after


def _checksum(name: bytes, scope: str) -> bytes:
    return crc32(name, crc32(scope.encode())).to_bytes(_CHECKSUM_BYTES, "big")
