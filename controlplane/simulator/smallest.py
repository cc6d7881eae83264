"""The smallest part: of many things that together make something fail, few that still do.

This is delta debugging: parts are left out while the rest fails, at first large ones, then smaller
ones, down to single things. What remains is minimal in that no single thing can be left out; it
need not be the smallest that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(things: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """The least part of `things`, in their order, that still fails, as far as leaving out finds it.

    `fails` must be true of all things together; it is asked at most about the square of their
    number times, usually far less.
    """
    left = list(things)
    size = len(left)
    while size > 0:
        before = len(left)
        start = 0
        while start < len(left):
            rest = left[:start] + left[start + size :]
            if fails(rest):
                left = rest
            else:
                start += size
        if size > 1 or len(left) == before:
            size //= 2  # single things are tried again as long as that helps
    return left
