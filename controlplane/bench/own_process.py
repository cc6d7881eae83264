"""A measurement in a process of its own: nothing that ran before it weighs on what it finds.

A module takes part when `python -m MODULE FOLDER EXTENT` (JSON) writes what it found as one line of
JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from controlplane.bench.load import LoadBroken
from controlplane.ephemeral import ephemeral_directory

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def found_alone(module: str, extent: DataclassInstance, what: str, seconds_max: float) -> Any:
    """What a module found. Raises LoadBroken, which says of `what` it did not succeed."""
    with ephemeral_directory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", module, str(folder), json.dumps(asdict(extent))],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds_max,
        )
    if done.returncode != 0:
        raise LoadBroken(f"{what}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)
