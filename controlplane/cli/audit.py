"""`leadplane audit`: what was changed, by whom and why; exported, and proven to be whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from controlplane.cli.connection import CommandFailed, FleetAccess, access_at, fleet_access
from controlplane.cli.durations import moment_ms
from controlplane.cli.output import (
    Column,
    format_option,
    list_unless_more,
    moment_text,
    output_options,
    print_document,
    show,
    table,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from config.audit_check import Checkpoint

NOT_WHOLE = 1
"""The exit status of `verify` when something is wrong."""
LISTED = 20
SHOWN_MAX = 100
PAGE = 500
LINE_BYTES_MAX = 4 * 1024 * 1024


def _value(value: Any) -> str | None:
    """What a record says of before or after, on one line."""
    if value is None:
        return None
    if isinstance(value, Mapping) and isinstance(value.get("changes"), list):
        changes = [f"{c[0]} {c[2]} ({c[3]})" for c in value["changes"] if len(c) > 3]
        return _cut("; ".join(changes))
    if isinstance(value, Mapping):
        return _cut(", ".join(f"{name} {_plain(inner)}" for name, inner in value.items()))
    return _cut(_plain(value))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


COLUMNS = (
    Column("NUMBER", lambda r: r["sequence"], right=True),
    Column("WHEN", lambda r: moment_text(r["wall_ms"])),
    Column("BY", lambda r: r["principal"]),
    Column("KIND", lambda r: r["kind"]),
    Column("SUBJECT", lambda r: r["subject"]),
    Column("BEFORE", lambda r: _value(r["before"])),
    Column("AFTER", lambda r: _value(r["after"])),
    Column("EPOCH", lambda r: r["epoch"], right=True, wide=True),
    Column("RECORDED BY", lambda r: r["node"], wide=True),
    Column("DIGEST", lambda r: r["digest"], wide=True),
    Column("REASON", lambda r: r["reason"]),
)


@click.group("audit", invoke_without_command=True)
@output_options
@click.pass_context
def audit(context: click.Context, output: str, watch: bool) -> None:
    """Show what was changed, by whom and why; without a further word, the last changes."""
    list_unless_more(context, list_records, output, watch)


@audit.command("list")
@click.option("--last", type=click.IntRange(min=1), help=f"How many; {LISTED} without a filter.")
@click.option("--after", type=click.IntRange(min=0), help="Only records behind this number.")
@click.option("--kind", help="Only of this kind: document, drain, plan, move, leadership, ...")
@click.option("--subject", help="Only of this document, shard, node, group or order.")
@click.option("--principal", help="Only what this principal did.")
@click.option("--since", metavar="MOMENT", help="Only from 2026-03-01T12:00 on, this place's time.")
@click.option("--until", metavar="MOMENT", help="Only before that.")
@output_options
def list_records(
    last: int | None = None,
    after: int | None = None,
    kind: str | None = None,
    subject: str | None = None,
    principal: str | None = None,
    since: str | None = None,
    until: str | None = None,
    output: str = "table",
    watch: bool = False,
) -> None:
    """List changes, the oldest first; long values are cut, -o json has all of them.

    \b
    Example:
      leadplane audit list --subject placement --since 2026-03-01T12:00
    """
    query: dict[str, Any] = {
        "after": after, "kind": kind, "subject": subject, "principal": principal,
        "since": moment_ms(since, "--since"), "until": moment_ms(until, "--until"),
    }  # fmt: skip
    if last is None and all(value is None for value in query.values()):
        last = LISTED
    access = fleet_access()
    show(
        lambda: access.items("/v1/audit", limit=PAGE, last=last, **query),
        lambda document, wide: table(COLUMNS, document["items"], wide),
        output,
        watch,
    )


@audit.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only behind this number.")
def export(file: IO[str], after: int) -> None:
    """Write the whole log to FILE as JSON lines, one record each; without FILE, print it.

    \b
    Example:
      leadplane audit export audit.jsonl
    """
    count, last = 0, ""
    for item in _records(fleet_access(), after):
        file.write(json.dumps(item, ensure_ascii=False, sort_keys=True) + "\n")
        count, last = count + 1, f"{item['sequence']}:{item['digest']}"
    click.echo(f"{count} records; checkpoint {last or 'none'}", err=True)


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--checkpoint",
    metavar="FILE|SEQ:DIGEST",
    help="One that was kept: proves that nothing up to there was cut off or replaced.",
)
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@format_option
def verify(file: str | None, checkpoint: str | None, at: str | None, output: str) -> None:
    """Say whether the log, or an export of it in FILE, is whole; exit 1 if it is not.

    A checkpoint is the number of a record, a colon and its digest; in a file, its last line counts.
    Without one, nobody can tell whether the last records of an export were cut off.

    \b
    Examples:
      leadplane audit verify
      leadplane audit verify audit.jsonl --checkpoint last-checkpoint
    """
    kept = None if checkpoint is None else _checkpoint(checkpoint)
    if file is not None:
        verdict = _verdict_of(Path(file), kept)
    else:
        text = None if kept is None else f"{kept.sequence}:{kept.digest}"
        verdict = access_at(at).get("/v1/audit/verify", checkpoint=text)
    print_document(verdict, _draw_verdict, output)
    if not verdict["valid"]:
        sys.exit(NOT_WHOLE)


def _records(access: FleetAccess, after: int) -> Iterator[dict[str, Any]]:
    """Every record behind one; what is recorded meanwhile may come, too."""
    token: str | None = None
    while True:
        page = access.get("/v1/audit", after=after, limit=PAGE, **{"continue": token})
        yield from page["items"]
        token = page.get("continue")
        if token is None:
            return


def _verdict_of(path: Path, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What an export is, checked here: no fleet is asked. Raises CommandFailed."""
    from dataclasses import asdict

    from config.audit import exported
    from config.audit_check import Known, check

    records, digests = [], {}
    with path.open(encoding="utf-8") as lines:
        number = 0
        while line := lines.readline(LINE_BYTES_MAX):
            number += 1
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                record, digest = exported(found if isinstance(found, dict) else {})
            except (ValueError, TypeError) as failure:
                raise CommandFailed(
                    f"line {number} is no record of an audit log: {failure}",
                    str(path),
                    "files are written by `leadplane audit export`",
                ) from None
            records.append(record)
            digests[record.sequence] = digest
    verdict = asdict(check(records, Known(checkpoint=checkpoint, digests=digests)))
    held = verdict["checkpoint"]
    return verdict | {
        "holes": list(verdict["holes"]),
        "checkpoint": None if held is None else held.value,
    }


