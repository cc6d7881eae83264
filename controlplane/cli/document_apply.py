"""`leadplane config apply` and `rollback`: one document, shown before it is done.

Both show what would change, ask whoever sits at a terminal, and say what is in force afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.asking import ask, is_at_terminal
from controlplane.cli.connection import CommandFailed, FleetAccess, Problem, fleet_access
from controlplane.cli.document_edits import (
    CHANGES,
    STRATEGIES,
    Wish,
    bake_options,
    document_path,
    draw_edit,
    dry_run_option,
    edit,
    edit_details,
    edit_options,
    edit_sentences,
)
from controlplane.cli.document_text import Source, Text, read_text
from controlplane.cli.output import format_option, show, table
from controlplane.cli.rollout_start import draw_begun, order, strategy_body
from controlplane.cli.rollout_views import draw_steps

if TYPE_CHECKING:
    from rich.console import RenderableType

YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command("apply")
@click.option(
    "--file", "-f", required=True, type=click.Path(dir_okay=False, allow_dash=True),
    help="YAML or JSON; - is standard input.",
)  # fmt: skip
@click.option("--name", help="Which document; else what the file says, or how it is called.")
@YES
@dry_run_option
@edit_options
def apply_document(file: str, name: str | None, yes: bool, wish: Wish, output: str) -> None:
    """Have a document be as FILE is: show what changes, ask, and make it so.

    A FILE that begins with the version that it was made from, as `get --content` writes it, is
    meant for that version; any other one for the version of now. It creates what is not there.

    \b
    Examples:
      leadplane config apply -f placement.yaml --dry-run
      leadplane config apply -f placement.yaml --rollout canary --bake 10m
    """
    text = read_text(file)
    name = name or text.name or _name_of(file)
    headers = _condition(fleet_access(), name, text)
    source = Source("#/content", text)
    body, path = {"content": text.content}, document_path(name)
    if wish.dry_run or yes or not is_at_terminal():
        document = edit("PUT", path, body, headers, wish, source)
        show(lambda: document, draw_edit, output)
        return
    trial = edit("PUT", path, body, headers, replace(wish, dry_run=True), source)
    if trial["changed"] or wish.rollout is not None:
        from rich.text import Text as RichText

        details = edit_details(trial, output == "wide")
        ask(_question(trial, wish), RichText(_would(trial)), *details)
    document = edit("PUT", path, body, headers, wish, source)
    show(lambda: document, _draw_outcome, output)


def _name_of(file: str) -> str:
    if file == "-":
        raise click.UsageError("nothing says which document is meant: say --name")
    return Path(file).stem


def _condition(access: FleetAccess, name: str, text: Text) -> dict[str, str]:
    """The version that is meant: the one in the file if it is of this document, or that of now."""
    if text.etag is not None and text.name == name:
        return {"If-Match": text.etag}
    try:
        return {"If-Match": access.get(document_path(name))["etag"]}
    except Problem as problem:
        if problem.kind != "unknown-document":
            raise
        return {"If-None-Match": "*"}


def _would(trial: Any) -> str:
    revision = trial["document"]
    if not trial["changed"]:
        return f"{revision['name']} is so already: version {revision['version']}."
    return f"{revision['name']} would become version {revision['version']}:"


def _question(trial: Any, wish: Wish) -> str:
    if wish.rollout is None:
        return "Make this version? It has no effect until it is rolled out."
    what = "Make this version, and roll it out" if trial["changed"] else "Roll it out"
    return f"{what} by {wish.rollout}?"


def _draw_outcome(document: Any, wide: bool) -> RenderableType:
    """What became of it; the changes were shown before."""
    from rich.text import Text as RichText

    return RichText(edit_sentences(document))


@click.command("rollback")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=0))
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default="canary", show_default=True,
    help="Which regions go back together.",
)  # fmt: skip
@bake_options
@click.option("--queue", is_flag=True, help="Wait for a rollout that goes on, of it or related.")
@click.option("--supersede", is_flag=True, help="Take the place of the one of it that goes on.")
@YES
@click.option("--reason", help="Kept with the rollout.")
@dry_run_option
@format_option
def roll_document_back(
    name: str, version: int, strategy: str, bake_ms: int | None, final_bake_ms: int | None,
    queue: bool, supersede: bool, yes: bool, reason: str | None, dry_run: bool, output: str,
) -> None:  # fmt: skip
    """Begin a rollout of an old VERSION of document NAME.

    No version is made: the newest one stays the newest, and can be rolled out again.

    \b
    Example:
      leadplane config rollback placement 3
    """
    if queue and supersede:
        raise click.UsageError("--queue and --supersede exclude each other")
    access = fleet_access()
    body: dict[str, Any] = {
        "document": name, "version": version,
        "strategy": strategy_body(strategy, bake_ms, final_bake_ms),
    }  # fmt: skip
    if queue or supersede:
        body["queue" if queue else "supersede"] = True
    if not (yes or dry_run) and is_at_terminal():
        _ask_about(access, name, version, body, reason)
    rollout = order(access, "/v1/rollouts", body, reason, dry_run)
    show(lambda: rollout, draw_steps if dry_run else draw_begun, output)


def _ask_about(access: FleetAccess, name: str, version: int, body: Any, reason: str | None) -> None:
    from rich.text import Text as RichText

    newest = _newest(access, name)
    changes = _changes(access, name, newest, version)
    steps = draw_steps(order(access, "/v1/rollouts", body, reason, dry_run=True), False)
    said = f"From version {newest}, the newest, to version {version} of {name}:"
    ask("Begin this rollout?", RichText(said), table(CHANGES, changes, False), RichText(), steps)


def _changes(access: FleetAccess, name: str, newest: int, version: int) -> Any:
    """What would be different; nothing is told of version 0 where that is no document at all."""
    try:
        query = {"from": newest, "to": version}
        return access.get(f"{document_path(name)}/diff", **query)["diff"]
    except Problem as problem:
        if version or problem.kind != "unknown-version":
            raise
        return []


def _newest(access: FleetAccess, name: str) -> int:
    """The number of the newest version, a deletion among them."""
    versions = access.items(f"{document_path(name)}/versions")["items"]
    if not versions:
        raise CommandFailed(f"no version of {name} is kept", hint="see `leadplane config list`")
    return int(versions[-1]["version"])
