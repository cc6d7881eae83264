"""Regions as the documents they are: `region.<name>`, put, patched and deleted under their name.

There is one mechanism. What differs from `/v1/config/region.<name>` is only that the body is the
content itself, and that it can be changed in part, by a JSON merge patch (RFC 7396).
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from pydantic import RootModel

from config.document import is_too_deep, name_complaint, region_name
from config.revision import Revision
from controlplane.api.body import parse_model, read_body
from controlplane.api.document_conditions import Wish
from controlplane.api.document_edits import edit_document
from controlplane.api.edge import Edge
from controlplane.problems import InputError, invalid

TAKEN: Final = "groups"
"""No region is called so: `/v1/regions/groups` are the groups of stores."""


class RegionContent(RootModel[dict[str, Any]]):
    """What a region's document holds; its schema is the document `schema.region`."""


async def put_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """PUT /v1/regions/{region}: the region is so, and so alone."""
    name = _name_in_path(request)
    content, body = await _read(edge, request)
    return await edit_document(edge, request, body, Wish(name, lambda _: (content, "")))


async def patch_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """PATCH /v1/regions/{region}: fields that are named change, null takes one away."""
    name = _name_in_path(request)
    patch, body = await _read(edge, request)

    def change(now: Revision | None) -> tuple[Any, str]:
        return merged(now.content if now is not None else {}, patch), ""

    return await edit_document(edge, request, body, Wish(name, change))


async def delete_region(edge: Edge, request: web.Request) -> web.StreamResponse:
    """DELETE /v1/regions/{region}: the region is not one of the fleet's any more."""
    name = _name_in_path(request)
    await read_body(request, 0, edge.settings.body_timeout_ms)
    return await edit_document(edge, request, b"", Wish(name, lambda _: (None, ""), True))


def merged(target: Any, patch: Any) -> Any:
    """A value with a merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


async def _read(edge: Edge, request: web.Request) -> tuple[dict[str, Any], bytes]:
    settings = edge.settings
    body = await read_body(request, settings.json_bytes_max, settings.body_timeout_ms)
    content = parse_model(RegionContent, request, body).root
    if is_too_deep(content):
        raise invalid(InputError("is nested too deeply; flatten it", pointer="#"))
    return content, body


def _name_in_path(request: web.Request) -> str:
    name = region_name(request.match_info["region"])
    complaint = name_complaint(name)
    if complaint is None and name == region_name(TAKEN):
        complaint = f"cannot be {TAKEN}: that path is another page"
    if complaint is not None:
        raise invalid(InputError(complaint, parameter="region"))
    return name
