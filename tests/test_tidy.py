"""The tree keeps the house rules, and each rule is seen to fail on a sample that breaks it."""

from collections.abc import Callable, Iterator

import pytest

from tests.tidy import imports, inheritance, prose, shape
from tests.tidy.tree import SourceFile, project_files

Rule = Callable[[SourceFile], Iterator[str]]

RULES: tuple[Rule, ...] = (
    shape.file_size,
    shape.line_width,
    shape.function_size,
    shape.file_name,
    shape.module_docstring,
    shape.swallowed_errors,
    imports.purity,
    prose.unfinished_marks,
    prose.traces,
)

LONG_FUNCTION = "def f():\n" + "    g()\n" * shape.FUNCTION_LINES_MAX
LONG_DOCSTRING = 'def f():\n    """' + "x\n    " * shape.FUNCTION_LINES_MAX + '"""\n    g()\n'


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    assert [complaint for source in project_files() for complaint in rule(source)] == []


def test_every_module_is_used() -> None:
    assert list(imports.dead_modules(project_files())) == []


def test_nothing_inherits_what_it_could_hold() -> None:
    assert list(inheritance.inheritance(project_files())) == []


def test_every_link_leads_somewhere() -> None:
    files = project_files()
    assert [complaint for page in files for complaint in prose.dead_links(page, files)] == []


