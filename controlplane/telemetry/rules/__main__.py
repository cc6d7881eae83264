"""Write the rules out: `python -m controlplane.telemetry.rules [FOLDER [SCALE]]`."""

from __future__ import annotations

import sys
from pathlib import Path

from controlplane.telemetry.rules.files import FOLDER, write_rules
from controlplane.telemetry.rules.scale import Scale

if __name__ == "__main__":
    arguments = sys.argv[1:]
    folder = Path(arguments[0]) if arguments else FOLDER
    write_rules(folder, Scale(float(arguments[1]) if len(arguments) > 1 else 1.0))
