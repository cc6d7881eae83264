"""What a schema cannot say of feature flags: variants that are there, shares that come to a whole,
prerequisites that lead nowhere back, and names that no other document has.

Each finding has its place in the document. A flag that is taken here can be evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from config.document import FLAGS_PREFIX
from config.feed import Feed
from config.flag_conditions import compile_when
from config.flag_shape import (
    ASKED_MAX,
    UNITS_PER_PERCENT,
    WHOLE,
    asked_by,
    flags_in,
    in_order,
    off_of,
    units_of,
    variants_of,
)
from regions.findings import Finding, Severity, pointer_to

UNIT_ERROR_MAX: Final = 1e-6
"""How far a share may be from a whole unit: what writing it as a decimal fraction costs."""

Path = tuple[str | int, ...]


def check_flags(name: str, content: Mapping[str, Any], feed: Feed) -> Iterator[Finding]:
    """What is wrong with a document of flags. `feed` holds it already."""
    flags = content["flags"]
    yield from _elsewhere(name, flags, feed)
    for flag, definition in flags.items():
        place = ("flags", flag)
        yield from _check_variants(definition, place)
        yield from _check_served(definition, "default", place)
        for at, rule in enumerate(definition.get("rules", ())):
            yield from _check_rule(definition, rule, (*place, "rules", at))
        yield from _check_prerequisites(flag, flags)
    yield from _check_circles(flags)


def _elsewhere(name: str, flags: Iterable[str], feed: Feed) -> Iterator[Finding]:
    homes: dict[str, str] = {}
    for other in feed.beginning(FLAGS_PREFIX):
        if other.name != name:
            homes |= dict.fromkeys(flags_in(other.content), other.name)
    for flag in flags:
        if flag in homes:
            message = f"{homes[flag]} has a flag of this name"
            yield _error(message, "give it another name, or take it out there first", "flags", flag)


def _check_variants(flag: Mapping[str, Any], place: Path) -> Iterator[Finding]:
    variants = variants_of(flag)
    kinds = {name: _type_of(value) for name, value in variants.items()}
    first = next(iter(kinds.values()))
    for name, kind in kinds.items():
        if kind != first:
            message = f"it is of type {kind}, others of this flag are of type {first}"
            hint = "applications ask for a flag by its type: give all variants one"
            yield _error(message, hint, *place, "variants", name)
    if off_of(flag) not in variants:
        hint = f"say with `off` which it has while it is disabled: {', '.join(variants)}"
        if "off" in flag:
            yield _unknown(flag["off"], variants, *place, "off")
        else:
            yield _error("it has no variant `off`", hint, *place, "off")


def _check_served(
    flag: Mapping[str, Any], field: str, place: Path, given: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    """A flag, or a rule of it (`given`), serves one variant or splits."""
    given = flag if given is None else given
    variants = variants_of(flag)
    if (field in given) == ("split" in given):
        yield _error(f"it takes either `{field}` or `split`", "give one of them", *place)
    elif field in given and given[field] not in variants:
        yield _unknown(given[field], variants, *place, field)
    elif "split" in given:
        yield from _check_split(given["split"], variants, (*place, "split"))


def _check_split(
    shares: Iterable[Mapping[str, Any]], variants: Mapping[str, Any], place: Path
) -> Iterator[Finding]:
    total = 0
    for at, share in enumerate(shares):
        units = units_of(share)
        total += units
        if share["serve"] not in variants:
            yield _unknown(share["serve"], variants, *place, at, "serve")
        if abs(share["percent"] * UNITS_PER_PERCENT - units) > UNIT_ERROR_MAX:
            message = f"{share['percent']} percent has more than three decimals"
            yield _error(message, "round it", *place, at, "percent")
    if total != WHOLE:
        message = f"the shares come to {total / UNITS_PER_PERCENT:g} percent"
        yield _error(message, "make it 100", *place)


def _check_rule(flag: Mapping[str, Any], rule: Mapping[str, Any], place: Path) -> Iterator[Finding]:
    yield from _check_served(flag, "serve", place, rule)
    if "when" not in rule and "regions" not in rule:
        message = "it fits always, so no rule behind it ever counts"
        yield _error(message, "say `when`, or in which `regions`; or make it the default", *place)
    for attribute, condition in rule.get("when", {}).items():
        try:
            compile_when({attribute: condition})
        except ValueError as complaint:
            yield _error(str(complaint), "mend it", *place, "when", attribute)


def _check_prerequisites(name: str, flags: Mapping[str, Any]) -> Iterator[Finding]:
    for other, wanted in asked_by(flags[name]).items():
        place = ("flags", name, "prerequisites", other)
        if other not in flags:
            yield _error(
                f"this document has no flag {other}", "name one that stands beside it", *place
            )
            continue
        variants = variants_of(flags[other])
        for at, variant in enumerate(wanted):
            if variant not in variants:
                yield _unknown(variant, variants, *place, at)


def _check_circles(flags: Mapping[str, Any]) -> Iterator[Finding]:
    """Prerequisites that lead back, and such as take too many evaluations."""
    asked: dict[str, int] = {}
    for name in in_order(flags):
        asked[name] = sum(1 + asked.get(other, 0) for other in asked_by(flags[name]))
        if asked[name] > ASKED_MAX:
            message = f"its prerequisites, and theirs, take {asked[name]} evaluations"
            hint = f"ask for less: at most {ASKED_MAX} are taken"
            yield _error(message, hint, "flags", name, "prerequisites")
            asked[name] = 0  # what asks for it is told of its own
    circling = {name: flag for name, flag in flags.items() if name not in asked}
    for name in circling:
        for other in asked_by(flags[name]):
            way = _way(other, name, circling)
            if way:
                message = f"it leads back to itself: {' -> '.join((name, *way))}"
                hint = "take one of them out"
                yield _error(message, hint, "flags", name, "prerequisites", other)


def _way(start: str, goal: str, flags: Mapping[str, Any]) -> tuple[str, ...]:
    """A way along prerequisites, nothing if there is none."""
    ways: list[tuple[str, ...]] = [(start,)] if start in flags else []
    seen = {start}
    while ways:
        way = ways.pop()
        if way[-1] == goal:
            return way
        for other in asked_by(flags[way[-1]]):
            if other in flags and other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
    return "object"


def _unknown(variant: str, variants: Mapping[str, Any], *place: str | int) -> Finding:
    return _error(f"there is no variant {variant}", f"there are {', '.join(variants)}", *place)


def _error(message: str, hint: str, *place: str | int) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*place), message, hint)
