"""Holding content to a JSON Schema (draft 2020-12), and following a schema through content.

The library `jsonschema` decides; this file adds what a service needs that takes schemas from
strangers: no schema is fetched from anywhere, patterns are tried on short texts only, repeated
items are found in one pass, and messages say what is wrong at which place without quoting values
that nobody should see. Which schemas are taken at all is decided in `config/schema_rules.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import jsonschema
from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from referencing import Registry

from config.document import canonical
from regions.findings import Finding, Severity, pointer_to

NAMES_KEYWORD: Final = "x-leadplane-names"
"""`document` or `region`: a text with this keyword is the name of one, which has to be there."""
SECRET_KEYWORD: Final = "writeOnly"
PATTERN_CHARACTERS_MAX: Final = 512
"""Longer texts match no pattern: what a pattern costs grows with the text."""
FINDINGS_MAX: Final = 50
SHOWN_MAX: Final = 60

Path = tuple[str | int, ...]


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not matches(pattern, value):
        yield jsonschema.ValidationError("pattern")


def _unique_items(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    if wanted and isinstance(value, list):
        distinct = {canonical(item) for item in value}
        if len(distinct) < len(value):
            yield jsonschema.ValidationError("uniqueItems")


_Validator: Final = extend(
    Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern of a schema; a text that is too long never does."""
    return len(text) <= PATTERN_CHARACTERS_MAX and re.search(pattern, text) is not None


def validate(schema: Mapping[str, Any], content: Any) -> tuple[Finding, ...]:
    """Everything in which content is not as its schema says, at most `FINDINGS_MAX`.

    The schema must have passed `schema_rules.check_schema`.
    """
    validator = _Validator(schema, registry=Registry())
    found: dict[Finding, None] = {}  # of a lacking field the library speaks once for each other
    for error in validator.iter_errors(content):
        found |= dict.fromkeys(_findings(error))
        if len(found) >= FINDINGS_MAX:
            break
    return tuple(sorted(found, key=lambda finding: finding.pointer)[:FINDINGS_MAX])


def _findings(error: Any) -> Iterator[Finding]:
    path: Path = tuple(error.absolute_path)
    value, limit, keyword = error.instance, error.validator_value, error.validator
    match keyword:
        case "required":
            missing = [name for name in limit if name not in value]
            yield from (
                _error((*path, name), "this field is missing", "add it") for name in missing
            )
        case "additionalProperties" if limit is False:
            known = error.schema.get("properties", {})
            patterns = error.schema.get("patternProperties", {})
            hint = f"it takes {', '.join(known) or 'none'}"
            for name in value:
                if name not in known and not any(matches(each, name) for each in patterns):
                    yield _error((*path, name), "there is no field of this name here", hint)
        case _:
            wanted = _WANTED.get(keyword, lambda limit: f"does not hold to `{keyword}`")
            yield _error(path, f"{_shown(value)} {wanted(limit)}", "change the value")


def _types(limit: Any) -> str:
    kinds = [limit] if isinstance(limit, str) else limit
    return f"is not of type {' or '.join(kinds)}"


_WANTED: Final[dict[str, Any]] = {
    "type": _types,
    "enum": lambda limit: f"is none of {', '.join(map(_shown, limit))}",
    "const": lambda limit: f"is not {_shown(limit)}",
    "minimum": lambda limit: f"is less than {limit}",
    "maximum": lambda limit: f"is more than {limit}",
    "exclusiveMinimum": lambda limit: f"is not more than {limit}",
    "exclusiveMaximum": lambda limit: f"is not less than {limit}",
    "multipleOf": lambda limit: f"is not a multiple of {limit}",
    "minLength": lambda limit: f"is shorter than {limit} characters",
    "maxLength": lambda limit: f"is longer than {limit} characters",
    "pattern": lambda limit: f"does not fit the pattern {limit}",
    "minItems": lambda limit: f"has fewer than {limit} items",
    "maxItems": lambda limit: f"has more than {limit} items",
    "uniqueItems": lambda limit: "holds an item twice",
    "minProperties": lambda limit: f"has fewer than {limit} fields",
    "maxProperties": lambda limit: f"has more than {limit} fields",
    "anyOf": lambda limit: "fits none of the forms it may have",
    "oneOf": lambda limit: "fits not exactly one of the forms it may have",
    "not": lambda limit: "has a form that it must not have",
    "dependentRequired": lambda limit: "lacks a field that another one asks for",
}


def _error(path: Path, message: str, hint: str) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*path), message, hint)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"the list of {len(value)}"
    if isinstance(value, dict):
        return "the object"
    text = canonical(value).decode()
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def marked(schema: Any, content: Any, keyword: str) -> Iterator[tuple[Path, Any, Any]]:
    """Where a schema's keyword applies in content: place, value there, what the keyword says.

    The name of a field is given with the place of the field. Every branch of a choice is followed,
    whether it fits or not.
    """
    yield from _marked(schema, schema, content, keyword, ())


def _marked(
    root: Any, schema: Any, value: Any, keyword: str, path: Path
) -> Iterator[tuple[Path, Any, Any]]:
    if not isinstance(schema, dict):
        return
    if keyword in schema:
        yield path, value, schema[keyword]
    if "$ref" in schema:
        yield from _marked(root, local_schema(root, schema["$ref"]), value, keyword, path)
    for part in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(part, ()):
            yield from _marked(root, branch, value, keyword, path)
    if isinstance(value, dict):
        for key, item in value.items():
            here = (*path, key)
            yield from _marked(root, schema.get("propertyNames"), key, keyword, here)
            for inner in _schemas_of_field(schema, key):
                yield from _marked(root, inner, item, keyword, here)
    elif isinstance(value, list):
        first = schema.get("prefixItems", ())
        for at, item in enumerate(value):
            inner = first[at] if at < len(first) else schema.get("items")
            yield from _marked(root, inner, item, keyword, (*path, at))


def _schemas_of_field(schema: Mapping[str, Any], key: str) -> Iterable[Any]:
    found = [schema["properties"][key]] if key in schema.get("properties", {}) else []
    patterns = schema.get("patternProperties", {})
    found += [inner for pattern, inner in patterns.items() if matches(pattern, key)]
    return found or [schema.get("additionalProperties")]


def local_schema(root: Any, reference: str) -> Any:
    """What `#/$defs/name` refers to. Raises KeyError when there is nothing."""
    return root["$defs"][reference.removeprefix("#/$defs/")]
