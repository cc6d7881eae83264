"""A node's clocks jump and run fast on demand; a real process reads them so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.chaos.clocks import Clocks

pytestmark = pytest.mark.needs_binary("gcc")

READER = """
import sys, time
for line in sys.stdin:
    ids = (time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC, time.CLOCK_REALTIME)
    print(*(time.clock_gettime_ns(each) for each in ids), int(time.time() * 1e9), flush=True)
"""
S = 1_000_000_000
NEAR = 5 * S  # how long a question may take on a busy machine
IDS = (time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC, time.CLOCK_REALTIME, time.CLOCK_REALTIME)


class Reader:
    """A process that reads its clocks when it is asked to."""

    def __init__(self, clocks: Clocks) -> None:
        environment = os.environ | dict(clocks.within()["n1"].environment)
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def shown_ns(self) -> list[int]:
        """Boot time, monotonic clock and wall clock (twice), as the process reads them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [int(word) for word in self.process.stdout.readline().split()]

    def ahead_ns(self) -> tuple[list[int], list[int]]:
        """By how much each is ahead of the true one: at least, and at most."""
        before = [time.clock_gettime_ns(each) for each in IDS]
        shown = self.shown_ns()
        after = [time.clock_gettime_ns(each) for each in IDS]
        least = [a - b for a, b in zip(shown, after, strict=True)]
        return least, [a - b for a, b in zip(shown, before, strict=True)]


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[Clocks]:
    made = Clocks(("n1",), tmp_path)
    yield made
    made.close()


@pytest.fixture
def reader(clocks: Clocks) -> Iterator[Reader]:
    made = Reader(clocks)
    yield made
    made.process.kill()
    made.process.communicate()


def test_clocks_are_true_until_they_are_broken(clocks: Clocks, reader: Reader) -> None:
    least, most = reader.ahead_ns()
    assert max(least) <= 1_000 <= min(most)  # the time in seconds is a float, and rounded
    assert clocks.changed("n1") == 0


def test_a_step_moves_the_wall_clock_alone_and_is_taken_back(
    clocks: Clocks, reader: Reader
) -> None:
    clocks.step("n1", -7_200)
    boot, monotonic, *wall = reader.ahead_ns()[0]
    assert abs(boot) < NEAR
    assert abs(monotonic) < NEAR
    assert all(abs(ahead + 7_200 * S) < NEAR for ahead in wall)
    assert clocks.changed("n1") >= 2
    clocks.step("n1", 0)
    assert all(abs(ahead) < NEAR for ahead in reader.ahead_ns()[0])


def test_a_fast_clock_gains_on_all_and_keeps_its_lead(clocks: Clocks, reader: Reader) -> None:
    began_ns = time.monotonic_ns()
    clocks.run_faster("n1", 50)
    while (gained := min(reader.ahead_ns()[0])) < S // 5:
        assert time.monotonic_ns() - began_ns < 60 * S
    clocks.run_faster("n1", 0)
    lasted_ns = time.monotonic_ns() - began_ns
    least, most = reader.ahead_ns()
    assert min(most) >= gained
    assert max(least) <= lasted_ns // 2 + 1_000


def test_time_never_goes_back_when_rates_change(clocks: Clocks, reader: Reader) -> None:
    last = reader.shown_ns()[:2]
    for percent in (50, -50, 0, 10, -10):
        clocks.run_faster("n1", percent)
        for _ in range(20):
            now = reader.shown_ns()[:2]
            assert all(a > b for a, b in zip(now, last, strict=True))
            last = now
