"""What an argument of a command must be; anything else is refused before the command begins.

A check takes what came and returns what the command works with: epochs come as decimal strings and
leave as integers. It raises BadArgument, and then nothing of the command has been done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from regions.codec import EPOCH_BOUND

Check: TypeAlias = Callable[[Any], Any]


class BadArgument(ValueError):
    """An argument has not the form that its command asks for."""


def text(value: Any) -> str:
    """Text of at least one character."""
    if type(value) is str and value:
        return value
    raise BadArgument(value)


def any_text(value: Any) -> str:
    """Text, which may be empty."""
    if type(value) is str:
        return value
    raise BadArgument(value)


def binary(value: Any) -> bytes | str:
    """A value nobody here looks into."""
    if type(value) is bytes or type(value) is str:
        return value
    raise BadArgument(value)


def count(value: Any) -> int:
    """An integer from 0, below 2^53."""
    if type(value) is int and 0 <= value < EPOCH_BOUND:
        return value
    raise BadArgument(value)


def positive(value: Any) -> int:
    """An integer from 1, below 2^53."""
    if type(value) is int and 0 < value < EPOCH_BOUND:
        return value
    raise BadArgument(value)


def flag(value: Any) -> bool:
    """0 or 1."""
    if type(value) is int and 0 <= value <= 1:
        return value == 1
    raise BadArgument(value)


EPOCH_DIGITS_MAX = len(str(EPOCH_BOUND))


@lru_cache(maxsize=4_096)
def _read_epoch(digits: str) -> int:
    few = len(digits) <= EPOCH_DIGITS_MAX  # more could not be below the bound, and may not be read
    if few and digits.isascii() and digits.isdigit() and (digits[0] != "0" or digits == "0"):
        epoch = int(digits)
        if epoch < EPOCH_BOUND:
            return epoch
    raise BadArgument(digits)


def epoch_or_none(value: Any) -> int:
    """An epoch in decimal, 0 for none."""
    if type(value) is str:
        return _read_epoch(value)
    raise BadArgument(value)


def epoch(value: Any) -> int:
    """An epoch in decimal, from 1."""
    number = epoch_or_none(value)
    if number:
        return number
    raise BadArgument(value)


def epoch_or_follower(value: Any) -> int:
    """An epoch from 1, or "" for a reader that does not lead (0)."""
    return 0 if value == "" and type(value) is str else epoch(value)


def listed(value: Any) -> list[Any]:
    """A list of anything; its command looks at what is in it."""
    if type(value) is list:
        return value
    raise BadArgument(value)


def texts(value: Any) -> list[str]:
    """A list of texts."""
    return [text(each) for each in listed(value)]


def check_all(checks: tuple[Check, ...], values: list[Any]) -> list[Any]:
    """The arguments after their checks. Raises BadArgument, also for too few or too many."""
    if len(values) != len(checks):
        raise BadArgument(values)
    return [check(value) for check, value in zip(checks, values, strict=True)]
