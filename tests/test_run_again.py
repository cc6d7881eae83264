"""Which failures are given a second run, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run_again

FLEET = "tests/integration/test_up.py::test_it_comes_up[3]@fleet"


@pytest.mark.parametrize(
    ("failed", "files"),
    [
        ([FLEET], ["tests/integration/test_up.py"]),
        ([FLEET, FLEET.replace("[3]", "[5]")], ["tests/integration/test_up.py"]),
        ([FLEET, "tests/steps/test_tried.py::test_x"], []),
        ([f"tests/chaos/test_{n}.py::test_x" for n in range(run_again.FILES_MAX + 1)], []),
        ([], []),
    ],
)
def test_a_few_files_of_real_processes_are_run_again(failed: list[str], files: list[str]) -> None:
    assert run_again.files_to_run(failed) == files


@pytest.mark.parametrize(
    ("body", "status", "ended"),
    [("assert True", 1, 0), ("assert False", 1, 1), ("assert True", 2, 2)],
)
def test_what_fails_twice_fails_and_what_was_worse_than_failures_stays(
    body: str, status: int, ended: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = tmp_path / "tests" / "chaos" / "test_one.py"
    test.parent.mkdir(parents=True)
    test.write_text(f"def test_x() -> None:\n    {body}\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    monkeypatch.chdir(tmp_path)
    run_again.FAILED.parent.mkdir(parents=True)
    run_again.FAILED.write_text('{"tests/chaos/test_one.py::test_x": true}')
    assert run_again.main(status) == ended


def test_without_a_record_of_what_failed_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_again.main(1) == 1
