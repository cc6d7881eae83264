"""The nodes of a problem as plain data, and back: names in place of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import inf
from typing import Any

from shards.placement.nodes import Apart, Bearing, Nodes, Pairs, Scope
from shards.placement.packing import known_fields, place_in, refuse

FIELDS = tuple(field.name for field in fields(Nodes) if field.name != "barred")
Numbers = Mapping[str, int]


def document_of_nodes(nodes: Nodes, regions: Sequence[str], ids: Sequence[str]) -> dict[str, Any]:
    """The nodes as plain data; `nodes_from` gives equal ones back."""
    return {
        "names": list(nodes.names),
        "region": [regions[place] for place in nodes.region],
        "zone": list(nodes.zone),
        "limits": _limits(nodes.limits),
        "zone_limits": _limits(nodes.zone_limits),
        "apart": [
            {"name": each.name, "shards": [ids[row] for row in each.shards], "scope": each.scope}
            for each in nodes.apart
        ],
        "pins": {ids[row]: nodes.names[node] for row, node in nodes.pins},
        "wishes": {ids[row]: nodes.names[node] for row, node in nodes.wishes},
    }


def _limits(bearing: Bearing) -> dict[str, float | None]:
    pairs = zip(fields(Bearing), bearing.all, strict=True)
    return {field.name: None if most == inf else most for field, most in pairs}


def nodes_from(value: Any, regions: Sequence[str], rows: Numbers) -> Nodes | None:
    """Read nodes. Raises ProblemInvalid, naming the places."""
    if value is None:
        return None
    given = known_fields(value, FIELDS, "nodes")
    names = tuple(str(name) for name in given.get("names", ()))
    numbers = {name: number for number, name in enumerate(names)}
    zones = tuple(str(zone) for zone in given.get("zone", [""] * len(names)))
    places = given.get("region", [])
    if not len(names) == len(numbers) == len(places) == len(zones):
        raise refuse("names, regions and zones do not match", "give one of each a node", "nodes")
    return Nodes(
        names=names,
        region=tuple(place_in(regions, r, "nodes", "region", n) for n, r in enumerate(places)),
        zone=zones,
        limits=_bearing(given, "limits"),
        zone_limits=_bearing(given, "zone_limits"),
        apart=tuple(_apart(rows, each, n) for n, each in enumerate(given.get("apart", []))),
        pins=_pairs(given, "pins", rows, numbers),
        wishes=_pairs(given, "wishes", rows, numbers),
    )


def _bearing(given: Mapping[str, Any], name: str) -> Bearing:
    known = tuple(field.name for field in fields(Bearing))
    limits = known_fields(given.get(name, {}), known, "nodes", name)
    for field, most in limits.items():
        is_number = isinstance(most, int | float) and not isinstance(most, bool)
        if most is not None and not (is_number and most > 0):
            raise refuse(f"{most!r} is no limit", "give more than 0, or null", "nodes", name, field)
    return Bearing(**{field: inf if most is None else most for field, most in limits.items()})


def _apart(rows: Numbers, value: Any, index: int) -> Apart:
    place = ("nodes", "apart", index)
    given = known_fields(value, ("name", "shards", "scope"), *place)
    if given.get("scope") not in tuple(Scope):
        raise refuse(f"{given.get('scope')!r} is no scope", "node or zone", *place, "scope")
    shards = tuple(_known(rows, shard, *place, "shards") for shard in given.get("shards", []))
    return Apart(str(given.get("name", index)), shards, Scope(given["scope"]))


def _pairs(given: Mapping[str, Any], name: str, rows: Numbers, nodes: Numbers) -> Pairs:
    return tuple(
        sorted(
            (_known(rows, shard, "nodes", name), _known(nodes, node, "nodes", name, shard))
            for shard, node in given.get(name, {}).items()
        )
    )


def _known(numbers: Numbers, name: Any, *place: str | int) -> int:
    if name not in numbers:
        raise refuse(f"there is no {name!r}", "name one of the problem's", *place)
    return numbers[name]
