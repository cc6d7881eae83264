"""Documents as text: YAML that says which version it is of; what is wrong is told by line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.cli.connection import CommandFailed, Problem

if TYPE_CHECKING:
    from regions.marked_yaml import MarkedYaml

VERSION_LINE = re.compile(r'^# (?P<name>\S+) is version (?P<version>\d+), etag (?P<etag>"[^"\s]+")')


@dataclass(frozen=True, slots=True)
class Text:
    """A file's content, the version of which document it says it is, and where its values stand."""

    content: Any
    name: str | None
    etag: str | None
    marked: MarkedYaml


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of a request came from: at its pointer stands what `text` holds at `inside`.

    `file` is "" for the only one.
    """

    pointer: str
    text: Text
    file: str = ""
    inside: str = ""

    def named(self, place: str) -> str | None:
        """A place in the request as one in the file, if it came from there."""
        if place != self.pointer and not place.startswith(f"{self.pointer}/"):
            return None
        pointer = self.inside + place.removeprefix(self.pointer)
        line = self.text.marked.line_of(pointer)
        file = f"{self.file}, " if self.file else ""
        return None if line is None else f"{file}line {line}, {pointer or '/'}"


def read_text(file: str) -> Text:
    """A file as content. Raises CommandFailed with the line of everything that is wrong."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise CommandFailed(f"the file cannot be read: {failure}", file) from None
    return text_as_content(text, file)


def text_as_content(text: str, place: str, lines_before: int = 0) -> Text:
    """YAML, or JSON, as content; `lines_before` stand above it where people see it.

    Raises CommandFailed with the line of everything that is wrong.
    """
    from regions.marked_yaml import read_yaml

    marked = read_yaml("\n" * lines_before + text)
    if marked.findings:
        raise CommandFailed("\n".join(map(str, marked.findings)), place)
    try:
        json.dumps(marked.value, allow_nan=False)
    except (TypeError, ValueError) as failure:
        hint = "put quotes around dates and the like"
        raise CommandFailed(f"it holds what JSON cannot say: {failure}", place, hint) from None
    said = VERSION_LINE.match(text)
    return Text(marked.value, said and said["name"], said and said["etag"], marked)


def yaml_text(document: Any) -> str:
    """A document's content as YAML, the version it is of in the first line."""
    import yaml

    content = document["content"]
    return version_line(document) + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def version_line(document: Any) -> str:
    """The line that says which version a text is of."""
    return f"# {document['name']} is version {document['version']}, etag {document['etag']}\n"


def told_by_line(problem: Problem, sources: Iterable[Source]) -> Problem:
    """The same problem, with the lines of the files from which the request was made."""
    known = list(sources)
    errors = []
    for error in problem.document.get("errors") or ():
        place = str(error.get("pointer", ""))
        named = next((found for each in known if (found := each.named(place))), place)
        errors.append({**error, "pointer": named} if named else error)
    if not errors:
        return problem
    return Problem({**problem.document, "errors": errors}, problem.status, problem.where)
