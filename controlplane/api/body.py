"""Bodies of requests: read within a limit of size and of time, and checked field by field."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, TypeVar

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel, Field, ValidationError

from controlplane.problems import InputError, RequestRefused, invalid

JSON_TYPES: Final = ("application/json", "text/json")

Model = TypeVar("Model", bound=BaseModel)

Name = Annotated[str, Field(min_length=1, max_length=128)]
"""A node, a region, a store, as orders call it."""


async def read_body(request: web.Request, bytes_max: int, timeout_ms: int) -> bytes:
    """The whole body. A body that is too large is refused before it has been read.

    Raises RequestRefused: `too-large`, `request-timeout`, `malformed`, `unsupported-media-type`.
    """
    content = request.content
    length = request.content_length
    if length is not None and length > bytes_max:
        raise _too_large(bytes_max)
    if content.at_eof():
        return b""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise RequestRefused("unsupported-media-type", "send the body as it is, not encoded")
    if length is not None and content.is_eof():
        return content.read_nowait()
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            if length is not None:
                return await content.read()
            return await _read_chunks(request, bytes_max)
    except TimeoutError:
        raise RequestRefused(
            "request-timeout", f"the body did not arrive within {timeout_ms} ms"
        ) from None
    except web.RequestPayloadError as failure:
        raise RequestRefused("malformed", f"the body is cut off or not HTTP: {failure}") from None


async def _read_chunks(request: web.Request, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> RequestRefused:
    # The rest of the body is still on its way: the connection cannot be used for anything else.
    return RequestRefused(
        "too-large",
        f"the body has more than {bytes_max} bytes",
        more={"limit_bytes": bytes_max},
        headers={"Connection": "close"},
    )


def parse_model(model: type[Model], request: web.Request, body: bytes) -> Model:
    """The body as a model; an empty body is an empty object.

    Raises RequestRefused (`invalid`, `unsupported-media-type`) with a pointer to every bad field.
    """
    return validate(model, parse_json(request, body) if body else {})


def parse_json(request: web.Request, body: bytes) -> object:
    """The body as JSON. A body that is not declared as JSON is refused: browsers send such bodies
    to any address without asking."""
    if request.content_type not in JSON_TYPES and not request.content_type.endswith("+json"):
        raise RequestRefused(
            "unsupported-media-type", f"send application/json, not {request.content_type}"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        raise invalid(InputError(f"is not JSON: {failure}", pointer="#")) from None


def validate(model: type[Model], document: object) -> Model:
    """Check a document against its model. Raises RequestRefused with all complaints."""
    try:
        return model.model_validate(document)
    except ValidationError as failure:
        raise invalid(
            *(
                InputError(_complaint(error["type"], error["msg"]), pointer=_pointer(error["loc"]))
                for error in failure.errors(include_url=False, include_input=False)
            )
        ) from None


def _complaint(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a field of this document"
    return message[:1].lower() + message[1:]


def _pointer(place: tuple[int | str, ...]) -> str:
    """A JSON pointer as a URI fragment; `~` and `/` inside a name are escaped."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in place)
    return "#" + "".join(f"/{part}" for part in parts)
