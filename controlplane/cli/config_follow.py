"""`leadplane config follow`: keep a file equal to what a region runs, and say so to a program.

The file is replaced as a whole, never written in place, so that who reads it sees the old content
or the new one. When nobody answers, it stays as it is: the last good content, across restarts of
this command too. A reload that fails is told, and tried again at the next change only, unless it is
asked for more often.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click

from controlplane.cli.connection import (
    CommandFailed,
    FleetAccess,
    Problem,
    Unreachable,
    access_at,
)
from controlplane.cli.document_edits import document_path

WAIT_MS: Final = 10_000
AGAIN_S: Final = 1.0
FORMATS: Final = ("yaml", "json", "text")


@click.command("follow")
@click.argument("name")
@click.option("--to", "path", type=click.Path(path_type=Path), required=True, help="The file.")
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    help="How it is written; by the name of the file if not given. text: a content of one string.",
)
@click.option("--reload", "program", metavar="COMMAND", help="Run by the shell after each change.")
@click.option("--once", is_flag=True, help="Write it once, and end.")
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def follow(
    name: str, path: Path, style: str | None, program: str | None, once: bool, at: str | None
) -> None:  # fmt: skip
    """Keep a file equal to a document as it is in force in a region.

    It is written when the region takes up another version, be it a newer one or the one before;
    what is still being tried elsewhere does not show.

    \b
    Examples:
      leadplane config follow sampling --to sampling.yaml
      leadplane config follow sampling --to sampling.yaml --reload ./reload
    """
    style = style or {".json": "json", ".txt": "text"}.get(path.suffix, "yaml")
    access, known = access_at(at), ""
    while True:
        try:
            found = _another(access, name, known, 0 if once or not known else WAIT_MS)
        except (Unreachable, Problem) as failure:
            if once or (isinstance(failure, Problem) and failure.status < 500):
                raise
            click.echo(f"{name} stays as it is: {failure.message}", err=True)
            time.sleep(AGAIN_S)
            continue
        if found is not None:
            known, document = found
            _take(name, document, path, style, program)
        if once:
            return


def _another(
    access: FleetAccess, name: str, known: str, wait_ms: int
) -> tuple[str, dict[str, Any]] | None:
    """The document in force and its ETag; None when it is still the one that is known."""
    headers = {"If-None-Match": known} if known else {}
    query = {"wait_ms": wait_ms} if wait_ms else {}
    reply = access.send("GET", f"{document_path(name)}/effective", query, headers)
    return None if reply.status == 304 else (reply.headers["etag"], reply.document())


def _take(name: str, document: dict[str, Any], path: Path, style: str, program: str | None) -> None:
    applied = document["applied"]
    version = applied["version"] if applied is not None else 0
    text = _text(name, document["content"], style)
    if path.exists() and path.read_text("utf-8") == text:
        click.echo(f"{path} is version {version} of {name} already")
        return
    _replace(path, text)
    click.echo(f"{path} is version {version} of {name} now, as {document['region']} runs it")
    if program and (status := subprocess.run(program, shell=True, check=False).returncode):
        click.echo(f"the reload ended with {status}: {program}", err=True)


def _text(name: str, content: Any, style: str) -> str:
    import json

    if style == "text":
        if not isinstance(content, str):
            hint = "use --format yaml or json"
            raise CommandFailed(f"the content of {name} is not one string", hint=hint)
        return content
    if style == "json":
        return json.dumps(content, indent=2, sort_keys=True) + "\n"
    import yaml

    text: str = yaml.safe_dump(content, sort_keys=True, allow_unicode=True)
    return text


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: it is there, or what was there before is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
