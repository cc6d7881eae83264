"""The dashboards as files, as they are committed in deploy/grafana."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from controlplane.telemetry.dashboards.debug import DEBUG
from controlplane.telemetry.dashboards.executive import EXECUTIVE
from controlplane.telemetry.dashboards.on_call import ON_CALL
from controlplane.telemetry.dashboards.panel import Dashboard, written

FOLDER: Final = Path("deploy/grafana")
RUNBOOKS: Final = "https://leadplane.example/docs/runbooks"
DASHBOARDS: Final[tuple[Dashboard, ...]] = (EXECUTIVE, ON_CALL, DEBUG)


def dashboard_files(runbooks: str = RUNBOOKS) -> dict[str, str]:
    """Every file by its name."""
    return {
        f"{each.uid}.json": json.dumps(written(each, runbooks), indent=1) + "\n"
        for each in DASHBOARDS
    }


def write_dashboards(folder: Path, runbooks: str = RUNBOOKS) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboard_files(runbooks).items():
        (folder / name).write_text(text, encoding="utf-8")
