"""Scenarios as files: found by name or by path, read with every error at once and its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from controlplane.chaos import scenario as parts
from controlplane.chaos.scenario import Scenario
from controlplane.errors import ScenarioInvalid
from regions.findings import Finding, Severity
from regions.marked_yaml import read_yaml
from regions.validation import findings_of

SUFFIX = ".yaml"
_MODELS = [m for m in vars(parts).values() if isinstance(m, type) and issubclass(m, BaseModel)]
_FIELDS = [name for model in _MODELS for name in model.model_fields]
_KINDS = sorted(
    str(model.model_fields["do"].annotation.__args__[0])  # type: ignore[union-attr]
    for model in _MODELS
    if "do" in model.model_fields
)
# Which kind of fault a place belongs to is a step of its own there, and none of the document.
_KIND_STEP = re.compile(rf"^(/faults/\d+)/(?:{'|'.join(_KINDS)})(?=/|$)")


def names() -> list[str]:
    """The scenarios that come along."""
    return sorted(Path(entry.name).stem for entry in _entries())


def shipped() -> Iterator[Scenario]:
    """Read all that come along, by name. Raises ScenarioInvalid."""
    for entry in sorted(_entries(), key=lambda entry: str(entry.name)):
        yield read_scenario(entry.read_text(encoding="utf-8"), entry.name)


def load_scenario(wanted: str) -> Scenario:
    """A scenario by the name of one that comes along, or from a file. Raises ScenarioInvalid."""
    for entry in _entries():
        if entry.name == wanted + SUFFIX:
            return read_scenario(entry.read_text(encoding="utf-8"), entry.name)
    path = Path(wanted)
    if path.suffix not in (SUFFIX, ".yml") and not path.exists():
        message = f"there is no scenario {wanted!r}, nor a file of that name"
        raise ScenarioInvalid(message, hint=f"write a file, or one of: {', '.join(names())}")
    try:
        return read_scenario(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
        message = f"{path}: the file cannot be read: {reason}"
        raise ScenarioInvalid(message, hint="check the path and its permissions") from error


def read_scenario(text: str, source: str) -> Scenario:
    """Read a document. Raises ScenarioInvalid with a line for each thing that is wrong."""
    marked = read_yaml(text)
    findings = marked.findings
    if not findings:
        try:
            return Scenario.model_validate(marked.value)
        except ValidationError as error:
            found = map(_as_written, findings_of(error, _FIELDS))
            findings = tuple(replace(f, line=marked.line_of(f.pointer)) for f in found)
    lines = [f"{source}: this scenario cannot be run", *(f"  {finding}" for finding in findings)]
    raise ScenarioInvalid("\n".join(lines))


def _as_written(finding: Finding) -> Finding:
    """The finding in the document's own words and places."""
    message = finding.message.removeprefix("Value error, ")
    hint = finding.hint
    if message.startswith(("Input tag", "Unable to extract tag", "tag ")):
        message = "`do` must say what happens"
        hint = f"one of: {', '.join(_KINDS)}"
    place = _KIND_STEP.sub(r"\1", finding.pointer)
    return Finding(Severity.ERROR, place, message, hint)


def _entries() -> list[Any]:
    folder = files("controlplane.chaos").joinpath("scenarios")
    return [entry for entry in folder.iterdir() if entry.name.endswith(SUFFIX)]
