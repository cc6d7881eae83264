"""Secrets do not belong into documents: what looks like one is refused, and never repeated.

A document is copied to every region, shown to every reader, and kept for many versions. So a value
that is certainly a secret is refused wherever it stands, and a field that a schema marks
`writeOnly` takes no value at all: name there, in another field, where the secret is to be found.
Nothing that this file finds is quoted in a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from regions.findings import Finding, Severity, pointer_to

HINT: Final = "keep it in a store for secrets, and name here where it is"

_SECRETS: Final = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"), "a private key"),
    (re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), "an AWS access key"),
    (re.compile(r"(?i)\bbearer +[a-z0-9._~+/-]{16}"), "a bearer token"),
    (re.compile(r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,2000}\."), "a JSON web token"),
    (re.compile(r"\b(?:ghp|gho|ghs|ghu)_[A-Za-z0-9]{36}"), "a GitHub token"),
    (re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10}"), "a Slack token"),
)
_NAMED: Final = re.compile(
    r"(?i)(?:^|[_.-])(?:password|passwd|secret|secret_?access_?key|private_?key|api_?key|token)$"
)
NAMED_CHARACTERS_MIN: Final = 8
"""Shorter texts in a field called `token` are taken for words, not for secrets."""


def secret_in(text: str) -> str | None:
    """What kind of secret a text holds, or None."""
    return next((kind for pattern, kind in _SECRETS if pattern.search(text)), None)


def find_secrets(content: Any) -> Iterator[Finding]:
    """Everything in a document that looks like a secret, by its place.

    A name that itself holds a secret is left out of the pointer.
    """
    yield from _walk(content, ())


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[Finding]:
    if isinstance(value, str):
        kind = secret_in(value)
        named = path[-1] if path else ""
        if kind is None and isinstance(named, str) and is_named_as_secret(named, value):
            kind = "a secret, by the name of its field"
        if kind is not None:
            yield _refused(path, kind)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _walk(item, (*path, at))
    elif isinstance(value, dict):
        for key, item in value.items():
            if kind := secret_in(key):
                yield _refused(path, f"{kind} as the name of a field")
            else:
                yield from _walk(item, (*path, key))


def is_named_as_secret(named: str, value: str) -> bool:
    """Whether a field of that name holds a secret, by the name and the look of the value."""
    if not _NAMED.search(named):
        return False
    return len(value) >= NAMED_CHARACTERS_MIN and not any(c.isspace() for c in value)


def _refused(path: tuple[str | int, ...], kind: str) -> Finding:
    return Finding(Severity.ERROR, pointer_to(*path), f"this looks like {kind}", HINT)
