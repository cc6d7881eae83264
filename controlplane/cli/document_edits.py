"""`leadplane config put` and `delete`, and what every edit of a document has in common.

A document is edited as a file: `get --content` writes the version it is of into the first line, and
`put` sends that as the condition of the edit. What the fleet refuses is told by line. An edit makes
a version; a rollout brings it into force, begun with the edit (`--rollout`) or later.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from config.strategy import StrategyName
from controlplane.cli.connection import CommandFailed, FleetAccess, Problem, fleet_access
from controlplane.cli.document_text import Source, read_text, told_by_line
from controlplane.cli.durations import METAVAR, duration_ms
from controlplane.cli.output import Column, Row, format_option, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType


STRATEGIES = tuple(each.value for each in StrategyName)
SHOWN_MAX = 60
CHANGE_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}


def _value(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def _change_style(row: Row) -> str:
    return CHANGE_STYLES.get(row["change"], "")


CHANGES = (
    Column("PATH", lambda c: c["path"] or "/"),
    Column("CHANGE", lambda c: c["change"], _change_style),
    Column("BEFORE", lambda c: _value(c["before"])),
    Column("AFTER", lambda c: _value(c["after"])),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of an edit beside its content: why, and by which strategy it is rolled out."""

    reason: str | None = None
    dry_run: bool = False
    rollout: str | None = None
    bake_ms: int | None = None
    final_bake_ms: int | None = None

    def query(self) -> dict[str, Any]:
        """The same as parameters of a request."""
        return {
            "reason": self.reason, "dry_run": self.dry_run or None, "rollout": self.rollout,
            "bake_ms": self.bake_ms, "final_bake_ms": self.final_bake_ms,
        }  # fmt: skip


def bake_options(command: Any) -> Any:
    """Add the options that say for how long a rollout is watched."""
    for option in (
        click.option(
            "--final-bake", "final_bake_ms", type=duration_ms, metavar=METAVAR,
            help="How long all regions are watched at its end.",
        ),
        click.option(
            "--bake", "bake_ms", type=duration_ms, metavar=METAVAR,
            help="How long each wave of the rollout is watched: 90s, 10m, 1h30m.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def edit_options(command: Any) -> Any:
    """Add the options that every edit has; the command is given them as one `wish`."""

    @functools.wraps(command)
    def with_wish(
        *arguments: Any,
        reason: str | None,
        rollout: str | None,
        bake_ms: int | None,
        final_bake_ms: int | None,
        dry_run: bool = False,
        **more: Any,
    ) -> Any:
        if rollout is None and (bake_ms is not None or final_bake_ms is not None):
            raise click.UsageError("--bake and --final-bake are of a rollout: say --rollout too")
        wish = Wish(reason, dry_run, rollout, bake_ms, final_bake_ms)
        return command(*arguments, wish=wish, **more)

    found: Any = with_wish
    for option in (
        format_option,
        bake_options,
        click.option(
            "--rollout", type=click.Choice(STRATEGIES),
            help="Bring it into force at once, by this strategy; without it, it has no effect yet.",
        ),
        click.option("--reason", help="Kept with the revision."),
    ):  # fmt: skip
        found = option(found)
    return found


dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would change, do nothing.")


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
@dry_run_option
@edit_options
def put_document(
    name: str, file: str, schema: str | None, no_schema: bool, create: bool,
    if_match: str | None, force: bool, wish: Wish, output: str,
) -> None:  # fmt: skip
    """Give document NAME the content of FILE, YAML or JSON; - is standard input.

    The version that is meant is in the file, as `get --content` wrote it, or is named by an option.

    \b
    Examples:
      leadplane config put placement placement.yaml
      leadplane config put sampling sampling.yaml --create --rollout canary
    """
    text = read_text(file)
    body: dict[str, Any] = {"content": text.content}
    if schema or no_schema:
        body["schema"] = schema
    headers = conditions(name, text.etag, create, if_match, force)
    document = edit("PUT", document_path(name), body, headers, wish, Source("#/content", text))
    show(lambda: document, draw_edit, output)


@click.command("delete")
@click.argument("name")
@click.option("--if-match", metavar="ETAG", help="Only if it is this version.")
@dry_run_option
@edit_options
def delete_document(name: str, if_match: str | None, wish: Wish, output: str) -> None:
    """Delete document NAME as it is now; its versions are kept.

    \b
    Example:
      leadplane config delete sampling --dry-run
    """
    headers = {"If-Match": if_match or present_etag(fleet_access(), name)}
    document = edit("DELETE", document_path(name), None, headers, wish)
    show(lambda: document, draw_edit, output)


def document_path(name: str) -> str:
    """Where a document is served."""
    return f"/v1/config/{quote(name, safe='')}"


def present_etag(access: FleetAccess, name: str) -> str:
    """The version that a document has now. Raises Problem when there is none."""
    etag: str = access.get(document_path(name))["etag"]
    return etag


def edit(
    method: str,
    path: str,
    body: Any,
    headers: Mapping[str, str],
    wish: Wish,
    source: Source | None = None,
) -> Any:
    """Send an edit, and give what it came to. What is refused is told by the lines of `source`."""
    sent = None if body is None else json.dumps(body).encode()
    if sent is not None:
        headers = {**headers, "Content-Type": "application/json"}
    try:
        return fleet_access().send(method, path, wish.query(), headers, sent).document()
    except Problem as problem:
        if source is None:
            raise
        raise told_by_line(problem, [source]) from None


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


def draw_edit(document: Any, wide: bool) -> RenderableType:
    """What an edit came to: a sentence or two, the changes, what they would do to the fleet."""
    from rich.console import Group
    from rich.text import Text as RichText

    return Group(RichText(edit_sentences(document)), *edit_details(document, wide))


def edit_details(document: Any, wide: bool) -> list[RenderableType]:
    """The changes that an edit makes, or would make, and what shards and groups lose by them."""
    from rich.text import Text as RichText

    parts: list[RenderableType] = []
    if document["diff"]:
        parts += [RichText(""), table(CHANGES, document["diff"], wide)]
    radius = document["blast_radius"]
    if radius and radius["summary"]:
        parts += [RichText(""), RichText("\n".join(radius["summary"]))]
    return parts


def edit_sentences(document: Any) -> str:
    """What an edit made, whether that has effect, and what to type next, in words."""
    revision = document["document"]
    name, version = revision["name"], revision["version"]
    if document["dry_run"] and document["changed"]:
        does = "be deleted" if revision["deleted"] else f"become version {version}"
        return f"{name} would {does}. Nothing was done."
    if not document["changed"]:
        then = in_force_by(document) if document["rollout"] else "Nothing was done."
        return f"{name} is so already: version {version}. {then}"
    made = f"deleted by version {version}" if revision["deleted"] else f"version {version} now"
    return f"{name} is {made}: {revision['etag']}\n{in_force_by(document)}"


def in_force_by(document: Any) -> str:
    """Which rollout brings an edit into force, or which command would."""
    revision, number = document["document"], document["rollout"]
    if number is not None:
        return f"Rollout {number} brings it into force: leadplane rollouts get {number} --watch"
    begin = f"leadplane rollouts start {revision['name']} --version {revision['version']}"
    return f"It is in force nowhere yet. Roll it out: {begin}"
