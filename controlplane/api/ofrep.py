"""Flags evaluated by this node, over the OpenFeature Remote Evaluation Protocol (OFREP).

Refusals of what a client sent are answered in the protocol's own words, `errorCode` and
`errorDetails`, so that OpenFeature clients of every language understand them. Everything else that
can go wrong is a problem document, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from config.flag_shape import TARGETING_KEY
from config.flags import ErrorCode, Evaluation
from controlplane.api.body import parse_json, read_body
from controlplane.api.edge import Edge
from controlplane.api.flag_copy import TAG_DIGITS
from controlplane.api.flag_pages import is_named
from controlplane.api.parameters import NO_PARAMETERS
from controlplane.api.responses import JSON, bytes_response, empty_response
from controlplane.problems import RequestRefused

FROZEN: Final = ConfigDict(frozen=True)


class EvaluationRequest(BaseModel):
    """What a flag is evaluated for: `context` has `targetingKey` and any attributes."""

    context: dict[str, Any] = Field(default_factory=dict)


class EvaluationSuccess(BaseModel):
    """What a flag comes to."""

    model_config = FROZEN

    key: str
    value: Any
    variant: str
    reason: str
    metadata: dict[str, str | int]


class EvaluationFailure(BaseModel):
    """Why a flag comes to nothing."""

    model_config = FROZEN

    key: str
    error_code: str = Field(serialization_alias="errorCode")
    error_details: str = Field(serialization_alias="errorDetails")


class BulkEvaluation(BaseModel):
    """What every flag comes to."""

    model_config = FROZEN

    flags: tuple[EvaluationSuccess | EvaluationFailure, ...]


class BulkFailure(BaseModel):
    """Why nothing was evaluated."""

    model_config = FROZEN

    error_code: str = Field(serialization_alias="errorCode")
    error_details: str = Field(serialization_alias="errorDetails")


class _ContextRefused(Exception):
    """What a client sent is nothing that a flag can be evaluated for."""

    def __init__(self, code: ErrorCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


async def evaluate_flag(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /ofrep/v1/evaluate/flags/{flag}: what one flag comes to."""
    flag = request.match_info["flag"]
    body = await _body(edge, request)
    edge.flags.look()
    try:
        key, attributes = _context(request, body)
    except _ContextRefused as refused:
        return _answer(_failure(flag, refused.code, refused.details), HTTPStatus.BAD_REQUEST)
    found = edge.flags.flags.evaluate(flag, key, attributes)
    if found.error is None:
        return _answer(_result(flag, found))
    unknown = found.error is ErrorCode.FLAG_NOT_FOUND
    return _answer(
        _result(flag, found), HTTPStatus.NOT_FOUND if unknown else HTTPStatus.BAD_REQUEST
    )


async def evaluate_flags(edge: Edge, request: web.Request) -> web.StreamResponse:
    """POST /ofrep/v1/evaluate/flags: what every flag comes to, unless the client knows it."""
    body = await _body(edge, request)
    edge.flags.look()
    try:
        key, attributes = _context(request, body)
    except _ContextRefused as refused:
        failure = BulkFailure(error_code=refused.code, error_details=refused.details)
        return _answer(failure, HTTPStatus.BAD_REQUEST)
    flags = edge.flags.flags
    tag = f"{edge.flags.tag}-{sha256(body).hexdigest()[:TAG_DIGITS]}"
    headers = {"ETag": f'"{tag}"'}
    if is_named(tag, request.headers.get(hdrs.IF_NONE_MATCH, "")):
        return empty_response(304, headers)
    found = (_result(name, flags.evaluate(name, key, attributes)) for name in flags.names())
    return _answer(BulkEvaluation(flags=tuple(found)), headers=headers)


async def _body(edge: Edge, request: web.Request) -> bytes:
    settings = edge.settings
    return await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)


def _context(request: web.Request, body: bytes) -> tuple[str | None, Mapping[str, Any]]:
    """Targeting key and attributes. Raises _ContextRefused, and RequestRefused for a media type."""
    try:
        NO_PARAMETERS.parse(request.rel_url.raw_query_string)
    except RequestRefused as refused:
        raise _ContextRefused(ErrorCode.GENERAL, refused.detail) from None
    try:
        document = parse_json(request, body) if body else {}
    except RequestRefused as refused:
        if refused.kind.status != HTTPStatus.BAD_REQUEST:
            raise
        raise _ContextRefused(ErrorCode.PARSE_ERROR, refused.detail) from None
    if not isinstance(document, dict):
        raise _ContextRefused(ErrorCode.PARSE_ERROR, "the body must be an object")
    context = document.get("context", {})
    if not isinstance(context, dict):
        raise _ContextRefused(ErrorCode.INVALID_CONTEXT, "`context` must be an object")
    key = context.get(TARGETING_KEY)
    if key is not None and not isinstance(key, str):
        raise _ContextRefused(ErrorCode.INVALID_CONTEXT, f"{TARGETING_KEY} must be a string")
    return key, context


def _result(flag: str, found: Evaluation) -> EvaluationSuccess | EvaluationFailure:
    if found.error is not None:
        return _failure(flag, found.error, found.message)
    return EvaluationSuccess(
        key=flag,
        value=found.value,
        variant=found.variant or "",
        reason=found.reason,
        metadata=dict(found.metadata),
    )


def _failure(flag: str, code: ErrorCode, details: str) -> EvaluationFailure:
    return EvaluationFailure(key=flag, error_code=code, error_details=details)


def _answer(
    document: BaseModel,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    body = document.model_dump_json(by_alias=True).encode()
    return bytes_response(body, JSON, status=status, headers=headers)
