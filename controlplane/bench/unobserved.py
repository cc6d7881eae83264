"""The command line with its nodes' metrics unplugged: what `overhead` holds the real ones against.

A node has no setting for it: what is not counted can't be looked up afterwards. A fleet started
with `environment()` imports this module in each of its processes, and its nodes count nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from controlplane.telemetry.http import HttpMetrics
from controlplane.telemetry.metrics import NodeMetrics
from controlplane.telemetry.requests import RequestMetrics
from controlplane.telemetry.stores import StoreMetrics
from controlplane.telemetry.traffic import TrafficMetrics

SILENT: Final = (
    (RequestMetrics, "answered"),
    (RequestMetrics, "routed"),
    (StoreMetrics, "call_sent"),
    (StoreMetrics, "renewed"),
    (StoreMetrics, "looked"),
    (NodeMetrics, "happened"),
    (HttpMetrics, "route"),  # the edge does without what it is not given
    (TrafficMetrics, "between"),  # and so do lanes
)
AT_START: Final = "from controlplane.bench.unobserved import unplug\n\nunplug()\n"


def unplug() -> None:
    """Make every metric of nodes that this process runs do nothing."""
    for owner, name in SILENT:
        assert name in vars(owner), f"{owner.__name__} has no {name} to unplug"
        setattr(owner, name, _nothing)
    setattr(StoreMetrics, "answers_of", lambda *_: _nothing)  # noqa: B010 - it is no assignment


def environment(folder: Path) -> dict[str, str]:
    """Variables with which every Python process begins by `unplug`; the folder becomes theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(AT_START, encoding="utf-8")
    kept = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *([kept] if kept else [])])}


def _nothing(*_: Any, **__: Any) -> None:
    """What an unplugged metric does."""
