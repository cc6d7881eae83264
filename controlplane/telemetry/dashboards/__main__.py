"""Write the dashboards out: `python -m controlplane.telemetry.dashboards [FOLDER [RUNBOOKS]]`."""

from __future__ import annotations

import sys
from pathlib import Path

from controlplane.telemetry.dashboards.files import FOLDER, RUNBOOKS, write_dashboards

if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(arguments[0]) if arguments else FOLDER
    write_dashboards(folder, arguments[1] if len(arguments) > 1 else RUNBOOKS)