BROKEN: tuple[tuple[Rule, str, str], ...] = (
    (shape.file_size, "tests/test_long.py", "x = 1\n" * (shape.FILE_LINES_MAX + 1)),
    (shape.file_size, "shards/scripts/a.lua", "\n" * (shape.FILE_LINES_MAX + 1)),
    (shape.file_size, "shards/tiny.py", '"""Tiny."""\n'),
    (shape.line_width, "regions/scripts/a.lua", "x" * (shape.COLUMNS_MAX + 1)),
    (shape.function_size, "shards/a.py", LONG_FUNCTION),
    (shape.function_size, "tests/test_a.py", "async " + LONG_FUNCTION),
    (shape.file_name, "shards/utils.py", ""),
    (shape.file_name, "tests/test_helpers.py", ""),
    (shape.file_name, "controlplane/core/node.py", ""),
    (shape.file_name, "regions/store_manager.py", ""),
    (shape.module_docstring, "regions/a.py", "x = 1\n"),
    (shape.module_docstring, "regions/__init__.py", ""),
    (shape.swallowed_errors, "a.py", "try:\n    f()\nexcept ValueError:\n    pass\n"),
    (shape.swallowed_errors, "a.py", "try:\n    f()\nexcept ValueError:\n    ...\n"),
    (shape.swallowed_errors, "a.py", "try:\n    f()\nexcept:\n    raise\n"),
    (shape.swallowed_errors, "a.py", "with contextlib.suppress(Exception):\n    f()\n"),
    (imports.purity, "regions/quorum.py", "import time\n"),
    (imports.purity, "shards/election.py", "from random import choice\n"),
    (imports.purity, "shards/log.py", "def f():\n    import os.path\n"),
    (imports.purity, "shards/scripts/model.py", "from collections import abc\nimport asyncio\n"),
    (imports.purity, "controlplane/node/duties.py", "from controlplane import runtime\n"),
    (imports.purity, "controlplane/machine.py", "from regions.redis_store import RedisStore\n"),
    (prose.unfinished_marks, "a.lua", "-- TODO later\n"),
    (prose.unfinished_marks, "docs/A.md", "FIXME: say more\n"),
    (prose.traces, "README.md", "see ../shared/design\n"),
    (prose.traces, "config/a.py", "open('../shared/data/a.csv')\n"),
    (prose.traces, "tests/test_a.py", "open('../shared/design/a.md')\n"),
    (prose.traces, "Makefile", "cd /work/main\n"),
    (prose.traces, "Makefile", "ls /home/me/x\n"),
    (prose.traces, "constraints.txt", "--index-url https://somewhere/simple\n"),
    (prose.traces, "constraints.txt", "a @ https://files.pythonhosted.org/a.whl\n"),
    (prose.traces, "CHANGELOG.md", "closes issue #2\n"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rule_sees_a_broken_file(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(SourceFile(path, text)))) == 1


FINE: tuple[tuple[Rule, str, str], ...] = (
    (shape.file_size, "tests/test_long.py", "x = 1\n" * shape.FILE_LINES_MAX),
    (shape.file_size, "config/defaults/rtt.csv", "1,2\n" * 10_000),
    (shape.file_size, "shards/errors.py", '"""Errors."""\n'),
    (shape.function_size, "shards/a.py", LONG_DOCSTRING),
    (shape.file_name, "shards/baseline.py", ""),
    (shape.swallowed_errors, "a.py", "with contextlib.suppress(KeyError):\n    f()\n"),
    (shape.swallowed_errors, "a.py", "try:\n    f()\nexcept ValueError:\n    return None\n"),
    (imports.purity, "shards/settings.py", "import pydantic\n"),
    (imports.purity, "shards/placement/solve.py", "import time\n"),
    (imports.purity, "shards/log.py", "import timeit_is_not_time\n"),
    (imports.purity, "controlplane/runtime/node.py", "import asyncio\n"),
    (prose.unfinished_marks, "a.py", "mktemp('XXXXXX')\n"),
    (prose.traces, "tests/test_a.py", "open('../shared/data/a.csv')\n"),
    (prose.traces, "docs/A.md", "the network/root/ of trust; a framework/\n"),
)


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_rule_lets_a_good_file_be(rule: Rule, path: str, text: str) -> None:
    assert list(rule(SourceFile(path, text))) == []


def test_every_rule_has_a_sample_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_a_module_that_only_tests_import_is_dead() -> None:
    files = (
        SourceFile("shards/a.py", "import shards.a\n"),
        SourceFile("shards/b.py", ""),
        SourceFile("shards/c.py", "from shards import b\nfrom shards.d import thing\n"),
        SourceFile("shards/d.py", "LATE = 'shards.c:run'\n"),
        SourceFile("controlplane/simulator/world.py", ""),
        SourceFile("controlplane/cli/main.py", ""),
        SourceFile("tests/test_a.py", "import shards.a\nimport controlplane.simulator.world\n"),
    )
    assert list(imports.dead_modules(files)) == ["shards/a.py: nobody imports it"]


def test_only_some_classes_are_bases() -> None:
    files = (
        SourceFile("config/a.py", "class A(pydantic.BaseModel): ...\nclass B(A): ...\n"),
        SourceFile("config/errors.py", "class Gone(ConfigError): ...\n"),
        SourceFile("shards/b.py", "class C: ...\nclass D(C): ...\nclass E(Protocol[T]): ...\n"),
    )
    assert list(inheritance.inheritance(files)) == ["shards/b.py:2: D inherits from C"]


def test_links_are_followed() -> None:
    here = SourceFile("docs/HERE.md", "# Here we are\n")
    page = SourceFile(
        "docs/PAGE.md",
        "[a](HERE.md) [b](HERE.md#here-we-are) [c](https://example.com/x) [d](../docs)\n"
        "[e](GONE.md) [f](HERE.md#there) [g](#nowhere)\n```\n[h](GONE.md)\n```\n",
    )
    code = SourceFile("a.py", "# see docs/HERE.md and docs/GONE.md\n")
    files = (here, page, code)
    assert [c for file in files for c in prose.dead_links(file, files)] == [
        "docs/PAGE.md: links to GONE.md, which is not there",
        "docs/PAGE.md: links to #there, which is no heading of docs/HERE.md",
        "docs/PAGE.md: links to #nowhere, which is no heading of docs/PAGE.md",
        "a.py: mentions docs/GONE.md, which is not there",
    ]
