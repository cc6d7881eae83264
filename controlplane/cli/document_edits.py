"""`leadplane config put` and `delete`, and what every edit of a document has in common.

A document is edited as a file: `get --content` writes the version it is of into the first line, and
`put` sends that as the condition of the edit. What the fleet refuses is told by line.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, Problem, fleet_access
from controlplane.cli.output import Column, format_option, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from regions.marked_yaml import MarkedYaml

VERSION_LINE = re.compile(r'^# \S+ is version \d+, etag (?P<etag>"[^"\s]+")')
SHOWN_MAX = 60


def _value(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


CHANGES = (
    Column("PATH", lambda c: c["path"] or "/"),
    Column("CHANGE", lambda c: c["change"]),
    Column("BEFORE", lambda c: _value(c["before"])),
    Column("AFTER", lambda c: _value(c["after"])),
)


@dataclass(frozen=True, slots=True)
class Text:
    """A file's content, the version it says it is of, and where its values stand."""

    content: Any
    etag: str | None
    marked: MarkedYaml


def edit_options(command: Any) -> Any:
    """Add the options that every edit has."""
    for option in (
        format_option,
        click.option("--dry-run", is_flag=True, help="Say what would change, and do nothing."),
        click.option("--reason", help="Kept with the revision."),
    ):
        command = option(command)
    return command


def condition_options(command: Any) -> Any:
    """Add the options that say on which version an edit is meant."""
    for option in (
        click.option("--force", is_flag=True, help="Whatever version it is by now."),
        click.option("--if-match", metavar="ETAG", help="Only if it is this version."),
        click.option("--create", is_flag=True, help="Only if there is none yet."),
    ):
        command = option(command)
    return command


@click.command("put")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--schema", help="Hold it to the document schema.SCHEMA from now on.")
@click.option("--no-schema", is_flag=True, help="Hold it to no schema any more.")
@condition_options
@edit_options
def put_document(
    name: str, file: str, schema: str | None, no_schema: bool, create: bool,
    if_match: str | None, force: bool, reason: str | None, dry_run: bool, output: str,
) -> None:  # fmt: skip
    """Give document NAME the content of FILE, YAML or JSON; - is standard input.

    The version that is meant is in the file, as `get --content` wrote it, or is named by an option.
    """
    text = read_text(file)
    body: dict[str, Any] = {"content": text.content}
    if schema or no_schema:
        body["schema"] = schema
    headers = conditions(name, text.etag, create, if_match, force)
    path = f"/v1/config/{quote(name, safe='')}"
    document = edit("PUT", path, body, headers, reason, dry_run, (text, "#/content"))
    show(lambda: document, draw_edit, output)


@click.command("delete")
@click.argument("name")
@click.option("--if-match", metavar="ETAG", help="Only if it is this version.")
@edit_options
def delete_document(
    name: str, if_match: str | None, reason: str | None, dry_run: bool, output: str
) -> None:
    """Delete document NAME as it is now; its versions are kept."""
    path = f"/v1/config/{quote(name, safe='')}"
    headers = {"If-Match": if_match or present_etag(fleet_access(), name)}
    document = edit("DELETE", path, None, headers, reason, dry_run)
    show(lambda: document, draw_edit, output)


def present_etag(access: FleetAccess, name: str) -> str:
    """The version that a document has now. Raises Problem when there is none."""
    etag: str = access.get(f"/v1/config/{quote(name, safe='')}")["etag"]
    return etag


def edit(
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    reason: str | None,
    dry_run: bool,
    source: tuple[Text, str] | None = None,
) -> Any:
    """Send an edit, and give what it came to. What is refused is told by the lines of `source`."""
    query = {"reason": reason, "dry_run": True if dry_run else None}
    sent = None if body is None else json.dumps(body).encode()
    if sent is not None:
        headers = {**headers, "Content-Type": "application/json"}
    try:
        return fleet_access().send(method, path, query, headers, sent).document()
    except Problem as problem:
        if source is None or not problem.document.get("errors"):
            raise
        raise Problem(_by_line(problem, *source), problem.status, problem.where) from None


def conditions(
    name: str, etag: str | None, create: bool, if_match: str | None, force: bool
) -> dict[str, str]:
    """The header that says which version is meant. Raises CommandFailed where nothing says so."""
    if sum([create, if_match is not None, force]) > 1:
        raise click.UsageError("--create, --if-match and --force exclude each other")
    if create:
        return {"If-None-Match": "*"}
    meant = "*" if force else if_match or etag
    if meant is None:
        raise CommandFailed(
            f"nothing says which version of {name} is meant",
            hint=f"begin with `leadplane config get {name} --content > FILE`, or say --create",
        )
    return {"If-Match": meant}


def read_text(file: str) -> Text:
    """A file as content. Raises CommandFailed with the line of everything that is wrong."""
    from regions.marked_yaml import read_yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise CommandFailed(f"the file cannot be read: {failure}", file) from None
    marked = read_yaml(text)
    if marked.findings:
        raise CommandFailed("\n".join(map(str, marked.findings)), file)
    try:
        json.dumps(marked.value, allow_nan=False)
    except (TypeError, ValueError) as failure:
        hint = "put quotes around dates and the like"
        raise CommandFailed(f"it holds what JSON cannot say: {failure}", file, hint) from None
    said = VERSION_LINE.match(text)
    return Text(marked.value, said["etag"] if said else None, marked)


def yaml_text(document: Any) -> str:
    """A document's content as YAML, the version it is of in the first line."""
    import yaml

    head = f"# {document['name']} is version {document['version']}, etag {document['etag']}\n"
    content = document["content"]
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _by_line(problem: Problem, text: Text, pointer: str) -> dict[str, Any]:
    """The same problem, each place with the line of the file on which it stands."""
    errors = []
    for error in problem.document["errors"]:
        place = str(error.get("pointer", ""))
        line = text.marked.line_of(place.removeprefix(pointer)) if place else None
        named = f"line {line}, {place.removeprefix(pointer) or '/'}" if line else place
        errors.append({**error, "pointer": named} if named else error)
    return {**problem.document, "errors": errors}


def draw_edit(document: Any, wide: bool) -> RenderableType:
    """What an edit came to: one sentence, the changes, and what they would do to the fleet."""
    from rich.console import Group
    from rich.text import Text as RichText

    parts: list[RenderableType] = [RichText(_sentence(document))]
    if document["diff"]:
        parts += [RichText(""), table(CHANGES, document["diff"], wide)]
    radius = document["blast_radius"]
    if radius and radius["summary"]:
        parts += [RichText(""), RichText("\n".join(radius["summary"]))]
    return Group(*parts)


def _sentence(document: Any) -> str:
    revision = document["document"]
    name, version = revision["name"], revision["version"]
    if not document["changed"]:
        return f"{name} is so already: version {version}. Nothing was done."
    if document["dry_run"]:
        does = "be deleted" if revision["deleted"] else f"become version {version}"
        return f"{name} would {does}. Nothing was done."
    if revision["deleted"]:
        return f"{name} is deleted, {document['effect']}."
    return f"{name} is version {version} now, in force {document['effect']}: {revision['etag']}"
