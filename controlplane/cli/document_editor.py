"""`leadplane config edit`: a document in an editor, as often as it takes.

What the fleet refuses comes back into the editor with the reasons on top, as comments; what was
written, comments among it, stays. Comments are for whoever edits: a document does not keep them.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    OutcomeUnknown,
    Problem,
    Unreachable,
    fleet_access,
)
from controlplane.cli.document_edits import (
    Wish,
    document_path,
    draw_edit,
    edit,
    edit_options,
)
from controlplane.cli.document_text import (
    VERSION_LINE,
    Source,
    text_as_content,
    told_by_line,
    version_line,
    yaml_text,
)
from controlplane.cli.output import show

MARK = "#! "
"""Begins each line of reasons; such lines are taken out again before the text is read."""


@click.command("edit")
@click.argument("name")
@edit_options
def edit_document(name: str, wish: Wish, output: str) -> None:
    """Open document NAME in $VISUAL or $EDITOR as YAML, and make what is saved its next version.

    What is refused is opened again, with the reasons on top. Leave without saving to give up; what
    was written is kept in a file then.

    \b
    Example:
      leadplane config edit placement --rollout canary
    """
    document = _edited(fleet_access(), name, wish)
    if document is None:
        click.echo("Nothing was changed.", err=True)
        return
    show(lambda: document, draw_edit, output)


def _edited(access: FleetAccess, name: str, wish: Wish) -> Any | None:
    """What came of an edit, after as many attempts as it took; None if nothing was changed."""
    text, reasons = yaml_text(access.get(document_path(name))), ""
    while (written := _written(text, reasons, name)) is not None:
        text = written
        try:
            return _sent(name, text, wish)
        except Problem as problem:
            if not _can_be_mended(problem):
                raise _given_up(name, text, problem.message) from problem
            if problem.kind == "document-changed":
                text, reasons = _caught_up(access, name, text)
            else:
                reasons = _as_comments(_shifted(problem, text))
        except (Unreachable, OutcomeUnknown) as failure:
            raise _given_up(name, text, failure.message) from failure
        except CommandFailed as failure:
            reasons = _as_comments(_unreadable(text, failure))
    return None


def _written(text: str, reasons: str, name: str) -> str | None:
    """What somebody made of a text, without the reasons; None if there is nothing to send.

    Raises CommandFailed when they leave a text that was refused as it was.
    """
    shown = reasons + text
    try:
        found = click.edit(shown, extension=".yaml")
    except click.ClickException as failure:
        if reasons:
            raise _given_up(name, text, failure.message) from failure
        raise
    if found is not None and found != shown:
        kept = [line for line in found.splitlines() if not line.startswith(MARK.strip())]
        return "\n".join(kept).strip("\n") + "\n"
    if reasons:
        raise _given_up(name, text, "it was refused, and left as it was")
    return None


def _sent(name: str, text: str, wish: Wish) -> Any:
    content = text_as_content(text, name)
    if content.etag is None or content.name != name:
        raise CommandFailed(
            "the first line does not say any more which version was edited",
            hint=f'write it again, as: # {name} is version N, etag "..."',
        )
    headers = {"If-Match": content.etag}
    return edit("PUT", document_path(name), {"content": content.content}, headers, wish)


def _can_be_mended(problem: Problem) -> bool:
    """Whether another text could be taken."""
    return problem.kind in ("invalid", "too-large", "document-in-use", "document-changed")


def _shifted(problem: Problem, text: str) -> str:
    """What is wrong, with lines as they are below what is put on top."""
    lines = _count(_told(problem, text, 0))
    return _told(problem, text, lines)


def _told(problem: Problem, text: str, lines_before: int) -> str:
    content = text_as_content(text, "", lines_before)
    return told_by_line(problem, [Source("#/content", content)]).message


def _unreadable(text: str, failure: CommandFailed) -> str:
    """What keeps a text from being read, with lines as they are below what is put on top."""
    try:
        text_as_content(text, "", _count(failure.message))
    except CommandFailed as shifted:
        return shifted.message
    return f"{failure.message}\n{failure.hint}"


def _count(message: str) -> int:
    return _as_comments(message).count("\n")


def _as_comments(message: str) -> str:
    return "".join(f"{MARK}{line}\n" for line in message.splitlines())


def _caught_up(access: FleetAccess, name: str, text: str) -> tuple[str, str]:
    """The text as one that is meant for the version of now, and what that version brought."""
    now = access.get(document_path(name))
    said = VERSION_LINE.match(text)
    before = int(said["version"]) if said else None
    query = {"from": before, "to": now["version"]}
    changes = access.get(f"{document_path(name)}/diff", **query)["diff"]
    lines = [
        f"{name} is version {now['version']} by now, made by {now['principal']}: {now['reason']}",
        *(f"  {each['path'] or '/'}: {_change_text(each)}" for each in changes),
        "Take over what is to stay; take this line out to have your text in its place.",
    ]
    below = text.split("\n", 1)[1] if said else text
    return version_line(now) + below, _as_comments("\n".join(lines))


def _change_text(change: Any) -> str:
    sides = [json.dumps(change[side], ensure_ascii=False) for side in ("before", "after")]
    return {"added": f"added, {sides[1]}", "removed": f"removed, was {sides[0]}"}.get(
        change["change"], f"{change['change']} from {sides[0]} to {sides[1]}"
    )


def _given_up(name: str, text: str, why: str) -> CommandFailed:
    """The end of an edit that came to nothing; what was written is not lost."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=f"{name}-", suffix=".yaml", delete=False
    ) as file:
        file.write(text)
    again = f"go on with `leadplane config put {name} {file.name}`"
    return CommandFailed(f"{name} was not changed: {why}", file.name, again)
