"""`leadplane debug bundle`: what somebody elsewhere needs to look into a fleet, and no secrets."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from config.secrets import is_named_as_secret, secret_in
from controlplane.cli.connection import CommandFailed, FleetAccess, fleet_access
from controlplane.cli.output import bytes_text
from controlplane.cli.status import whole_fleet

AUDIT_LAST = 200
EVENTS_LAST = 1_000
EVENTS_QUIET_S = 0.5
"""A stream of events that is silent for so long has told what it had."""
DOOR_TIMEOUT_S = 3.0
REDACTED = "[redacted]"
WITH_VALUES = ("before", "after", "content", "partition")
"""Fields that may hold what a document says, or a part of clients' keys; only that they were there
is kept."""
_USER = re.compile(r"(?<=://)[^/@\s\"]+@")


def redacted(value: Any, name: str = "") -> Any:
    """The same, without what looks like a secret, contents of documents, and users of addresses."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if key in WITH_VALUES and inner is not None else redacted(inner, key)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(each, name) for each in value]
    if isinstance(value, str):
        if secret_in(value) or is_named_as_secret(name, value):
            return REDACTED
        return _USER.sub("", value)
    return value


def redacted_lines(text: str) -> str:
    """The same for text: a line that holds a secret is left out."""
    return "".join(
        f"{REDACTED}\n" if secret_in(line) else _USER.sub("", line)
        for line in text.splitlines(keepends=True)
    )


class _Bundle:
    """What was gathered, and what could not be."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}
        self.failed: dict[str, str] = {}

    def document(self, name: str, ask: Callable[[], Any]) -> Any:
        """Keep a document; one that nobody gives is noted."""
        try:
            found = ask()
        except CommandFailed as failure:
            self.failed[name] = str(failure.message)
            return None
        text = json.dumps(redacted(found), indent=1, ensure_ascii=False)
        self.members[name] = text.encode()
        return found

    def text(self, name: str, ask: Callable[[], str]) -> None:
        """Keep a text."""
        try:
            self.members[name] = redacted_lines(ask()).encode()
        except CommandFailed as failure:
            self.failed[name] = str(failure.message)


def gathered(access: FleetAccess) -> _Bundle:
    """Ask for everything. What does not answer is left out, and named."""
    bundle = _Bundle()
    status = bundle.document("status.json", lambda: whole_fleet(access))
    for name, path, query in (
        ("nodes.json", "/v1/nodes", {}),
        ("regions.json", "/v1/regions", {}),
        ("groups.json", "/v1/regions/groups", {}),
        ("shards.json", "/v1/shards", {"limit": 1_000}),
        ("reshardings.json", "/v1/reshardings", {}),
        ("documents.json", "/v1/config", {}),
        ("rollouts.json", "/v1/rollouts", {}),
        ("audit.json", "/v1/audit", {"last": AUDIT_LAST}),
    ):
        bundle.document(name, lambda p=path, q=query: access.items(p, **q))  # type: ignore[misc]
    bundle.document("placement.json", lambda: access.get("/v1/placement"))
    for node in status["nodes"] if status else ():
        if node["alive"]:
            _of_node(bundle, access.only(str(node["url"])).within(DOOR_TIMEOUT_S), node["node"])
    return bundle


def _of_node(bundle: _Bundle, door: FleetAccess, node: str) -> None:
    """What one node says of itself: its release, whether it is ready, its metrics and events."""
    folder = f"nodes/{node}"
    bundle.document(f"{folder}/livez.json", lambda: door.get("/livez"))
    bundle.document(f"{folder}/readyz.json", lambda: door.get("/readyz"))
    bundle.text(f"{folder}/metrics.txt", lambda: _metrics(door))
    bundle.text(f"{folder}/events.txt", lambda: _events(door))


def _metrics(door: FleetAccess) -> str:
    return door.send("GET", "/metrics").body.decode()


def _events(door: FleetAccess) -> str:
    events = door.told("/v1/events?from=0", EVENTS_QUIET_S).strip("\n").split("\n\n")
    return "\n\n".join(_without_values(event) for event in events[-EVENTS_LAST:]) + "\n"


def _without_values(event: str) -> str:
    """One event of a stream, its document redacted as any other."""
    head, found, document = event.partition("data: ")
    try:
        return head + found + json.dumps(redacted(json.loads(document)), ensure_ascii=False)
    except ValueError:
        return event if not found else f"{head}{found}{REDACTED}"


@click.group("debug")
def debug() -> None:
    """Gather what somebody elsewhere needs to look into a fleet."""


@debug.command("bundle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def bundle(file: Path, force: bool) -> None:
    """Write a zip archive FILE: how the fleet is, what it did last, and what it measured.

    Of documents only the heads are in it: names, versions, who and when. Keys and values of clients
    are not, nor what looks like a secret. Read it before you pass it on: reasons and names are as
    people wrote them.

    \b
    Example:
      leadplane debug bundle fleet.zip
    """
    from importlib.metadata import version

    if file.exists() and not force:
        raise CommandFailed(f"{file} is there already", hint="take another name, or --force")
    found = gathered(fleet_access().at_once())
    if not found.members:
        why = next(iter(found.failed.values()), "nobody answers")
        raise CommandFailed(f"nothing could be gathered: {why}", hint="see `leadplane doctor`")
    said = {
        "made_ms": time.time_ns() // 1_000_000,
        "release": version("leadplane"),
        "failed": found.failed,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", json.dumps(said, indent=1, ensure_ascii=False))
        for name, member in found.members.items():
            archive.writestr(name, member)
    try:
        file.write_bytes(content.getvalue())
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from error
    size = bytes_text(len(content.getvalue()))
    click.echo(f"{file}: {len(found.members)} parts, {size}. Read it before you pass it on.")
    for name, why in found.failed.items():
        click.echo(f"not in it: {name}: {why}", err=True)
