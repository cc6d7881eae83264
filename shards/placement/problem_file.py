"""A problem of placement as plain data that JSON can carry, and back.

People write names and lists; programs write packed columns (see `packing`) of region numbers and
masks. Both are read. What is left out means: no limit, nothing drained, no rule. Every refusal
names its place by a JSON pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.placement.nodes_file import document_of_nodes, nodes_from
from shards.placement.packing import (
    PACKED_FROM,
    known_fields,
    listed_or_packed,
    mask_in,
    packed,
    place_in,
    refuse,
    unpacked,
)
from shards.placement.problem import (
    NOWHERE,
    AntiAffinity,
    Budget,
    Capacities,
    Problem,
    Shards,
    Survival,
    Weights,
    places_of,
)
from shards.placement.problem_check import checked

FORMAT = 1
FIELDS = ("format", *(field.name for field in fields(Problem)))


def document_of(problem: Problem) -> dict[str, Any]:
    """The problem as plain data; `problem_from` gives an equal one back."""
    shards = problem.shards
    columns = {field.name: getattr(shards, field.name) for field in fields(Shards)}
    ids = columns.pop("ids")
    names = problem.regions
    return {
        "format": FORMAT,
        "regions": list(names),
        "rtt_ms": problem.rtt_ms.tolist(),
        "egress_usd_per_gb": problem.egress_usd_per_gb.tolist(),
        "storage_usd_per_gb_month": problem.storage_usd_per_gb_month.tolist(),
        "instance_usd_per_hour": problem.instance_usd_per_hour.tolist(),
        "capacities": {
            field.name: _limits(getattr(problem.capacities, field.name).tolist())
            for field in fields(Capacities)
        },
        "weights": asdict(problem.weights),
        "budget": {
            name: None if value == inf else value for name, value in asdict(problem.budget).items()
        },
        "preferences": [[names[place] for place in order] for order in problem.preferences],
        "anti_affinity": [
            {
                "name": group.name,
                "shards": [ids[row] for row in group.shards],
                "leaders_per_region_max": group.leaders_per_region_max,
            }
            for group in problem.anti_affinity
        ],
        "drained": [names[place] for place in places_of(problem.drained)],
        "quarantined": [names[place] for place in places_of(problem.quarantined)],
        "nodes": None if problem.nodes is None else document_of_nodes(problem.nodes, names, ids),
        "shards": {
            "ids": list(ids),
            **{
                name: _named(names, name, array) if array.size < PACKED_FROM else packed(array)
                for name, array in columns.items()
            },
        },
    }


def _named(names: Sequence[str], column: str, array: NDArray[Any]) -> Any:
    """A short column for people: names where the value has numbers of regions."""
    match column:
        case "leader" | "pin":
            return [names[place] if place >= 0 else None for place in array.tolist()]
        case "present" | "allowed":
            return [[names[place] for place in places_of(mask)] for mask in array.tolist()]
        case "survival":
            return [Survival(each).name.lower() for each in array.tolist()]
    return listed_or_packed(array)


def _limits(values: list[float]) -> list[float | None]:
    return [None if value == inf else value for value in values]


def problem_from(document: Any) -> Problem:
    """Read a problem from plain data and check it. Raises ProblemInvalid, naming the places."""
    document = known_fields(document, FIELDS)
    if document.get("format", FORMAT) != FORMAT:
        raise refuse("this format is not known", f"write format {FORMAT}", "format")
    names = _names(document)
    count = len(names)
    shards = _shards(names, _need(document, "shards"))
    given = known_fields(
        document.get("capacities", {}), tuple(f.name for f in fields(Capacities)), "capacities"
    )
    rows = {shard: row for row, shard in enumerate(shards.ids)}
    return checked(
        Problem(
            regions=names,
            rtt_ms=unpacked(_need(document, "rtt_ms"), "float64", "rtt_ms"),
            egress_usd_per_gb=_column(document, "egress_usd_per_gb"),
            storage_usd_per_gb_month=_column(document, "storage_usd_per_gb_month"),
            instance_usd_per_hour=_column(document, "instance_usd_per_hour"),
            shards=shards,
            capacities=Capacities(
                *(_capacity(given, field.name, count) for field in fields(Capacities))
            ),
            weights=Weights(**_numbers(document, "weights", Weights)),
            budget=Budget(**_numbers(document, "budget", Budget)),
            preferences=tuple(
                tuple(place_in(names, each, "preferences", i, j) for j, each in enumerate(order))
                for i, order in enumerate(document.get("preferences", []))
            ),
            anti_affinity=tuple(
                _group(rows, each, index)
                for index, each in enumerate(document.get("anti_affinity", []))
            ),
            drained=mask_in(names, document.get("drained", []), "drained"),
            quarantined=mask_in(names, document.get("quarantined", []), "quarantined"),
            nodes=nodes_from(document.get("nodes"), names, rows),
        )
    )


def _need(document: Mapping[str, Any], name: str, *place: str) -> Any:
    if name not in document:
        raise refuse(f"`{name}` is missing", "add it", *place, name)
    return document[name]


def _names(document: Mapping[str, Any]) -> tuple[str, ...]:
    names = _need(document, "regions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse("should be a list of names", "name the regions", "regions")
    if not names:
        raise refuse("there is no region", "keep at least one", "regions")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refuse(f"`{name}` is there twice", "name each once", "regions", index)
    return tuple(names)


def _column(document: Mapping[str, Any], name: str) -> NDArray[Any]:
    return unpacked(_need(document, name), "float64", name)


def _capacity(given: Mapping[str, Any], name: str, count: int) -> NDArray[Any]:
    if name not in given:
        return np.full(count, inf)
    array = unpacked(given[name], "float64", "capacities", name)
    return np.where(np.isnan(array), inf, array)


def _numbers(document: Mapping[str, Any], name: str, kind: type) -> dict[str, float]:
    known = tuple(field.name for field in fields(kind))
    given = known_fields(document.get(name, {}), known, name)
    for field, value in given.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number and not (value is None and kind is Budget):
            raise refuse(f"{value!r} is no number", "give one", name, field)
    return {field: inf if value is None else float(value) for field, value in given.items()}


def _group(rows: Mapping[str, int], value: Any, index: int) -> AntiAffinity:
    place = ("anti_affinity", index)
    known = tuple(field.name for field in fields(AntiAffinity))
    given = known_fields(value, known, *place)
    members = given.get("shards", [])
    for position, shard in enumerate(members):
        if shard not in rows:
            raise refuse(f"there is no shard {shard!r}", "name one", *place, "shards", position)
    return AntiAffinity(
        name=str(given.get("name", index)),
        shards=tuple(rows[shard] for shard in members),
        leaders_per_region_max=int(given.get("leaders_per_region_max", 1)),
    )


def _shards(names: Sequence[str], value: Any) -> Shards:
    given = known_fields(value, tuple(field.name for field in fields(Shards)), "shards")
    ids = _need(given, "ids", "shards")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise refuse("should be a list of names", "name the shards", "shards", "ids")
    count = len(ids)

    def column(name: str, dtype: str, default: Any = None) -> NDArray[Any]:
        if name not in given and default is not None:
            return np.full(count, default, dtype=dtype)
        return unpacked(_numbered(names, name, _need(given, name, "shards")), dtype, "shards", name)

    return Shards(
        ids=tuple(ids),
        writes_per_s=_by_origin(column("writes_per_s", "float32"), len(names)),
        reads_per_s=_by_origin(column("reads_per_s", "float32"), len(names)),
        write_bytes=column("write_bytes", "float32"),
        read_bytes=column("read_bytes", "float32"),
        size_bytes=column("size_bytes", "float64"),
        strong_share=column("strong_share", "float32", 0.0),
        survival=column("survival", "uint8", int(Survival.REGION)),
        voters=column("voters", "uint8", 3),
        leader=column("leader", "int16", NOWHERE),
        present=column("present", "uint64", 0),
        allowed=column("allowed", "uint64", (1 << len(names)) - 1),
        pin=column("pin", "int16", NOWHERE),
        preference=column("preference", "int32", NOWHERE),
    )


def _by_origin(array: NDArray[Any], regions: int) -> NDArray[Any]:
    """No shards at all is a table with no rows, which a list cannot say."""
    return array if array.size else np.empty((0, regions), dtype=array.dtype)


def _numbered(names: Sequence[str], column: str, value: Any) -> Any:
    """A column in which people wrote names, with the numbers and masks that are meant."""
    if not isinstance(value, list):
        return value
    place = ("shards", column)
    match column:
        case "leader" | "pin":
            return [
                NOWHERE if each is None else place_in(names, each, *place, row)
                for row, each in enumerate(value)
            ]
        case "present" | "allowed":
            masks = [mask_in(names, each, *place, row) for row, each in enumerate(value)]
            return packed(np.array(masks, dtype=np.uint64))
        case "survival":
            goals = {goal.name.lower(): int(goal) for goal in Survival}
            for row, each in enumerate(value):
                if each not in goals:
                    raise refuse(f"{each!r} is no survival goal", "zone or region", *place, row)
            return [goals[each] for each in value]
    return value
