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
NEAR = S  # how far two processes may be apart that read the same clock one after the other
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

    def ahead_ns(self) -> list[int]:
        """By how much boot time, monotonic and wall clock (twice) are ahead of the true ones."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        shown = [int(word) for word in self.process.stdout.readline().split()]
        true = [time.clock_gettime_ns(each) for each in IDS]
        return [a - b for a, b in zip(shown, true, strict=True)]


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
    assert all(abs(ahead) < NEAR for ahead in reader.ahead_ns())
    assert clocks.changed("n1") == 0


def test_a_step_moves_the_wall_clock_alone_and_is_taken_back(
    clocks: Clocks, reader: Reader
) -> None:
    clocks.step("n1", -7_200)
    boot, monotonic, *wall = reader.ahead_ns()
    assert abs(boot) < NEAR
    assert abs(monotonic) < NEAR
    assert all(abs(ahead + 7_200 * S) < NEAR for ahead in wall)
    assert clocks.changed("n1") >= 2
    clocks.step("n1", 0)
    assert all(abs(ahead) < NEAR for ahead in reader.ahead_ns())


def test_a_fast_clock_gains_on_all_and_keeps_its_lead(clocks: Clocks, reader: Reader) -> None:
    clocks.run_faster("n1", 50)
    began_ns = time.monotonic_ns()
    while (gained := min(reader.ahead_ns())) < S // 5:
        assert time.monotonic_ns() - began_ns < 30 * S
    clocks.run_faster("n1", 0)
    after = reader.ahead_ns()
    assert min(after) >= gained
    assert max(after) < 0.6 * (time.monotonic_ns() - began_ns) + NEAR


def test_time_never_goes_back_when_rates_change(clocks: Clocks, reader: Reader) -> None:
    last = 0
    for percent in (50, -50, 0, 10, -10):
        clocks.run_faster("n1", percent)
        for _ in range(20):
            shown = reader.ahead_ns()[0] + time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            assert shown > last - S // 100  # the true clock is read a moment later than the other
            last = shown
