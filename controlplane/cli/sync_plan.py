"""What would bring the documents of a fleet into step with a directory.

Each `NAME.yaml`, `NAME.yml` or `NAME.json` of the directory is the document NAME; folders in it and
other files are passed over. A document can differ in three places: in the directory, in its newest
version, and in what each region is to run. A version whose rollout was taken back is not begun
again by itself: that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from controlplane.cli.connection import CommandFailed, FleetAccess, Problem
from controlplane.cli.document_edits import document_path
from controlplane.cli.document_text import Text, read_text

SUFFIXES = (".yaml", ".yml", ".json")


class Action(StrEnum):
    """What is to be done about a document."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    ROLL_OUT = "roll out"
    NOTHING = "nothing"


EDITS = (Action.CREATE, Action.CHANGE, Action.DELETE)


@dataclass(slots=True)
class Item:
    """One document: its file, its newest version, what regions are to run, what is to be done.

    `in_force` is by region, None where nobody could be asked; `differs`: it is not in step, be
    there something to do about it or not.
    """

    name: str
    file: Path | None = None
    text: Text | None = None
    newest: Mapping[str, Any] | None = None
    in_force: dict[str, int | None] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)
    action: Action = Action.NOTHING
    differs: bool = False
    note: str = ""
    diff: list[Any] = field(default_factory=list)
    problem: str = ""
    """What the fleet says against the edit as things are."""
    is_refused: bool = False

    @property
    def version(self) -> int:
        """The number of the newest version."""
        return int(self.newest["version"]) if self.newest is not None else 0


def texts_in(directory: Path) -> dict[str, tuple[Path, Text]]:
    """The documents of a directory by name. Raises CommandFailed with all that is wrong."""
    from config.document import name_complaint

    found: dict[str, tuple[Path, Text]] = {}
    wrong = []
    files = [each for each in sorted(directory.iterdir()) if each.suffix in SUFFIXES]
    for file in (each for each in files if each.is_file()):
        name = file.name.removesuffix(file.suffix)
        if (complaint := name_complaint(name)) is not None:
            wrong.append(f"{file}: the name of a document {complaint}")
        elif name in found:
            wrong.append(f"{file}: {name} is in {found[name][0]}, too")
        else:
            try:
                found[name] = (file, read_text(str(file)))
            except CommandFailed as failure:
                wrong.append(f"{file}: {failure.message}")
    if wrong:
        raise CommandFailed("\n".join(wrong), str(directory), "nothing was done; mend the files")
    if not found:
        hint = "name a directory with files like flags.yaml"
        raise CommandFailed("it holds no document", str(directory), hint)
    return found


def compared(
    access: FleetAccess, texts: Mapping[str, tuple[Path, Text]], *, prunes: bool
) -> list[Item]:
    """Every document that is in the directory, or was edited, and what is to be done about it."""
    listed = {each["name"]: each for each in access.items("/v1/config")["items"]}
    nodes = access.items("/v1/nodes")["items"]
    regions = sorted({node["region"] for node in nodes})
    rollouts = access.items("/v1/rollouts")["items"]
    items = []
    for name in sorted(texts, key=_place):
        file, text = texts[name]
        item = Item(name, file, text, listed.get(name))
        _judge(item, rollouts, access, regions)
        items.append(item)
    for name in sorted(set(listed) - set(texts), key=_place, reverse=True):
        if _can_go(name) and listed[name]["version"]:
            action = Action.DELETE if prunes else Action.NOTHING
            note = "" if prunes else "not in the directory"
            items.append(Item(name, newest=listed[name], action=action, differs=prunes, note=note))
    return items


def _judge(item: Item, rollouts: list[Any], access: FleetAccess, regions: list[str]) -> None:
    """Find what is to be done about a document that the directory has."""
    from config.document import canonical, digest_of

    assert item.text is not None
    if item.newest is None:
        item.action, item.differs = Action.CREATE, True
        return
    if digest_of(canonical(item.text.content)) != item.newest["digest"]:
        item.action, item.differs = Action.CHANGE, True
    _ask_regions(item, access, regions)
    if item.action is Action.CHANGE:
        return
    of_it = [r for r in rollouts if (r["document"], r["version"]) == (item.name, item.version)]
    goes_on = [each for each in of_it if not each["over"]]
    elsewhere = [v for v in item.in_force.values() if v not in (None, item.version)]
    if goes_on:
        item.note = f"rollout {goes_on[0]['rollout']} of it is {goes_on[0]['phase']}"
    elif elsewhere and of_it:
        item.differs = True
        last = of_it[0]
        item.note = (
            f"version {item.version} is not in force, and its rollout {last['rollout']} is over "
            f"({last['phase']}): `leadplane rollouts start {item.name}` tries it again"
        )
    elif elsewhere:
        item.action, item.differs = Action.ROLL_OUT, True
    elif item.behind:
        item.differs = True
        item.note = "these regions are to run it, and do not yet"


def _ask_regions(item: Item, access: FleetAccess, regions: list[str]) -> None:
    for region in regions:
        item.in_force[region] = None
        try:
            found = effective_in(access, item.name, region)
        except Problem as problem:
            if problem.kind != "unknown-document":  # the region has yet to hear of it
                raise
            continue
        if "problem" in found:
            continue
        target = found["target"]
        item.in_force[region] = target["version"] if target else 0
        if found["drift"] == "behind":
            item.behind.append(region)


def effective_in(access: FleetAccess, name: str, region: str) -> dict[str, Any]:
    """What a region runs of a document; only a `problem` where its nodes cannot be asked."""
    try:
        found: dict[str, Any] = access.get(f"{document_path(name)}/effective", region=region)
    except Problem as problem:
        if problem.document.get("retry_after_ms") is None:
            raise
        return {"region": region, "problem": problem.kind}
    return found


def _place(name: str) -> tuple[bool, str]:
    """Schemas come first: others are held to them."""
    return not name.startswith("schema."), name


def _can_go(name: str) -> bool:
    """Whether a document can be deleted at all."""
    from config.builtin import is_builtin_schema
    from config.document import SINGLE_KINDS

    return name not in SINGLE_KINDS and not is_builtin_schema(name)
