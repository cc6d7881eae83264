"""Which JSON Schemas are taken: those that can be checked quickly, and mean what they say.

A schema comes from an operator and is run by the leader of the system shard, so it must not be able
to hold that up. Taken is the plain part of draft 2020-12: keywords by a list, so that a misspelt
one is refused and not passed over; references to `$defs` of the same schema that do not lead back
to themselves; patterns without repeated groups, which a search cannot lose itself in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from jsonschema import Draft202012Validator

from config.schema import NAMES_KEYWORD, local_schema
from regions.findings import Finding, Severity, pointer_to

UNFOLDED_MAX: Final = 1_000
"""How many schemas a schema may come to when its references are written out."""
PATTERN_MAX: Final = 256
REPEATS_MAX: Final = 2
"""How many repetitions of a varying number of times a pattern may hold: `*`, `+`, `{1,5}`; one less
where it does not begin with `^`, since a search then begins at every character."""
OPTIONS_MAX: Final = 8
"""How many parts of a pattern may be there or not."""
NAMED_THINGS: Final = ("document", "region")

_ONE: Final = ("additionalProperties", "propertyNames", "items", "not")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS: Final = ("properties", "patternProperties", "$defs")
_PLAIN: Final = (
    "$ref", "$schema", "const", "default", "dependentRequired", "deprecated", "description",
    "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength",
    "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
    "pattern", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly", NAMES_KEYWORD,
)  # fmt: skip
KEYWORDS: Final = frozenset((*_ONE, *_LISTS, *_MAPS, *_PLAIN))
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE: Final = re.compile(r"#/\$defs/[A-Za-z0-9._-]+")
_REPEATED_GROUP: Final = re.compile(r"(?<!\\)\)[*+{]")
_REPEAT: Final = re.compile(r"(?<!\\)[*+]|(?<!\\)\{\d*,\d*\}")
_OPTION: Final = re.compile(r"(?<![\\(*+?}])\?")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_NOT_REGULAR: Final = re.compile(r"\(\?(?!:)|\\[1-9]")

Path = tuple[str | int, ...]


def check_schema(schema: Any) -> tuple[Finding, ...]:
    """Everything for which a schema is not taken; nothing when content can be held to it."""
    if not isinstance(schema, dict):
        return (_error((), "a schema is an object", 'begin with {"type": "object"}'),)
    found = list(_check(schema, schema, ()))
    if found:
        return tuple(found)
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        path: Path = tuple(error.absolute_path)
        found.append(_error(path, "this is not JSON Schema", "see draft 2020-12"))
    if not found and unfolded(schema, schema) > UNFOLDED_MAX:
        message = f"written out without references it holds more than {UNFOLDED_MAX} schemas"
        found.append(_error(("$defs",), message, "refer to less"))
    return tuple(found)


def _check(root: Any, schema: Any, path: Path) -> Iterator[Finding]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield _error(path, "this is no schema", "write an object, true or false")
        return
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword not in KEYWORDS:
            near = get_close_matches(keyword, KEYWORDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "leave it out"
            yield _error(here, "this keyword is not taken", hint)
        elif keyword in _ONE:
            yield from _check(root, value, here)
        elif keyword in _LISTS and isinstance(value, list):
            for at, inner in enumerate(value):
                yield from _check(root, inner, (*here, at))
        elif keyword in _MAPS and isinstance(value, dict):
            for name, inner in value.items():
                if keyword == "patternProperties":
                    yield from _check_pattern(name, (*here, name))
                yield from _check(root, inner, (*here, name))
        else:
            yield from _check_value(root, keyword, value, here)


def _check_value(root: Any, keyword: str, value: Any, here: Path) -> Iterator[Finding]:
    match keyword:
        case "$ref":
            yield from _check_reference(root, value, here)
        case "pattern":
            yield from _check_pattern(value, here)
        case "$schema" if value != DRAFT:
            yield _error(here, "only one draft is known here", f"write {DRAFT}")
        case _ if keyword == NAMES_KEYWORD and value not in NAMED_THINGS:
            yield _error(here, "this names nothing", f"write {' or '.join(NAMED_THINGS)}")


def _check_reference(root: Any, value: Any, here: Path) -> Iterator[Finding]:
    hint = "refer to `#/$defs/NAME` of this schema"
    if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
        yield _error(here, "nothing outside of the schema is referred to", hint)
        return
    definitions = root.get("$defs")
    name = value.removeprefix("#/$defs/")
    if not isinstance(definitions, dict) or name not in definitions:
        yield _error(here, "there is no such definition", hint)
    elif _leads_back(root, name):
        yield _error(here, "the reference leads back to itself", "bound how deep it goes")


def _leads_back(root: Any, name: str) -> bool:
    seen: set[str] = set()
    ahead = list(_referred(root["$defs"][name]))
    while ahead:
        at = ahead.pop()
        if at == name:
            return True
        if at not in seen:
            seen.add(at)
            ahead += _referred(root["$defs"].get(at))
    return False


def _referred(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/$defs/")
        for inner in schema.values():
            yield from _referred(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _referred(inner)


def _check_pattern(pattern: Any, here: Path) -> Iterator[Finding]:
    if not isinstance(pattern, str) or len(pattern) > PATTERN_MAX:
        yield _error(here, f"a pattern is text of at most {PATTERN_MAX} characters", "shorten it")
        return
    bare = _CLASS.sub("c", pattern)
    repeats_max = _repeats_max(bare)
    if _REPEATED_GROUP.search(bare) or _NOT_REGULAR.search(bare):
        hint = "repeat single characters and classes only"
        yield _error(here, "groups that are repeated or looked at twice are not taken", hint)
    elif len(_REPEAT.findall(bare)) > repeats_max or len(_OPTION.findall(bare)) > OPTIONS_MAX:
        message = f"more than {repeats_max} repetitions, or {OPTIONS_MAX} parts that may be absent"
        yield _error(here, message, "say with fewer what the text looks like")
    else:
        try:
            re.compile(pattern)
        except re.error as complaint:
            yield _error(here, f"this is no pattern: {complaint}", "mend it")


def _repeats_max(pattern: str) -> int:
    is_anchored = pattern.startswith("^") and "|" not in pattern
    return REPEATS_MAX if is_anchored else REPEATS_MAX - 1


def unfolded(root: Any, schema: Any) -> int:
    """How many schemas it comes to, counted no further than is of interest."""
    if not isinstance(schema, dict):
        return 1
    total = 1
    if "$ref" in schema:
        total += unfolded(root, local_schema(root, schema["$ref"]))
    for inner in _inner_schemas(schema):
        if total > UNFOLDED_MAX:
            break
        total += unfolded(root, inner)
    return total


def _inner_schemas(schema: dict[str, Any]) -> Iterator[Any]:
    yield from (schema[keyword] for keyword in _ONE if keyword in schema)
    for keyword in _LISTS:
        yield from schema.get(keyword, ())
    for keyword in ("properties", "patternProperties"):
        yield from schema.get(keyword, {}).values()


def _error(path: Path, message: str, hint: str) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*path), message, hint)
