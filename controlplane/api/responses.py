"""Answers on the wire: JSON documents, and problems in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import orjson
from aiohttp import web
from multidict import CIMultiDict

from controlplane.api.reply import SERVER, header_lines
from controlplane.problems import MEDIA_TYPE, RequestRefused

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
JSON_LINE: Final = header_lines(("Content-Type", JSON))
OCTETS_LINE: Final = header_lines(("Content-Type", OCTETS))


def json_bytes(document: Any) -> bytes:
    """A document, or any frozen dataclass, as JSON."""
    return orjson.dumps(document)


def json_response(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a JSON document."""
    return bytes_response(orjson.dumps(document), JSON, status=status, headers=headers)


def bytes_response(
    body: bytes, media_type: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with these bytes."""
    fields: CIMultiDict[str] = CIMultiDict(headers or ())
    fields["Content-Type"] = media_type
    return web.Response(body=body, status=status, headers=fields)


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer without a body."""
    return web.Response(status=status, headers=headers)


def first_answer(refused: RequestRefused) -> web.Response:
    """Refuse what no handler of ours sees; the answer gets a name, so that it can be spoken of."""
    response = problem_response(refused)
    response.headers["X-Request-Id"] = uuid4().hex
    response.headers["Server"] = SERVER
    return response


def problem_response(refused: RequestRefused, instance: str = "") -> web.Response:
    """Answer with a problem document; `instance` is the path that was asked for."""
    document = refused.document()
    if instance:
        document["instance"] = instance
    return bytes_response(
        orjson.dumps(document),
        MEDIA_TYPE,
        status=refused.kind.status,
        headers=refused.all_headers(),
    )
