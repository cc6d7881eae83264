"""The OpenAPI 3.1 document, generated from the route table that serves the requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from controlplane.api.route import Answer, Endpoint, Header, Raw
from controlplane.problems import KINDS, MEDIA_TYPE

JSON: Final = "application/json"
REF: Final = "#/components/schemas/{model}"
PATH_PARAMETERS: Final = {
    "resharding": "The number of a resharding.",
    "rollout": "The number of a rollout.",
    "key": "The key, percent-encoded; a part in braces is hashed alone.",
    "shard": "The name of a shard.",
    "role": "`leader` or `follower`.",
    "node": "The name of a node.",
    "region": "The name of a region.",
    "name": "The name of a document.",
    "flag": "The name of a feature flag.",
    "version": "The number of one of its versions.",
    "number": "The number of one of what is listed.",
    "group": "The name of a group, percent-encoded: `region%2Feu-central-1`.",
}
PATH_BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "key": {"minLength": 1},
    "role": {"enum": ["leader", "follower"]},
}
PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem as in RFC 9457. `type` is stable; words are not.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [kind.type for kind in KINDS.values()]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "retry_after_ms": {"type": "integer", "minimum": 0},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "header": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
}


def openapi_document(endpoints: Iterable[Endpoint], server_url: str) -> dict[str, Any]:
    """The whole document for a server at this address."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(endpoint.path, {})
        operations[endpoint.method.lower()] = _operation(endpoint, schemas)
        if endpoint.also_head:
            operations["head"] = _head(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadplane",
            "version": version("leadplane"),
            "summary": "A sharded, multi-region leadership control plane",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {"schemas": schemas.definitions | {"Problem": PROBLEM_SCHEMA}},
    }


class _Schemas:
    """JSON Schemas of models, each described once and referred to by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def of(self, model: Any, mode: Any = "serialization") -> dict[str, Any]:
        """The schema of a model, which is added to the definitions."""
        schema = TypeAdapter(model).json_schema(mode=mode, ref_template=REF)
        self.definitions |= schema.pop("$defs", {})
        if "$ref" in schema or "title" not in schema:
            return schema
        name: str = schema["title"]
        self.definitions[name] = schema
        return {"$ref": REF.format(model=name)}


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "x-leadplane-needs": endpoint.needs.value,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        operation["requestBody"] = _body(endpoint.body, schemas)
    return operation


def _head(endpoint: Endpoint) -> dict[str, Any]:
    """HEAD answers with the status of GET and nothing else."""
    statuses = [answer.status for answer in endpoint.answers]
    statuses += [KINDS[kind].status for kind in endpoint.problems]
    return {
        "operationId": f"{endpoint.operation_id}_head",
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "x-leadplane-needs": endpoint.needs.value,
        "parameters": _parameters(endpoint),
        "responses": {
            str(status): {"description": HTTPStatus(status).phrase} for status in sorted(statuses)
        },
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name],
            "schema": {"type": "string"} | PATH_BOUNDS.get(name, {}),
        }
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    found += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": parameter.schema(),
        }
        for parameter in endpoint.parameters.all
    ]
    found += [{"name": each.name, "in": "header"} | _header(each) for each in endpoint.headers]
    return found


def _header(header: Header) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": header.pattern} if header.pattern else {})
    return {"description": header.description, "required": header.required, "schema": schema}


def _body(body: type[BaseModel] | Raw, schemas: _Schemas) -> dict[str, Any]:
    if isinstance(body, Raw):
        return {"required": True, "content": {body.value: {"schema": {}}}}
    schema = schemas.of(body, "validation")
    required = any(field.is_required() for field in body.model_fields.values())
    return {"required": required, "content": {JSON: {"schema": schema}}}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found = {str(answer.status): _answer(answer, schemas) for answer in endpoint.answers}
    by_status: dict[int, list[str]] = {}
    for name in (*endpoint.problems, "internal"):
        by_status.setdefault(KINDS[name].status, []).append(name)
    for status, names in sorted(by_status.items()):
        told = found.setdefault(str(status), {"description": "", "content": {}})
        sentences = (f"`{name}`: {KINDS[name].title}." for name in names)
        told["description"] = " ".join((told["description"], *sentences)).strip()
        told["content"][MEDIA_TYPE] = {"schema": {"$ref": REF.format(model="Problem")}}
    return found


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {raw.value: {"schema": _raw_schema(raw)} for raw in answer.raw}
    if answer.model is not None:
        schema = schemas.of(answer.model)
        content[JSON] = {"schema": _page_of(schema) if answer.listed else schema}
    response: dict[str, Any] = {"description": answer.description}
    if content:
        response["content"] = content
    if answer.headers:
        response["headers"] = {header.name: _header(header) for header in answer.headers}
    return response


def _raw_schema(raw: Raw) -> dict[str, Any]:
    return {} if raw is Raw.OCTETS else {"type": "string"}


def _page_of(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": item},
            "continue": {"type": "string", "description": "There is more: send this back."},
        },
    }
