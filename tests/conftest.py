"""What every test may ask for: programs of the system, by name; and what all of them share.

A test that needs a real server says so with a marker or with the fixture of the same name:

    @pytest.mark.needs_binary("redis-server")
    async def test_replies_agree(...): ...

    def test_store_starts(needs_binary): path = needs_binary("redis-server")

On a contributor's machine such a test is skipped, with the reason, when the program is missing.
In CI a missing program is a failure: a suite that skips what it was meant to show is not green.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time: a test that fails was broken by a change, not by luck. And no limit
# of time for one example, since a machine may be busy; a whole test has one.
settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.load_profile("steady")

FALSE_WORDS = frozenset({"", "0", "false", "no"})


def in_ci() -> bool:
    """True where the environment says that this is a CI run (`CI=true`)."""
    return os.environ.get("CI", "").lower() not in FALSE_WORDS


def require_binary(name: str) -> Path:
    """The path of the program `name`; without it, skip the test, or fail it in CI."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    if in_ci():
        pytest.fail(f"{name} is not on PATH, and CI must not skip: see .ci/run", pytrace=False)
    pytest.skip(f"needs {name} on PATH")


@pytest.fixture(scope="session")
def needs_binary() -> Callable[[str], Path]:
    """A function from the name of a program to its path, which skips or fails as stated above."""
    return require_binary


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour `needs_binary` before anything of the test runs."""
    for marker in item.iter_markers("needs_binary"):
        for name in marker.args:
            require_binary(name)
