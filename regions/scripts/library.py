"""The function library as text: one program, put together from the sources of each package.

The text is the same wherever it is made, so a store that holds it can be compared with it byte by
byte. Its digest stands in its second line, where a person may read it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

NAME = "leadplane"
_DIGEST_MARK = "-- leadplane function library "


@dataclass(frozen=True, slots=True)
class Library:
    """What FUNCTION LOAD is given."""

    code: str
    digest: str


def read_sources(package: str, names: Iterable[str]) -> list[str]:
    """The Lua files of a package, in that order."""
    folder = files(package)
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in names]


def assemble(*sources: list[str]) -> Library:
    """One library of the sources of several packages, those below first."""
    body = "\n".join(text for package in sources for text in package)
    digest = sha256(body.encode()).hexdigest()[:16]
    return Library(f"#!lua name={NAME}\n{_DIGEST_MARK}{digest}\n{body}", digest)


def digest_in(code: str) -> str | None:
    """The digest that a library's text names, None when Leadplane did not make it."""
    for line in code.splitlines()[:2]:
        if line.startswith(_DIGEST_MARK):
            return line.removeprefix(_DIGEST_MARK)
    return None
