"""`leadplane kv`: put, get, delete and scan keys, and see how fresh each answer is.

The value goes to standard output, alone; what the answer says of itself goes to standard error, so
that `leadplane kv get K > file` holds the value and nothing else.
"""

from __future__ import annotations

import sys
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click

from controlplane.cli.connection import Reply, access_at
from controlplane.cli.output import Column, format_option, ms_text, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

CONSISTENCIES = ("strong", "bounded", "session", "any")
PREFIX = "leadplane-"
Command = TypeVar("Command", bound=Callable[..., Any])


def at_option(command: Command) -> Command:
    """Add `--at`."""
    return click.option(
        "--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region."
    )(command)


def read_options(command: Command) -> Command:
    """Add the options that say how fresh a read must be."""
    for option in (
        click.option("--position", help="Session: at least what this position has seen."),
        click.option(
            "--max-staleness-ms", type=click.IntRange(min=0), help="Bounded: how old at most."
        ),
        click.option("--quorum", is_flag=True, help="Strong: ask a majority, trust no clock."),
        click.option("--consistency", "-c", type=click.Choice(CONSISTENCIES), help="How fresh."),
    ):
        command = option(command)
    return at_option(command)


def write_options(command: Command) -> Command:
    """Add the options of a change."""
    for option in (
        click.option("--idempotency-key", help="Repeat with the same key: it happens once."),
        click.option(
            "--if-version", type=click.IntRange(min=1), help="Only if it has that version."
        ),
    ):
        command = option(command)
    return at_option(command)


@click.group()
def kv() -> None:
    """Put, get, delete and scan keys.

    Keys with the same part in braces, as in {customer42}/orders/7, live in one partition.
    """


@kv.command("put")
@click.argument("key")
@click.argument("value", required=False)
@click.option("--create", is_flag=True, help="Only if the key is absent.")
@write_options
@format_option
def put(
    key: str,
    value: str | None,
    create: bool,
    if_version: int | None,
    idempotency_key: str | None,
    at: str | None,
    output: str,
) -> None:
    """Store VALUE under KEY; without VALUE, what standard input says.

    \b
    Examples:
      leadplane kv put orders/7 paid
      leadplane kv put orders/7 paid --if-version 2
    """
    if create and if_version is not None:
        raise click.UsageError("--create and --if-version exclude each other")
    body = sys.stdin.buffer.read() if value is None else value.encode()
    headers = {"Content-Type": "application/octet-stream"}
    if create:
        headers["If-None-Match"] = "*"
    _write("PUT", key, headers, body, if_version, idempotency_key, at, output)


@kv.command("del")
@click.argument("key")
@write_options
@format_option
def delete(
    key: str,
    if_version: int | None,
    idempotency_key: str | None,
    at: str | None,
    output: str,
) -> None:
    """Remove KEY; removing what is not there is no error.

    \b
    Example:
      leadplane kv del orders/7
    """
    _write("DELETE", key, {}, None, if_version, idempotency_key, at, output)


def _write(
    method: str,
    key: str,
    headers: dict[str, str],
    body: bytes | None,
    if_version: int | None,
    idempotency_key: str | None,
    at: str | None,
    output: str,
) -> None:
    headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    reply = access_at(at).send(method, key_path(key), headers=headers, body=body)
    replayed = {"replayed": True} if "idempotency-replayed" in reply.headers else {}
    show(lambda: {"key": key, **provenance(reply), **replayed}, _draw_written, output)


