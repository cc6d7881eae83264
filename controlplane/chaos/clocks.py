"""Clocks of single nodes, made to jump and to run at another rate while the node runs.

A small library (`clock_shim.c`, compiled where a C compiler is found) is preloaded into the node
and changes what it reads, as a control file says that both have mapped. It counts the answers that
it has changed. Stores use no clock that matters, so only nodes get it.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import time
from importlib.resources import files
from pathlib import Path

from controlplane.child_process import Surroundings
from controlplane.errors import ChaosImpossible

COMPILERS = ("gcc", "cc", "clang")
_SINCE, _AHEAD, _PPM, _STEP, _CHANGED, _VERSION = range(6)
_BYTES = 64
_NS = 1_000_000_000


def why_not() -> str:
    """Why clocks cannot be changed here, "" where they can."""
    return "" if _compiler() else f"no C compiler ({', '.join(COMPILERS)}) is on PATH"


class Clocks:
    """The clocks of some nodes. Files are kept in `folder`, which outlives the nodes."""

    def __init__(self, nodes: tuple[str, ...], folder: Path) -> None:
        """Raises ChaosImpossible where there is no C compiler."""
        self._library = _compiled(folder)
        self._paths = {node: folder / f"{node}.clock" for node in nodes}
        self._controls: dict[str, mmap.mmap] = {}
        for node, path in self._paths.items():
            path.write_bytes(bytes(_BYTES))
            with path.open("r+b") as file:
                self._controls[node] = mmap.mmap(file.fileno(), _BYTES)

    def close(self) -> None:
        """Let go of the files."""
        for control in self._controls.values():
            control.close()

    def within(self) -> dict[str, Surroundings]:
        """What each node must be started with."""
        return {
            node: Surroundings(
                environment=(
                    ("LD_PRELOAD", str(self._library)),
                    ("LEADPLANE_CLOCK_FILE", str(path)),
                )
            )
            for node, path in self._paths.items()
        }

    def run_faster(self, node: str, percent: float) -> None:
        """From now on all its clocks run so much faster; 0 ends that, and keeps the lead."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        since_ns, ahead_ns, ppm = (self._get(node, at) for at in (_SINCE, _AHEAD, _PPM))
        lead_ns = ahead_ns + (now_ns - since_ns) // 1_000 * ppm // 1_000
        self._set(node, {_SINCE: now_ns, _AHEAD: lead_ns, _PPM: round(percent * 10_000)})

    def step(self, node: str, seconds: float) -> None:
        """From now on the node's wall clock is ahead by so much; 0 ends that."""
        self._set(node, {_STEP: round(seconds * _NS)})

    def changed(self, node: str) -> int:
        """How many answers were changed so far."""
        return self._get(node, _CHANGED)

    def _get(self, node: str, field: int) -> int:
        (value,) = struct.unpack_from("=q", self._controls[node], field * 8)
        return int(value)

    def _set(self, node: str, values: dict[int, int]) -> None:
        version = self._get(node, _VERSION)
        self._put(node, _VERSION, version + 1)
        for field, value in values.items():
            self._put(node, field, value)
        self._put(node, _VERSION, version + 2)

    def _put(self, node: str, field: int, value: int) -> None:
        struct.pack_into("=q", self._controls[node], field * 8, value)


def _compiler() -> str | None:
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def _compiled(folder: Path) -> Path:
    compiler = _compiler()
    if compiler is None:
        raise ChaosImpossible(f"clocks cannot be changed: {why_not()}")
    source, library = folder / "clock_shim.c", folder / "clock_shim.so"
    text = files("controlplane.chaos").joinpath("clock_shim.c").read_text(encoding="utf-8")
    source.write_text(text, encoding="utf-8")
    words = [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    done = subprocess.run(
        [*words, "-o", str(library), str(source), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ChaosImpossible(f"the clock library does not compile: {done.stderr.strip()}")
    return library
