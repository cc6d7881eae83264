"""Conditions of feature flags: what is asked of an attribute, made into plain functions once.

A condition holds, or it does not: an attribute that is missing, or that is of another type than is
asked for, fulfils none (but `exists: false`). So a rule never fails on what an application sends.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

Test: TypeAlias = Callable[[Any], bool]
"""Whether an attribute's value fulfils a condition; None stands for an attribute that is missing.
"""
VersionKey: TypeAlias = tuple[int, int, int, tuple[Any, ...]]

VERSIONS_KEPT: Final = 4_096
"""How many texts are remembered with what they say as versions."""

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_RELEASE: Final = (1,)
_NUMBERS: Final = (int, float)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def compile_when(when: Mapping[str, Any]) -> tuple[tuple[str, Test], ...]:
    """Attributes with what is asked of each; all of it must hold.

    Raises ValueError for an operator that this release does not know, or cannot carry out.
    """
    return tuple(
        (attribute, _test(name, wanted))
        for attribute, condition in when.items()
        for name, wanted in condition.items()
    )


@lru_cache(maxsize=VERSIONS_KEPT)
def version_key(text: str) -> VersionKey | None:
    """What a version is compared by (Semantic Versioning 2.0.0), None for what is none."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, before = found.groups()
    rank = _RELEASE if before is None else (0, *map(_identifier, before.split(".")))
    return int(major), int(minor), int(patch), rank


def _identifier(text: str) -> tuple[int, int, str]:
    """Numbers come before words."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _test(name: str, wanted: Any) -> Test:
    make = _OPERATORS.get(name)
    if make is None:
        raise ValueError(f"there is no condition {name}")
    return make(wanted)


def _equals(wanted: Any) -> Test:
    return _one_of((wanted,))


def _one_of(wanted: Sequence[Any]) -> Test:
    texts = frozenset(each for each in wanted if isinstance(each, str))
    truths = frozenset(each for each in wanted if isinstance(each, bool))
    numbers = frozenset(each for each in wanted if _is_number(each))
    if all(isinstance(each, str) for each in wanted):
        return lambda value: isinstance(value, str) and value in texts

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        if isinstance(value, bool):
            return value in truths
        return _is_number(value) and value in numbers

    return test


def _none_of(wanted: Sequence[Any]) -> Test:
    is_one = _one_of(wanted)
    return lambda value: value is not None and not is_one(value)


def _texts(wanted: Any) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _starts_with(wanted: Any) -> Test:
    texts = _texts(wanted)
    return lambda value: isinstance(value, str) and value.startswith(texts)


def _ends_with(wanted: Any) -> Test:
    texts = _texts(wanted)
    return lambda value: isinstance(value, str) and value.endswith(texts)


def _contains(wanted: Any) -> Test:
    texts = _texts(wanted)

    def test(value: Any) -> bool:
        return isinstance(value, str | list | tuple) and any(text in value for text in texts)

    return test


def _number(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    return lambda wanted: lambda value: _is_number(value) and compare(value, wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _semver(wanted: Mapping[str, str]) -> Test:
    bounds = []
    for name, text in wanted.items():
        key = version_key(text)
        if key is None:
            raise ValueError(f"{text} is no version: write it as 1.2.3")
        bounds.append((_COMPARISONS[name], key))

    def test(value: Any) -> bool:
        key = version_key(value) if isinstance(value, str) else None
        if key is None:
            return False
        for compare, bound in bounds:  # noqa: SIM110 - twice as quick as all()
            if not compare(key, bound):
                return False
        return True

    return test


def _exists(wanted: bool) -> Test:
    return lambda value: (value is not None) == wanted


_OPERATORS: Final[Mapping[str, Callable[[Any], Test]]] = {
    "equals": _equals,
    "in": _one_of,
    "not_in": _none_of,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "contains": _contains,
    ">": _number(operator.gt),
    ">=": _number(operator.ge),
    "<": _number(operator.lt),
    "<=": _number(operator.le),
    "semver": _semver,
    "exists": _exists,
}
