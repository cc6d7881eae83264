"""Small disks for stores that are to run full: a file system in memory, mounted over their folder.

Only root can mount. Each mount is remembered by its path, and exactly that is unmounted at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from controlplane.errors import ChaosImpossible

DISK_MIB = 256
_BALLAST = "ballast"
_PIECE = bytes(1 << 20)


def why_not() -> str:
    """Why no disk can be made here, "" where it can."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    return "" if shutil.which("mount") else "there is no mount on PATH"


class SmallDisks:
    """Disks by the store that is on them."""

    def __init__(self) -> None:
        self._mounted: dict[str, Path] = {}

    def __contains__(self, store: str) -> bool:
        return store in self._mounted

    def make(self, store: str, folder: Path) -> None:
        """Put a store's folder on a disk of its own. Raises ChaosImpossible."""
        folder.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "lpchaos", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ChaosImpossible(f"a small disk cannot be mounted: {done.stderr.strip()}")
        self._mounted[store] = folder

    def fill(self, store: str, leave_mib: int) -> None:
        """Leave no more than this free."""
        folder = self._mounted[store]
        with (folder / _BALLAST).open("ab") as ballast:
            while shutil.disk_usage(folder).free >= (leave_mib + 1) << 20:
                ballast.write(_PIECE)
                ballast.flush()

    def empty(self, store: str) -> None:
        """Give the room back."""
        (self._mounted[store] / _BALLAST).unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount what was mounted. The stores must have ended."""
        while self._mounted:
            _, folder = self._mounted.popitem()
            subprocess.run(["umount", str(folder)], check=True, capture_output=True)