@kv.command("get")
@click.argument("key")
@read_options
@format_option
def get(
    key: str,
    consistency: str | None,
    quorum: bool,
    max_staleness_ms: int | None,
    position: str | None,
    at: str | None,
    output: str,
) -> None:
    """Print the value of KEY; how fresh it is goes to standard error.

    \b
    Examples:
      leadplane kv get orders/7
      leadplane kv get orders/7 --consistency bounded --max-staleness-ms 500
    """
    query = {
        "consistency": consistency,
        "quorum": "true" if quorum else None,
        "max_staleness_ms": max_staleness_ms,
        "position": position,
    }
    reply = access_at(at).send("GET", key_path(key), query=query)
    facts = provenance(reply)
    if output in ("json", "yaml"):
        document = {"key": key, **value_document(reply.body), **facts}
        show(lambda: document, _draw_written, output)
        return
    sys.stdout.buffer.write(reply.body)
    sys.stdout.flush()
    if sys.stdout.isatty() and not reply.body.endswith(b"\n"):
        click.echo()
    click.echo(freshness(facts), err=True)


@kv.command("scan")
@click.argument("partition")
@click.option("--prefix", default="", help="Only keys that start so.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@read_options
@format_option
def scan(
    partition: str,
    prefix: str,
    limit: int | None,
    consistency: str | None,
    quorum: bool,
    max_staleness_ms: int | None,
    position: str | None,
    at: str | None,
    output: str,
) -> None:
    """List the keys of PARTITION in byte order.

    \b
    Example:
      leadplane kv scan customer42 --prefix {customer42}/orders/
    """
    query = {
        "partition": partition,
        "prefix": prefix or None,
        "limit": limit,
        "consistency": consistency,
        "quorum": "true" if quorum else None,
        "max_staleness_ms": max_staleness_ms,
        "position": position,
    }
    reply = access_at(at).send("GET", "/v1/kv", query=query)
    document = reply.document()
    show(lambda: document, _draw_scan, output)
    if output in ("table", "wide"):
        click.echo(freshness(provenance(reply)), err=True)
        if "continue" in document:
            click.echo("# there are more: raise --limit, or narrow it with --prefix", err=True)
        if not document["items"] and partition.startswith("{"):
            inner = partition.strip("{}")
            click.echo(f"# keys like {{{inner}}}/... are of the partition {inner}", err=True)


def value_document(body: bytes) -> dict[str, str]:
    """A value in a document, as a scan has it: text where it is text, else base64."""
    try:
        return {"value": body.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"value": b64encode(body).decode(), "encoding": "base64"}


def key_path(key: str) -> str:
    """The path of a key; everything that is special in a path is escaped."""
    return "/v1/kv/" + quote(key, safe="")


def provenance(reply: Reply) -> dict[str, Any]:
    """What an answer says of itself, by the names of its headers without their prefix."""
    facts: dict[str, Any] = {}
    for name, value in reply.headers.items():
        if name.startswith(PREFIX):
            number = value.isdigit() and name != f"{PREFIX}position"
            facts[name.removeprefix(PREFIX).replace("-", "_")] = int(value) if number else value
    return facts


def freshness(facts: Mapping[str, Any]) -> str:
    """One line: where the answer comes from, and how old it may be."""
    staleness = facts.get("staleness_ms")
    match staleness:
        case 0:
            age = "current"
        case int():
            age = f"at most {ms_text(staleness)} old"
        case _:
            age = "of unknown age"
    version = f"version {facts['version']}, " if "version" in facts else ""
    return (
        f"# {version}{age}, from the {facts.get('role', '-')} "
        f"{facts.get('served_by', '-')}; shard {facts.get('shard', '-')}, "
        f"epoch {facts.get('epoch', '-')}, position {facts.get('position', '-')}"
    )


def _draw_written(document: Any, wide: bool) -> RenderableType:
    from rich.text import Text

    done = "An earlier attempt did it" if document.get("replayed") else "Done on a majority"
    return Text(
        f"{done}: shard {document.get('shard')}, epoch {document.get('epoch')}, "
        f"version {document.get('version')}\nPosition {document.get('position')}"
    )


def _draw_scan(document: Any, wide: bool) -> RenderableType:
    columns = (
        Column("KEY", lambda item: item["key"]),
        Column("VERSION", lambda item: item["version"], right=True),
        Column("VALUE", lambda item: item["value"]),
    )
    return table(columns, document["items"], wide)