def _checkpoint(text: str) -> Checkpoint:
    from config.audit_check import read_checkpoint

    try:
        if ":" not in text or Path(text).is_file():
            lines = Path(text).read_text(encoding="utf-8").split("\n")
            text = next((line for line in reversed(lines) if line.strip()), "")
        return read_checkpoint(text)
    except (OSError, ValueError) as failure:
        raise click.UsageError(f"--checkpoint: {failure}") from None


def _draw_verdict(verdict: Any, wide: bool) -> RenderableType:
    from rich.text import Text

    if not verdict["records"]:
        span = f"no records behind {verdict['last']}"
    else:
        span = f"{verdict['records']} records, {verdict['first']} to {verdict['last']}"
    lines = [f"{'whole' if verdict['valid'] else 'NOT WHOLE'}: {span}"]
    if verdict["problem"]:
        lines.append(f"  problem:    {verdict['problem']}")
    lines += [f"  missing:    {hole['first']} to {hole['last']}" for hole in verdict["holes"]]
    if verdict["checkpoint"] is not None:
        lines.append(f"  checkpoint: {_of_checkpoint(verdict['checkpoint'])}")
    if verdict["records"]:
        lines.append(f"  keep this:  {verdict['last']}:{verdict['head']}")
    return Text("\n".join(lines))


def _of_checkpoint(held: str) -> str:
    if held == "trimmed":
        return "older than all that is kept: it proves nothing any more"
    return held
