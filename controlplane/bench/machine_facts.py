"""What a figure depends on beside the code: the machine, the disk, the versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FSYNC_RUNS = 200
FSYNC_BYTES = 256


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Where and with what a measurement was made."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    filesystem: str
    fsync_p50_ms: float
    commit: str
    at: str


def machine_facts(folder: Path | None = None) -> MachineFacts:
    """Look around; `folder` is on the disk that the stores will write to."""
    where = folder or Path(tempfile.gettempdir())
    return MachineFacts(
        processor=processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        filesystem=_filesystem(where),
        fsync_p50_ms=_fsync_p50_ms(where),
        commit=commit(),
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


RECORDS = ":!docs/results"
"""What was measured before is no change of what is measured."""


def commit() -> str:
    """The commit this code is from, `+changes` when the tree differs; `unknown` outside git."""
    root = Path(__file__).resolve().parents[2]
    git = ["git", "-c", "safe.directory=*", "-C", str(root)]
    try:
        said = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", RECORDS],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def processor() -> str:
    """The model of this machine's processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the file system that `folder` is on: the longest mount point wins."""
    here = str(folder.resolve())
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, name, *_ = line.split()
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind


def _fsync_p50_ms(folder: Path) -> float:
    """What a small durable write costs here, whoever makes it: the floor under every figure."""
    durations = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNC_RUNS):
            file.write(b"x" * FSYNC_BYTES)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            durations.append((time.perf_counter() - started) * 1000.0)
    return round(sorted(durations)[FSYNC_RUNS // 2], 3)
