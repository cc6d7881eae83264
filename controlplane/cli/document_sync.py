"""`leadplane config sync`: the fleet's documents as a directory has them.

What is to be done is found out first, tried at the fleet without effect, and shown. Then each
document is edited on the condition that it is still what was looked at, and rolled out: so an edit
that somebody made meanwhile is not lost, but told.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    edit,
)
from controlplane.cli.document_text import Source
from controlplane.cli.output import (
    NOTHING,
    Column,
    Row,
    console,
    format_option,
    print_document,
    table,
)
from controlplane.cli.rollout_start import order, strategy_body
from controlplane.cli.sync_plan import EDITS, Action, Item, compared, texts_in

if TYPE_CHECKING:
    from rich.console import RenderableType

DIFFERENT = 2
ACTION_STYLES = {"create": "green", "change": "yellow", "delete": "red", "roll out": "yellow"}


def _in_force(row: Row) -> str | None:
    """By version, the regions that are to run it; one version everywhere needs no names."""
    by_version: dict[str, list[str]] = {}
    for region, version in row["in_force"].items():
        by_version.setdefault("?" if version is None else str(version), []).append(region)
    if len(by_version) == 1:
        return next(iter(by_version))
    return "; ".join(f"{v} in {', '.join(regions)}" for v, regions in by_version.items()) or None


ITEMS = (
    Column("DOCUMENT", lambda i: i["document"]),
    Column("TO DO", lambda i: i["action"], lambda i: ACTION_STYLES.get(i["action"], "")),
    Column("DIRECTORY", lambda i: i["directory"]),
    Column("NEWEST", lambda i: i["newest"], right=True),
    Column("IN FORCE", _in_force),
    Column("BEHIND", lambda i: i["behind"] or None, lambda _: "yellow", sparse=True),
    Column("NOTE", lambda i: i["note"], sparse=True),
)
OUTCOMES = (
    Column("DOCUMENT", lambda o: o["document"]),
    Column("DONE", lambda o: o["done"]),
    Column("VERSION", lambda o: o["version"], right=True),
    Column("ROLLOUT", lambda o: o["rollout"], right=True),
    Column("WHY NOT", lambda o: o["problem"], sparse=True),
)


@click.command("sync")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--plan", is_flag=True, help="Show what would be done; exit status 2 if anything.")
@click.option("--prune", is_flag=True, help="Delete documents that the directory does not have.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), default="canary", show_default=True,
    help="How each changed document is rolled out.",
)  # fmt: skip
@bake_options
@click.option("--reason", help="Kept with each revision and rollout.")
@format_option
def sync_documents(
    directory: Path, plan: bool, prune: bool, yes: bool, strategy: str, bake_ms: int | None,
    final_bake_ms: int | None, reason: str | None, output: str,
) -> None:  # fmt: skip
    """Bring documents into step with DIRECTORY: each NAME.yaml or NAME.json is a document.

    Every changed document gets a rollout of its own; one that has to wait for another is queued.
    Exit status: 0 done, or nothing to do; 1 something was refused; 2 with --plan, when something
    differs.

    \b
    Examples:
      leadplane config sync documents/ --plan
      leadplane config sync documents/ --yes --strategy canary
    """
    access = fleet_access()
    wish = Wish(reason, False, strategy, bake_ms, final_bake_ms)
    items = compared(access, texts_in(directory), prunes=prune)
    _try(items, wish)
    planned = {"items": [_row(item) for item in items]}
    to_do = [item for item in items if item.action is not Action.NOTHING]
    refused = [item for item in items if item.is_refused]
    if plan:
        print_document(planned, _draw_plan, output)
        if refused:
            raise click.exceptions.Exit(1)
        raise click.exceptions.Exit(DIFFERENT if any(i.differs for i in items) else 0)
    if refused:
        console(to_stderr=True).print(_draw_plan(planned, False))
        raise CommandFailed("some documents would be refused: nothing was done", str(directory))
    if to_do and not yes:
        if not is_at_terminal():
            hint = "look with --plan, then say --yes"
            raise CommandFailed("nobody is there to be asked", str(directory), hint)
        ask(f"Do this, and roll out by {strategy}?", _draw_plan(planned, False))
    outcomes = _carry_out(access, to_do, wish)
    stuck = [item for item in items if item.differs and item.action is Action.NOTHING]
    print_document({"items": outcomes}, lambda d, wide: _draw_done(d, wide, items, stuck), output)
    if any(outcome["problem"] for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _row(item: Item) -> dict[str, Any]:
    """One document of the plan, as it is printed."""
    has = {Action.CREATE: "new", Action.CHANGE: "other"}.get(item.action, "same")
    return {
        "document": item.name,
        "action": item.action.value,
        "directory": "absent" if item.file is None else has,
        "newest": item.newest and item.newest["version"],
        "in_force": item.in_force,
        "behind": item.behind,
        "note": item.note,
        "refused": item.is_refused,
        "problem": item.problem or None,
        "diff": item.diff,
    }


def _draw_plan(planned: Any, wide: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [table(ITEMS, planned["items"], wide)]
    for row in planned["items"]:
        if row["diff"]:
            parts += [Text(f"\n{row['document']}"), table(CHANGES, row["diff"], wide)]
        if row["problem"]:
            parts.append(Text(f"\n{row['document']}: {row['problem']}"))
    return Group(*parts)


def _draw_done(document: Any, wide: bool, items: list[Item], stuck: list[Item]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"{item.name}: {item.note}") for item in stuck]
    if document["items"]:
        follow = "Follow them: leadplane rollouts list --watch"
        return Group(*parts, table(OUTCOMES, document["items"], wide), Text(), Text(follow))
    count = sum(item.file is not None for item in items)
    return Group(*parts, Text(f"Nothing to do: {count} documents looked at."))


def _try(items: Iterable[Item], wish: Wish) -> None:
    """Ask the fleet what each edit would come to.

    A document that is new, or a schema, may be what a later edit needs; a deletion may be possible
    after other edits. A refusal is only told then.
    """
    edits = brings = False
    for item in items:
        if item.action not in EDITS:
            continue
        may_come = edits if item.action is Action.DELETE else brings
        try:
            item.diff = _edited(item, replace(wish, dry_run=True))["diff"]
        except Problem as problem:
            if problem.document.get("retry_after_ms") is not None:
                raise
            item.problem = problem.message
            item.is_refused = not (may_come and problem.kind in ("invalid", "document-in-use"))
            item.note = "would be refused" if item.is_refused else "depends on what comes first"
        edits = True
        brings |= item.action is Action.CREATE or item.name.startswith("schema.")


def _edited(item: Item, wish: Wish) -> Any:
    """Make one edit, on the condition that the document is what was looked at."""
    path = document_path(item.name)
    if item.newest is not None:
        headers = {"If-Match": item.newest["etag"]}
    else:
        headers = {"If-None-Match": "*"}
    if item.text is None:
        return edit("DELETE", path, None, headers, wish)
    source = Source("#/content", item.text, str(item.file))
    return edit("PUT", path, {"content": item.text.content}, headers, wish, source)


def _carry_out(access: FleetAccess, items: Iterable[Item], wish: Wish) -> list[dict[str, Any]]:
    """Edit and roll out each; what is refused does not keep the others back.

    What was refused is tried again as long as others get on, since it may need one of them.
    """
    done: dict[str, dict[str, Any]] = {}
    left = list(items)
    names = [item.name for item in left]
    while left:
        for item in left:
            done[item.name] = _one(access, item, wish)
        refused = [item for item in left if done[item.name]["problem"]]
        if len(refused) == len(left):
            break
        left = refused
    return [done[name] for name in names]


def _one(access: FleetAccess, item: Item, wish: Wish) -> dict[str, Any]:
    outcome: dict[str, Any] = {
        "document": item.name, "done": item.action.value, "version": item.version,
        "rollout": None, "problem": None,
    }  # fmt: skip
    try:
        if item.action in EDITS:
            edited = _edited(item, wish)
            outcome["version"] = edited["document"]["version"]
            outcome["rollout"] = edited["rollout"]
        else:
            outcome["rollout"] = _rolled_out(access, item, wish)
    except CommandFailed as failure:
        outcome["done"], outcome["problem"] = NOTHING, failure.message
    return outcome


def _rolled_out(access: FleetAccess, item: Item, wish: Wish) -> int:
    """Begin a rollout of the newest version, behind others that go on."""
    assert wish.rollout is not None
    body = {
        "document": item.name, "version": item.version, "queue": True,
        "strategy": strategy_body(wish.rollout, wish.bake_ms, wish.final_bake_ms),
    }  # fmt: skip
    number: int = order(access, "/v1/rollouts", body, wish.reason)["rollout"]
    return number
