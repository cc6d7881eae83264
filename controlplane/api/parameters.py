"""Query parameters: one table says what a path takes, reads it, and describes it to the world.

Parsing is strict. A parameter that the path does not know, or that comes twice, or that is not what
it should be, is refused by name: a misspelt `max_stalenes_ms` must not become a strong read in
silence. All complaints about one request come at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from config.strategy import BAKE_MS_MAX, StrategyName
from controlplane.problems import InputError, invalid

LIST_ITEMS_MAX: Final = 1_000
INTEGER_MAX: Final = 2**53 - 1
TEXT_CHARACTERS_MAX: Final = 8_192
REASON_CHARACTERS_MAX: Final = 500

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_BOOLEANS: Final = {"true": True, "false": False}


class Kind(Enum):
    """What a parameter is, named as in JSON Schema."""

    TEXT = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    FLAG = "flag"  # a boolean that is true by being there


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter, with its bounds where it has any."""

    name: str
    description: str
    kind: Kind = Kind.TEXT
    required: bool = False
    least: int = 0
    most: int = INTEGER_MAX
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> str | int | bool:
        """The value that `text` stands for. Raises ValueError with a complaint."""
        match self.kind:
            case Kind.TEXT:
                if self.choices and text not in self.choices:
                    raise ValueError(f"must be one of {', '.join(self.choices)}")
                return text
            case Kind.INTEGER:
                if not _DIGITS.fullmatch(text) or not self.least <= int(text) <= self.most:
                    raise ValueError(f"must be an integer from {self.least} to {self.most}")
                return int(text)
            case Kind.FLAG if not text:
                return True
        if text not in _BOOLEANS:
            raise ValueError("must be true or false")
        return _BOOLEANS[text]

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its value."""
        match self.kind:
            case Kind.TEXT:
                bounds: dict[str, Any] = {"enum": list(self.choices)} if self.choices else {}
                return {"type": "string"} | bounds
            case Kind.INTEGER:
                return {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"type": "boolean"}


class Parameters:
    """All the query parameters of one path."""

    __slots__ = ("_by_name", "_required", "all")

    def __init__(self, *parameters: Parameter) -> None:
        self.all = parameters
        self._by_name: Mapping[str, Parameter] = {p.name: p for p in parameters}
        self._required = tuple(p.name for p in parameters if p.required)

    def parse(self, raw: str) -> dict[str, Any]:
        """Values by name, of those that are there. `raw` is the query as it was sent.

        Raises RequestRefused (`invalid`) with a complaint for each thing that is wrong.
        """
        found: dict[str, Any] = {}
        if not raw and not self._required:
            return found
        errors: list[InputError] = []
        for part in raw.split("&"):
            if not part:
                continue
            name, _, text = part.partition("=")
            parameter = self._by_name.get(name)
            if parameter is None:
                errors.append(InputError(self._unknown(), parameter=_shown(name)))
            elif name in found:
                errors.append(InputError("is given more than once", parameter=name))
            else:
                try:
                    found[name] = parameter.read(decoded(text))
                except ValueError as complaint:
                    found[name] = None
                    errors.append(InputError(str(complaint), parameter=name))
        missing = (name for name in self._required if name not in found)
        errors += [InputError("is required", parameter=name) for name in missing]
        if errors:
            raise invalid(*errors)
        return found

    def _unknown(self) -> str:
        known = ", ".join(self._by_name) or "none"
        return f"is not a parameter of this path; it takes {known}"


NO_PARAMETERS: Final = Parameters()


def decoded(text: str) -> str:
    """What an escaped part of a query means. Raises ValueError when it is not UTF-8."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        text = unescaped(text)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"is longer than {TEXT_CHARACTERS_MAX} characters")
    return text


def unescaped(text: str) -> str:
    """A text without its percent-escapes. Raises ValueError when it is not UTF-8."""
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("holds a % that escapes nothing")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError("is not valid UTF-8") from None


def _shown(name: str) -> str:
    """A name that came from outside, cut to what a person wants to read."""
    return name.encode("ascii", "backslashreplace").decode()[:64]


LIMIT: Final = Parameter(
    "limit", "How many items at most.", Kind.INTEGER, least=1, most=LIST_ITEMS_MAX
)
CONTINUE: Final = Parameter(
    "continue", "Go on behind the page that gave this; the rest of the query must be the same."
)
REASON: Final = Parameter("reason", "Why this is done; kept in the history.")
DRY_RUN: Final = Parameter(
    "dry_run", "Check everything, say what would be done, and do nothing.", Kind.BOOLEAN
)
FROM: Final = Parameter(
    "from",
    "Go on behind this revision, as Last-Event-ID does; 0 begins with the oldest that is kept.",
    Kind.INTEGER,
)
ROLLOUT: Final = Parameter(
    "rollout",
    "Begin a rollout of what the edit makes, by this strategy; without it, it has no effect yet.",
    choices=tuple(each.value for each in StrategyName),
)
BAKE_MS: Final = Parameter(
    "bake_ms", "How long each wave of that rollout is watched.", Kind.INTEGER, most=BAKE_MS_MAX
)
FINAL_BAKE_MS: Final = Parameter(
    "final_bake_ms", "How long all regions are watched at its end.", Kind.INTEGER, most=BAKE_MS_MAX
)
LIST_PARAMETERS: Final = Parameters(LIMIT, CONTINUE)
ORDER_PARAMETERS: Final = Parameters(REASON, DRY_RUN)
EDIT_PARAMETERS: Final = Parameters(REASON, DRY_RUN, ROLLOUT, BAKE_MS, FINAL_BAKE_MS)


def reason_in(found: Mapping[str, Any]) -> str:
    """The reason given among the parameters, "" without one. Raises RequestRefused."""
    reason = str(found.get("reason", ""))
    if len(reason) > REASON_CHARACTERS_MAX or not reason.isprintable():
        complaint = f"must be one line of text, at most {REASON_CHARACTERS_MAX} characters"
        raise invalid(InputError(complaint, parameter="reason"))
    return reason
