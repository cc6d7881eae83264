"""Turn what pydantic says about a document into findings that its author understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from regions.findings import Finding, Severity, pointer_to

_SHOWN_MAX = 60
_MESSAGES: Mapping[str, str] = {
    "too_short": "at least one is needed here",
    "too_long": "these are too many",
    "tuple_type": "should be a list",
    "model_type": "should be a mapping of fields",
    "dict_type": "should be a mapping",
    "mapping_type": "should be a mapping",
}
_HINTS: Mapping[str, str] = {
    "string_type": "put quotes around it if text is meant",
    "int_type": "write a whole number, without quotes",
    "int_from_float": "write a whole number",
    "float_type": "write a number, without quotes",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "too_short": "add one",
    "too_long": "list fewer",
}


def findings_of(error: ValidationError, known_fields: Iterable[str]) -> tuple[Finding, ...]:
    """Give one finding for each thing pydantic found, in the document's order.

    `known_fields` are the names to suggest for a field that does not exist.
    """
    return tuple(_findings(error, sorted(set(known_fields))))


def _findings(error: ValidationError, known_fields: list[str]) -> Iterator[Finding]:
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # what is listed is wrong, which is said already, and so does not count
        place = [step for step in detail["loc"] if step != "[key]"]
        message, hint = _words(detail, known_fields)
        yield Finding(Severity.ERROR, pointer_to(*place), message, hint)


def _words(detail: ErrorDetails, known_fields: list[str]) -> tuple[str, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else "document"
    hint = _HINTS.get(kind, "change the value")
    if kind == "missing":
        return f"`{name}` is missing", "add it"
    if kind == "extra_forbidden":
        near = get_close_matches(name, known_fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "delete it"
        return f"there is no field `{name}` here", hint
    if kind == "too_short":
        return _MESSAGES[kind], hint
    if kind == "string_pattern_mismatch":
        message = f"{_shown(detail['input'])} does not have the right form"
        return message, f"the form is {detail['ctx']['pattern']}"
    message = _MESSAGES.get(kind, detail["msg"].removeprefix("Input "))
    return f"{message}, not {_shown(detail['input'])}", hint


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 3] + "..."
