"""`leadplane flags`: the feature flags in force, and what one of them comes to for somebody."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane.cli.connection import CommandFailed, Problem, access_at
from controlplane.cli.output import (
    Column,
    Row,
    format_option,
    list_unless_more,
    output_options,
    show,
    table,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

NOT_FOUND = 404
TARGETING_KEY = "targetingKey"


def _split_text(shares: Iterable[Row]) -> str:
    return ", ".join(f"{share['percent']:g} % {share['serve']}" for share in shares)


def _default_text(flag: Row) -> Any:
    return _split_text(flag["split"]) if "split" in flag else flag.get("default")


def _rule_text(rule: Row) -> str:
    return _split_text(rule["split"]) if "split" in rule else str(rule.get("serve"))


FLAGS = (
    Column("FLAG", lambda f: f["flag"]),
    Column("DOCUMENT", lambda f: f["document"]),
    Column("VERSION", lambda f: f["version"], right=True),
    Column(
        "STATE",
        lambda f: "enabled" if f.get("enabled", True) else "killed",
        lambda f: "" if f.get("enabled", True) else "yellow",
    ),
    Column("VARIANTS", lambda f: list(f.get("variants", ("on", "off")))),
    Column("NEEDS", lambda f: list(f.get("prerequisites", ())), sparse=True),
    Column("RULES", lambda f: [_rule_text(rule) for rule in f.get("rules", ())]),
    Column("ELSE", _default_text),
    Column("WHAT FOR", lambda f: f.get("description"), wide=True),
)
EVALUATED = (
    Column("FLAG", lambda e: e["key"]),
    Column("VALUE", lambda e: json.dumps(e["value"], ensure_ascii=False)),
    Column("VARIANT", lambda e: e["variant"]),
    Column("REASON", lambda e: e["reason"]),
    Column("DOCUMENT", lambda e: e["metadata"].get("document")),
    Column("VERSION", lambda e: e["metadata"].get("version"), right=True),
    Column("FOR WANT OF", lambda e: e["metadata"].get("prerequisite"), sparse=True),
)


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def flags(context: click.Context, output: str, watch: bool) -> None:
    """Show feature flags, and evaluate them; without a further word, list them."""
    list_unless_more(context, list_flags, output, watch)


@flags.command("list")
@output_options
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
def list_flags(output: str = "table", watch: bool = False, at: str | None = None) -> None:
    """List the flags in force: variants, rules, and what holds where no rule fits.

    \b
    Example:
      leadplane flags list
    """
    access = access_at(at)
    show(lambda: access.get("/v1/flags"), _draw_flags, output, watch)


@flags.command("evaluate")
@click.argument("flag")
@click.option("--targeting-key", help="For whom: what splits are decided by.")
@click.option(
    "--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="May be repeated."
)
@click.option("--at", metavar="NODE|REGION|URL", help="Ask this node, or one of this region.")
@format_option
def evaluate(
    flag: str, targeting_key: str | None, attributes: tuple[str, ...], at: str | None, output: str
) -> None:
    """Say what FLAG comes to, and why; rules by region fit as they do at the node that answers.

    A VALUE is JSON, or else text: 3, true, "3", gold.

    \b
    Examples:
      leadplane flags evaluate new-checkout --targeting-key customer42
      leadplane flags evaluate new-checkout --attribute tier=gold -o json
    """
    context = _context_of(attributes)
    if targeting_key is not None:
        context[TARGETING_KEY] = targeting_key
    path = f"/ofrep/v1/evaluate/flags/{quote(flag, safe='')}"
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"context": context}).encode()
    try:
        found = access_at(at).send("POST", path, None, headers, body).document()
    except Problem as problem:
        if problem.status != NOT_FOUND:
            raise
        hint = "see which there are with `leadplane flags list`"
        raise CommandFailed(f"there is no flag {flag}", problem.where, hint) from problem
    show(lambda: found, lambda each, wide: table(EVALUATED, [each], wide), output)


def _draw_flags(answer: Any, wide: bool) -> RenderableType:
    rows = [
        {**flag, "flag": name, "document": document["name"], "version": document["version"]}
        for document in answer["documents"]
        for name, flag in document["content"]["flags"].items()
    ]
    return table(FLAGS, sorted(rows, key=lambda row: row["flag"]), wide)


def _context_of(attributes: Iterable[str]) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for attribute in attributes:
        name, is_given, text = attribute.partition("=")
        if not is_given or not name:
            raise click.UsageError(f"{attribute!r} is not NAME=VALUE")
        try:
            context[name] = json.loads(text)
        except ValueError:
            context[name] = text
    return context
