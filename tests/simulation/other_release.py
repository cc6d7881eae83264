"""The node of another release beside ours, in one process: what a rolling upgrade runs.

The modules of the other tree are imported under their own names while ours stand aside; afterwards
each side holds on to its own. Events, effects and all that is in them are handed over as what the
other side calls by the same name: what only one side has is left out, as a wire would.
"""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from controlplane.machine import Effect, Event
from controlplane.node_plan import NodePlan
from controlplane.simulator.process import Claim
from controlplane.views import ShardView

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("regions", "shards", "config", "controlplane")
NEEDED = (
    "controlplane.machine",
    "controlplane.node",
    "controlplane.node_plan",
    "controlplane.requests",
    "controlplane.views",
    "regions.codec",
)
Modules = dict[str, ModuleType]


def unpack_release(commit: str, tree: Path) -> bool:
    """Put the product of a commit into a folder; False when this clone does not have it."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "archive", commit, *PRODUCT]
    packed = subprocess.run(git, capture_output=True, check=False)
    if packed.returncode:
        return False
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tree, filter="data")
    return True


def modules_of(tree: Path) -> Modules:
    """The modules that a node needs, from this tree."""
    with _aside(), _first_on_path(tree):
        for name in NEEDED:
            importlib.import_module(name)
        return dict(_loaded())


class OtherNode:
    """A node of the other release, for our driver."""

    def __init__(
        self, theirs: Modules, plan: NodePlan, draw: Callable[[], float], now_ms: int
    ) -> None:
        self._theirs = theirs
        self._ours = dict(_loaded())
        self._node = theirs["controlplane.node"].Node(translated(plan, theirs), draw, now_ms)

    @property
    def deadline_ms(self) -> int:
        return int(self._node.deadline_ms)

    @property
    def map_version(self) -> int:
        return int(self._node.map_version)

    def step(self, event: Event, now_ms: int) -> None:
        self._node.step(translated(event, self._theirs), now_ms)

    def advance(self, now_ms: int) -> None:
        self._node.advance(now_ms)

    def take(self, now_ms: int) -> list[Effect]:
        return [translated(effect, self._ours) for effect in self._node.take(now_ms)]

    def lease_claims(self, now_ms: int) -> list[Claim]:
        return list(self._node.lease_claims(now_ms))

    def shard_views(self, now_ms: int) -> tuple[ShardView, ...]:
        return tuple(translated(view, self._ours) for view in self._node.shard_views(now_ms))


def translated(value: Any, modules: Modules) -> Any:
    """The same value in the classes of other modules. Lists hold plain data, and stay."""
    kind = type(value)
    if is_dataclass(kind):
        twin = getattr(modules[kind.__module__], kind.__qualname__)
        given = {f.name: getattr(value, f.name) for f in fields(twin) if hasattr(value, f.name)}
        return twin(**{name: translated(each, modules) for name, each in given.items()})
    if isinstance(value, Enum) and kind.__module__ in modules:
        return getattr(modules[kind.__module__], kind.__qualname__)(value.value)
    if kind is tuple:
        return tuple(translated(each, modules) for each in value)
    return value


def _loaded() -> Iterator[tuple[str, ModuleType]]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PRODUCT:
            yield name, module


@contextmanager
def _aside() -> Iterator[None]:
    ours = dict(_loaded())
    for name in ours:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, _ in _loaded():
            del sys.modules[name]
        sys.modules.update(ours)


@contextmanager
def _first_on_path(tree: Path) -> Iterator[None]:
    sys.path.insert(0, str(tree))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(tree))
