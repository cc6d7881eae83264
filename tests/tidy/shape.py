"""Rules on the shape of a file: its size, its name, its docstring, what it swallows."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.tidy.tree import PACKAGES, SourceFile

FILE_LINES_MIN = 20
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

BANNED_NAMES = frozenset(
    {
        "base",
        "common",
        "core",
        "helper",
        "helpers",
        "manager",
        "managers",
        "misc",
        "stuff",
        "util",
        "utils",
    }
)
MAY_BE_SMALL = frozenset({"__init__", "__main__", "errors", "settings"})
CODE_SUFFIXES = (".py", ".lua")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def file_size(source: SourceFile) -> Iterator[str]:
    """Code files hold to the limits; a module of a package is worth its own file."""
    if not source.path.endswith(CODE_SUFFIXES):
        return
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{source.path}: {lines} lines, at most {FILE_LINES_MAX}: what wants out?"
    is_module = source.path.endswith(".py") and source.is_in(*PACKAGES)
    if is_module and source.stem not in MAY_BE_SMALL and lines < FILE_LINES_MIN:
        yield f"{source.path}: {lines} lines, at least {FILE_LINES_MIN}: where does it belong?"


def line_width(source: SourceFile) -> Iterator[str]:
    """Scripts of the stores keep the width that ruff keeps for Python."""
    if not source.path.endswith(".lua"):
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > COLUMNS_MAX:
            yield f"{source.path}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"


def function_size(source: SourceFile) -> Iterator[str]:
    """A function's code fits one screen; its docstring and decorators are not counted."""
    if not source.path.endswith(".py"):
        return
    for node in ast.walk(source.tree()):
        if isinstance(node, Function) and (lines := _code_lines(node)) > FUNCTION_LINES_MAX:
            yield (
                f"{source.path}:{node.lineno}: {node.name} has {lines} lines, "
                f"at most {FUNCTION_LINES_MAX}"
            )


def _code_lines(node: Function) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return lines


def file_name(source: SourceFile) -> Iterator[str]:
    """A name says what is inside; the banned ones say only that nobody knew."""
    if not source.path.endswith(CODE_SUFFIXES):
        return
    for part in PurePosixPath(source.path).with_suffix("").parts:
        name = part.removeprefix("test_")
        if name.rsplit("_", 1)[-1] in BANNED_NAMES:
            yield f"{source.path}: a file or folder is not called {part!r}"


def module_docstring(source: SourceFile) -> Iterator[str]:
    """Every module opens by saying what it is for."""
    if source.path.endswith(".py") and not (ast.get_docstring(source.tree()) or "").strip():
        yield f"{source.path}: no module docstring"


def swallowed_errors(source: SourceFile) -> Iterator[str]:
    """No handler does nothing, none catches everything unnamed, none suppresses it all."""
    if not source.path.endswith(".py"):
        return
    for node in ast.walk(source.tree()):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"{source.path}:{node.lineno}: a bare except catches even a cancellation"
            if all(_does_nothing(statement) for statement in node.body):
                yield f"{source.path}:{node.lineno}: an error is swallowed"
        elif isinstance(node, ast.Call) and _suppresses_everything(node):
            yield f"{source.path}:{node.lineno}: suppress names the one error it expects"


def _does_nothing(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass)


def _suppresses_everything(call: ast.Call) -> bool:
    if ast.unparse(call.func) not in {"suppress", "contextlib.suppress"}:
        return False
    return any(ast.unparse(name) in {"Exception", "BaseException"} for name in call.args)
