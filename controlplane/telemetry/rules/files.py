"""The rules as files, as they are committed in deploy/prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.telemetry.rules.alerts import alert_rules
from controlplane.telemetry.rules.recording import recording_rules
from controlplane.telemetry.rules.routing import Receivers, alertmanager
from controlplane.telemetry.rules.scale import Scale
from controlplane.telemetry.rules.scraping import prometheus

FOLDER: Final = Path("deploy/prometheus")
HEAD: Final = "# Made by `make rules` from controlplane/telemetry/rules; do not edit.\n"
NO_END_TOLD: Final = """\
# Whoever was told of an alert is not told of its end if it is inhibited by then: see "How to deploy
# them" in docs/metrics.md before a receiver closes anything by itself.
"""


def rule_files(scale: Scale) -> dict[str, str]:
    """Every file by its name."""
    return {
        "recording.yaml": as_yaml(recording_rules(scale)),
        "alerts.yaml": as_yaml(alert_rules(scale)),
        "alertmanager.yaml": as_yaml(alertmanager(scale, Receivers()), NO_END_TOLD),
        "prometheus.yaml": as_yaml(prometheus(scale)),
    }


def write_rules(folder: Path, scale: Scale) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rule_files(scale).items():
        (folder / name).write_text(text, encoding="utf-8")


def as_yaml(document: Mapping[str, Any], note: str = "") -> str:
    """A file that says where it comes from, and what else is to be known of it."""
    return HEAD + note + yaml.safe_dump(document, sort_keys=False, width=100)
