"""What one node is told by its operator: a YAML file, and the environment above it.

    node: eu-central-1-n1
    topology: topology.yaml          # a path from this file's folder, or the document itself
    first_shards: {count: 12, survival: mixed}      # the same at every node

A variable such as `LEADPLANE_NODE` or `LEADPLANE_LIMITS__VALUE_BYTES_MAX` wins over the file. What
is wrong is reported all at once, each with the field and, where there is one, the line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from controlplane.errors import SettingsInvalid
from controlplane.node_plan import Limits
from controlplane.survival import SHARDS_MAX, Survival
from regions.errors import TopologyInvalid
from regions.findings import Finding, Severity, pointer_to
from regions.marked_yaml import MarkedYaml, read_yaml
from regions.topology import Host, Name, NodeSite, Port, Topology
from regions.topology_file import load_topology
from regions.validation import findings_of

ENVIRONMENT_PREFIX = "LEADPLANE_"
NESTED_BY = "__"
_DEFAULTS = Limits()
_STRICT = ConfigDict(frozen=True, extra="forbid")


class LimitSettings(BaseModel):
    """Sizes and times beyond which a request is refused; see `Limits` for what they mean."""

    model_config = _STRICT

    value_bytes_max: int = Field(default=_DEFAULTS.value_bytes_max, ge=1, le=1 << 20)
    key_bytes_max: int = Field(default=_DEFAULTS.key_bytes_max, ge=1, le=1 << 16)
    shard_bytes_max: int = Field(default=_DEFAULTS.shard_bytes_max, ge=1 << 16)
    pending_writes_max: int = Field(default=_DEFAULTS.pending_writes_max, ge=1)
    write_timeout_ms: int = Field(default=_DEFAULTS.write_timeout_ms, ge=10, le=600_000)
    read_timeout_ms: int = Field(default=_DEFAULTS.read_timeout_ms, ge=10, le=600_000)
    id_memory_ms: int = Field(default=_DEFAULTS.id_memory_ms, ge=10_000, le=86_400_000)
    disk_free_bytes_min: int = Field(default=_DEFAULTS.disk_free_bytes_min, ge=0)
    lease_follows: bool = _DEFAULTS.lease_follows
    readmit_after_ms: int | None = Field(default=_DEFAULTS.readmit_after_ms, ge=0)
    document_versions_max: int = Field(default=_DEFAULTS.document_versions_max, ge=1, le=1_000)
    audit_records_max: int = Field(default=_DEFAULTS.audit_records_max, ge=10, le=1_000_000)
    audit_bytes_max: int = Field(default=_DEFAULTS.audit_bytes_max, ge=1 << 16)
    events_kept_max: int = Field(default=_DEFAULTS.events_kept_max, ge=100, le=1_000_000)

    def limits(self) -> Limits:
        """Give them as the node takes them."""
        return Limits(**self.model_dump())


class FirstShardsSettings(BaseModel):
    """The shard map of a fleet that has none yet; see `controlplane.first_shards`."""

    model_config = _STRICT

    count: int = Field(default=12, ge=1, le=SHARDS_MAX)
    survival: Survival = Survival.MIXED


class NodeSettings(BaseSettings):
    """Everything a node is told. Made by `load_settings`, which also resolves the topology."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTED_BY,
        env_ignore_empty=True,
    )

    node: Name
    topology: Topology
    listen_host: Host | None = None
    listen_port: Port | None = None
    first_shards: FirstShardsSettings = FirstShardsSettings()
    limits: LimitSettings = LimitSettings()
    dial: dict[str, str] = Field(default_factory=dict)
    """Addresses (host:port) to go to instead of those in the topology: a way around, or a proxy."""
    drain_ms_max: int = Field(default=20_000, ge=0, le=3_600_000)
    """How long a stopping node may take to hand over what it leads."""
    stores_wait_ms_max: int = Field(default=60_000, ge=0, le=3_600_000)
    """How long a starting node waits for stores that tell which fleet they belong to."""
    probe_timeout_ms: int = Field(default=2_000, ge=10, le=60_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trace_exporter: Literal["none", "console", "otlp"] = "none"
    trace_requests_percent: float = Field(default=1.0, ge=0, le=100)
    """Of the requests whose sender does not say whether to trace them; what happens to leaderships
    is always traced."""
    metrics_exporter: Literal["none", "otlp"] = "none"
    """Beside /metrics, which is always there."""
    metrics_every_ms: int = Field(default=15_000, ge=100, le=3_600_000)
    """How often they are pushed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the file comes in as the arguments

    @property
    def site(self) -> NodeSite:
        """This node, as the topology has it."""
        return self.topology.node(self.node)

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen: as set, else as the topology has it."""
        return self.listen_host or self.site.host, self.listen_port or self.site.port


def load_settings(path: Path) -> NodeSettings:
    """Read a node's file, with the environment above it.

    Raises SettingsInvalid with every finding, TopologyInvalid for what is wrong in the topology.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
        message = f"{path}: the file cannot be read: {reason}"
        raise SettingsInvalid(message, hint="check the path and its permissions") from error
    marked = read_yaml(text)
    if marked.findings:
        raise _invalid(path, marked.findings)
    if not isinstance(marked.value, dict):
        message = f"{path}: this is not a mapping of fields to values"
        raise SettingsInvalid(message, hint="begin with `node: NAME` and `topology: FILE`")
    values: dict[str, Any] = dict(marked.value)
    unusable: TopologyInvalid | None = None
    try:
        if isinstance(named := values.get("topology"), str):
            values["topology"] = load_topology(path.parent / named)
        elif isinstance(named, dict):
            values["topology"] = _inline_topology(path, named)
    except TopologyInvalid as error:
        unusable = error
        del values["topology"]
    try:
        settings = NodeSettings(**values)
    except ValidationError as error:
        others = findings_of(error, _FIELDS)
        if unusable is not None:
            others = tuple(f for f in others if f.pointer != pointer_to("topology"))
            if not others:
                raise unusable from None
        raise _invalid(path, _marked(others, marked), unusable) from error
    if findings := tuple(_doubts(settings)):
        raise _invalid(path, _marked(findings, marked))
    return settings


_FIELDS = [
    name
    for part in (NodeSettings, LimitSettings, FirstShardsSettings)
    for name in part.model_fields
]


def _doubts(settings: NodeSettings) -> Iterator[Finding]:
    known = [site.id for site in settings.topology.nodes]
    if settings.node not in known:
        message = f"the topology has no node {settings.node!r}"
        hint = f"it has {', '.join(known) or 'none'}"
        yield Finding(Severity.ERROR, pointer_to("node"), message, hint)


def _inline_topology(path: Path, document: dict[str, Any]) -> Topology:
    import yaml

    try:
        return load_topology(yaml.safe_dump(document, sort_keys=False))
    except TopologyInvalid as error:
        raise TopologyInvalid(f"{path}: /topology", error.findings) from error


def _marked(findings: tuple[Finding, ...], marked: MarkedYaml) -> tuple[Finding, ...]:
    return tuple(_placed(finding, marked) for finding in findings)


def _placed(finding: Finding, marked: MarkedYaml) -> Finding:
    """The same finding with its line, or with the environment variable that it comes from."""
    variable = ENVIRONMENT_PREFIX + finding.pointer[1:].replace("/", NESTED_BY).upper()
    if variable in os.environ:
        return replace(finding, message=f"{finding.message}, in {variable}")
    return replace(finding, line=marked.line_of(finding.pointer))


def _invalid(
    path: Path, findings: tuple[Finding, ...], topology: TopologyInvalid | None = None
) -> SettingsInvalid:
    lines = [f"{path}: the settings cannot be used", *(f"  {finding}" for finding in findings)]
    if topology is not None:
        lines += [f"  {line}" for line in str(topology).splitlines()]
    return SettingsInvalid("\n".join(lines))
