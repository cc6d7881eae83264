"""Topology documents as text: read from YAML with every error at once, written back as YAML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from regions.errors import TopologyInvalid
from regions.findings import Finding, Severity, has_errors
from regions.marked_yaml import read_yaml
from regions.settings import LeaseSettings
from regions.topology import Group, NodeSite, Region, StoreSite, Topology
from regions.topology_check import check_topology
from regions.topology_groups import with_implied_groups
from regions.validation import findings_of

_FIELDS = [
    name for part in (Topology, Region, StoreSite, NodeSite, Group) for name in part.model_fields
]


@dataclass(frozen=True, slots=True)
class TopologyReading:
    """What a text holds. `topology` is None when a finding is an error, not for warnings."""

    topology: Topology | None
    findings: tuple[Finding, ...]


def read_topology(text: str, settings: LeaseSettings | None = None) -> TopologyReading:
    """Read and check a document. Never raises for what the text holds.

    Three steps, each reporting all it finds: is it YAML, has it the right fields, does it make
    sense. A later step needs the earlier ones to have passed. Findings carry their lines.
    """
    marked = read_yaml(text)
    if marked.findings:
        return TopologyReading(None, marked.findings)
    try:
        topology = Topology.model_validate(marked.value)
        findings = tuple(check_topology(topology, settings))
    except ValidationError as error:
        topology, findings = None, findings_of(error, _FIELDS)
    findings = tuple(replace(finding, line=marked.line_of(finding.pointer)) for finding in findings)
    if topology is None or has_errors(findings):
        return TopologyReading(None, findings)
    return TopologyReading(with_implied_groups(topology, settings), findings)


def load_topology(source: Path | str, settings: LeaseSettings | None = None) -> Topology:
    """Read a document from a file (a Path) or from text (a str), with its groups completed.

    Raises TopologyInvalid with every finding if the document cannot be used; warnings do not
    raise: ask `read_topology` for them.
    """
    name = str(source) if isinstance(source, Path) else "topology"
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
        hint = "check the path and its permissions"
        finding = Finding(Severity.ERROR, "", f"the file cannot be read: {reason}", hint)
        raise TopologyInvalid(name, [finding]) from error
    reading = read_topology(text, settings)
    if reading.topology is None:
        raise TopologyInvalid(name, reading.findings)
    return reading.topology


def dump_topology(topology: Topology) -> str:
    """Write a topology as YAML that `load_topology` reads back to an equal one."""
    document = topology.model_dump(mode="json")
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None)
