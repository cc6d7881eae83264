"""Write the rules out: `python -m controlplane.telemetry.rules.files [FOLDER [SCALE]]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.telemetry.rules.alerts import alert_rules, inhibition
from controlplane.telemetry.rules.recording import recording_rules
from controlplane.telemetry.rules.scale import Scale

FOLDER: Final = Path("deploy/prometheus")
HEAD: Final = "# Made by `make rules` from controlplane/telemetry/rules; do not edit.\n"


def rule_files(scale: Scale) -> dict[str, str]:
    """Every file by its name."""
    return {
        "recording.yaml": _text(recording_rules(scale)),
        "alerts.yaml": _text(alert_rules(scale)),
        "inhibition.yaml": _text(inhibition()),
    }


def write_rules(folder: Path, scale: Scale) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rule_files(scale).items():
        (folder / name).write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as blocks."""


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _written)


def _text(document: Mapping[str, Any]) -> str:
    return HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(arguments[0]) if arguments else FOLDER
    write_rules(folder, Scale(float(arguments[1]) if len(arguments) > 1 else 1.0))
