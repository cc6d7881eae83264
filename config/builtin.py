"""The schemas of the kinds that Leadplane reads itself, and the content they begin with.

Both stand in `config/defaults`, one file for each kind. They are part of the release: a schema is
shown as document `schema.<kind>`, version 0, and cannot be edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from config.document import FLEET_KINDS, SINGLE_KINDS, Kind, canonical, schema_name
from config.revision import Revision


@cache
def _read(kind: Kind) -> Mapping[str, Any]:
    text = files("config.defaults").joinpath(f"{kind}.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def builtin_schema(kind: Kind) -> Mapping[str, Any]:
    """The schema of a kind that Leadplane reads."""
    schema: Mapping[str, Any] = _read(kind)["schema"]
    return schema


def builtin_content(kind: Kind) -> dict[str, Any]:
    """What a document of this kind begins with; of a region, what is the same for all."""
    content: dict[str, Any] = _read(kind)["content"]
    return deepcopy(content)


@cache
def builtin_documents() -> tuple[Revision, ...]:
    """The documents that every fleet has: one of each single kind, and the built-in schemas."""
    single = tuple(
        Revision(kind.value, 0, canonical(builtin_content(kind))) for kind in SINGLE_KINDS
    )
    schemas = tuple(
        Revision(schema_name(kind.value), 0, canonical(builtin_schema(kind)))
        for kind in FLEET_KINDS
    )
    return single + schemas


def is_builtin_schema(name: str) -> bool:
    """Whether a document is a schema that comes with the release."""
    return any(name == schema_name(kind.value) for kind in FLEET_KINDS)
