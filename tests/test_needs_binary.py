"""A missing program skips a test on a contributor's machine, and fails it in CI."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

NeedsBinary = Callable[[str], Path]

ABSENT = "no-program-has-this-name"


@pytest.mark.parametrize("ci", ["", "0", "false"])
def test_missing_program_skips_outside_ci(
    ci: str, needs_binary: NeedsBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match=ABSENT):
        needs_binary(ABSENT)


def test_missing_program_fails_in_ci(
    needs_binary: NeedsBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=ABSENT):
        needs_binary(ABSENT)


@pytest.mark.needs_binary("sh")
def test_present_program_is_found(needs_binary: NeedsBinary) -> None:
    assert needs_binary("sh").samefile(shutil.which("sh") or sys.executable)
