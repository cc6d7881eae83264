"""The rule on inheritance: from exceptions, protocols, enums and pydantic models only."""

import ast
from collections.abc import Iterable, Iterator

from tests.tidy.tree import PACKAGES, SourceFile

ROOT_CLASSES = frozenset(
    {
        "BaseModel",
        "BaseSettings",
        "Enum",
        "Flag",
        "Generic",
        "IntEnum",
        "NamedTuple",
        "Protocol",
        "RootModel",
        "StrEnum",
        "TypedDict",
        # A framework that can be extended in no other way.
        "Command",
        "Group",
        "ParamType",
        "RequestHandler",
        "AbstractProvider",
    }
)
EXCEPTION_ENDINGS = ("Error", "Exception", "Warning")


def inheritance(sources: Iterable[SourceFile]) -> Iterator[str]:
    """Classes of the packages with a base that is none of these, nor derived from one."""
    ours = [s for s in sources if s.path.endswith(".py") and s.is_in(*PACKAGES)]
    classes = {node.name: node for source in ours for node in _classes(source)}
    for source in ours:
        for node in _classes(source):
            for base in _bases(node):
                if not _may_be_base(base, classes, frozenset({node.name})):
                    yield f"{source.path}:{node.lineno}: {node.name} inherits from {base}"


def _classes(source: SourceFile) -> list[ast.ClassDef]:
    return [node for node in ast.walk(source.tree()) if isinstance(node, ast.ClassDef)]


def _bases(node: ast.ClassDef) -> list[str]:
    """Simple names of the bases: `Store` for `regions.store.Store[int]`."""
    return [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]


def _may_be_base(name: str, classes: dict[str, ast.ClassDef], seen: frozenset[str]) -> bool:
    if name in ROOT_CLASSES or name.endswith(EXCEPTION_ENDINGS):
        return True
    if name in seen or name not in classes:
        return False
    bases = _bases(classes[name])
    return bool(bases) and all(_may_be_base(base, classes, seen | {name}) for base in bases)
