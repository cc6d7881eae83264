"""Turn what pydantic says about a document into findings that its author understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from regions.findings import Finding, Severity, pointer_to

_SHOWN_MAX = 60
_HINTS: Mapping[str, str] = {
    "missing": "add it",
    "string_type": "put quotes around it if text is meant",
    "string_pattern_mismatch": "use lower-case letters, digits and inner hyphens",
    "int_type": "write a whole number, without quotes",
    "int_from_float": "write a whole number",
    "float_type": "write a number, without quotes",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "model_type": "write a mapping of fields here",
    "dict_type": "write a mapping here",
    "mapping_type": "write a mapping here",
    "tuple_type": "write a list here",
    "too_short": "list at least one",
    "too_long": "list fewer",
}


def findings_of(error: ValidationError, known_fields: Iterable[str]) -> tuple[Finding, ...]:
    """Give one finding for each thing pydantic found, in the document's order.

    `known_fields` are the names to suggest for a field that does not exist.
    """
    return tuple(_findings(error, sorted(set(known_fields))))


def _findings(error: ValidationError, known_fields: list[str]) -> Iterator[Finding]:
    for detail in error.errors(include_url=False):
        place = [step for step in detail["loc"] if step != "[key]"]
        message, hint = _words(detail, known_fields)
        yield Finding(Severity.ERROR, pointer_to(*place), message, hint)


def _words(detail: ErrorDetails, known_fields: list[str]) -> tuple[str, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else "document"
    if kind == "missing":
        return f"`{name}` is missing", _HINTS[kind]
    if kind == "extra_forbidden":
        near = get_close_matches(name, known_fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "delete it"
        return f"there is no field `{name}` here", hint
    message = f"{_uncapitalised(detail['msg'])}, not {_shown(detail['input'])}"
    return message, _HINTS.get(kind, "change the value")


def _uncapitalised(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 3] + "..."
