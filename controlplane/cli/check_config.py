"""`leadplane check-config FILE`: everything that is wrong or doubtful in a topology document."""

from __future__ import annotations

from pathlib import Path

import click

from regions.findings import Finding, Severity, has_errors


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def check_config(ctx: click.Context, file: Path, output: str) -> None:
    """Check the topology document FILE. Exits with 1 if it cannot be used; warnings pass.

    \b
    Example:
      leadplane check-config topology.yaml
    """
    # Imported late: `leadplane check-config --help` need not load any of it.
    import orjson

    from regions.topology_file import read_topology

    try:
        findings = read_topology(file.read_text(encoding="utf-8")).findings
    except UnicodeDecodeError:
        message = "the file is not UTF-8 text"
        findings = (Finding(Severity.ERROR, "", message, "save it as UTF-8"),)
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error
    if output == "json":
        click.echo(orjson.dumps([_record(f) for f in findings], option=orjson.OPT_INDENT_2))
    else:
        _print_table(file, findings)
    ctx.exit(1 if has_errors(findings) else 0)


def _record(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "pointer": finding.pointer,
        "line": finding.line,
        "message": finding.message,
        "hint": finding.hint,
    }


def _print_table(file: Path, findings: tuple[Finding, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if findings:
        table = Table(
            "severity", "line", "place", "finding", "what to do", box=None, pad_edge=False
        )
        for finding in findings:
            style = "red" if finding.severity is Severity.ERROR else "yellow"
            line = "" if finding.line is None else str(finding.line)
            place = finding.pointer or "/"
            table.add_row(
                finding.severity.value, line, place, finding.message, finding.hint, style=style
            )
        console.print(table)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    verdict = "cannot be used" if errors else "can be used"
    counted = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    console.print(f"{file}: {verdict}, {counted}", soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
