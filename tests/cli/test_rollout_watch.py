"""`rollouts get --watch` and `rollouts status`: what is told on the way, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from config.rollout import Pause, Phase, Reached, Why
from controlplane.cli import rollout_watch
from tests.cli.sample_rollout import FAILED, REPORTED, at
from tests.cli.stub_fleet import StubFleet, leadplane

PATH = "/v1/rollouts/7"
HEAD = "Rollout 7: flags to version 5, by canary"
SENT = at(Phase.APPLYING, Reached.SENT, sequence=2)
BAKING = at(Phase.BAKING, Reached.APPLIED, sequence=3)
GATING = at(
    Phase.GATING,
    Reached.APPLIED,
    sequence=4,
    baked_ms=600_000,
    silent=1,
    looks=(FAILED, REPORTED),
)
LAST = at(Phase.FINAL_BAKE, *[Reached.HEALTHY] * 3, wave=1, sequence=8)
DONE = at(Phase.SUCCEEDED, *[Reached.HEALTHY] * 3, wave=1, sequence=9)
BACK = at(
    Phase.ROLLED_BACK, Reached.REVERTED, sequence=9, why="fleet: errors grew"
)  # fmt: skip
ABSENT = {"type": "/problems/unknown-rollout", "title": "There is none", "status": 404}
BUSY = {"type": "/problems/no-leader", "title": "x", "status": 503, "retry_after_ms": 9}


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.now_s += seconds

    def monotonic(self) -> float:
        """What time it is."""
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nobody waits for real."""
    found = Clock()
    monkeypatch.setattr(rollout_watch, "time", found)
    return found


def test_outside_of_a_terminal_each_thing_that_happens_is_a_line(fleet: StubFleet) -> None:
    fleet.one_after_the_other(PATH, SENT, SENT, BAKING, GATING, LAST, DONE)
    done = leadplane("rollouts", "get", "7", "--watch")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{HEAD}: applying, wave 1 of 2.",
        "  ap-southeast-1: applied",
        f"{HEAD}: baking, wave 1 of 2, 0 of 10m.",
        "  gate fleet: fail (errors: 3 % beside 0.1 %)",
        "  gate page: no-data, only reported (nobody there)",
        "  Gates: 0 of 1 good in a row, 0 failed (borne: 0), 1 without an answer (borne: 4)",
        f"{HEAD}: gating, wave 1 of 2.",
        "  ap-southeast-1: healthy",
        "  eu-central-1: healthy",
        "  us-east-1: healthy",
        f"{HEAD}: final-bake, wave 2 of 2, 0 of 30m.",
        f"{HEAD}: succeeded.",
    ]


def test_in_a_terminal_it_is_drawn_in_place_and_its_end_stays(fleet: StubFleet) -> None:
    fleet.one_after_the_other(PATH, BAKING, DONE)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "controlplane.cli.main", "rollouts", "get", "7", "--watch"]
    done = subprocess.run(command, check=False, stdout=theirs, timeout=60)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # all was read of a terminal that nobody has open any more
            break
        drawn += piece
    os.close(ours)
    assert done.returncode == 0
    screens = drawn.decode().split(HEAD)
    assert ": baking, wave 1 of 2" in screens[1]
    assert ": succeeded." in screens[-1]
    assert "\x1b[1A" in drawn.decode(), "it was drawn over"


def test_a_copy_that_is_behind_takes_nothing_back(fleet: StubFleet) -> None:
    fleet.one_after_the_other(PATH, BAKING, SENT, DONE)
    lines = leadplane("rollouts", "get", "7", "--watch", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 9]


def test_a_rollout_that_is_not_there_yet_is_waited_for_but_not_for_long(
    fleet: StubFleet, clock: Clock
) -> None:
    fleet.one_after_the_other(PATH, ABSENT, ABSENT, DONE)
    assert leadplane("rollouts", "get", "7", "--watch").exit_code == 0
    fleet.one_after_the_other(PATH, ABSENT)
    before_s = clock.now_s
    done = leadplane("rollouts", "status", "7")
    assert (done.exit_code, "leadplane rollouts list" in done.stderr) == (1, True)
    assert 5 <= clock.now_s - before_s < 6


def test_while_nobody_leads_it_is_asked_again(fleet: StubFleet, clock: Clock) -> None:
    fleet.one_after_the_other(PATH, SENT, *[BUSY] * 9, DONE)
    assert leadplane("rollouts", "get", "7", "--watch").exit_code == 0
    fleet.one_after_the_other(PATH, SENT, BUSY)
    before_s = clock.now_s
    assert leadplane("rollouts", "get", "7", "--watch").exit_code == 1
    assert 30 <= clock.now_s - before_s < 32


def test_a_fleet_that_is_not_there_is_told_soon_unless_time_was_given(
    fleet: StubFleet, clock: Clock
) -> None:
    fleet.document(PATH, BUSY, status=503)
    assert leadplane("rollouts", "get", "7", "--watch").exit_code == 1
    assert 5 <= clock.now_s < 6
    done = leadplane("rollouts", "status", "7", "--timeout", "20s")
    assert (done.exit_code, "try again" in done.stderr) == (3, True)
    assert 25 <= clock.now_s < 27


def paused(why: Why, until_ms: int = 0) -> dict[str, Any]:
    """The rollout while it stands."""
    return at(Phase.APPLYING, pause=Pause(why, detail="us-east-1", until_ms=until_ms))


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((SENT, DONE), 0),
        ((SENT, BACK), 1),
        ((at(Phase.SUPERSEDED, sequence=9),), 1),
        ((at(Phase.HELD, sequence=9),), 1),
        ((SENT,), 3),
        ((at(Phase.STUCK, Reached.REVERTING, sequence=9),), 3),
        ((paused(Why.FROZEN, 9_999_999_999_999),), 3),
        ((BUSY,), 3),
        ((SENT, paused(Why.APPROVAL) | {"sequence": 3}), 4),
        ((paused(Why.INCONCLUSIVE),), 4),
        ((paused(Why.UNREACHABLE),), 4),
        ((ABSENT,), 1),
    ],
)
def test_how_it_ended_is_the_exit_status(
    fleet: StubFleet, answers: tuple[dict[str, Any], ...], status: int
) -> None:
    fleet.one_after_the_other(PATH, *answers)
    done = leadplane("rollouts", "status", "7", "--timeout", "1m")
    assert done.exit_code == status, done.output


def test_a_pause_for_a_person_is_told_soon_and_a_region_waited_for(
    fleet: StubFleet, clock: Clock
) -> None:
    fleet.document(PATH, paused(Why.APPROVAL))
    done = leadplane("rollouts", "status", "7", "--timeout", "1h")
    assert 3 <= clock.now_s < 4
    assert done.stderr == (
        "Let wave 1 begin: leadplane rollouts resume 7\nGo back: leadplane rollouts abort 7\n"
    )
    fleet.document(PATH, paused(Why.UNREACHABLE))
    leadplane("rollouts", "status", "7", "--timeout", "1m")
    assert clock.now_s == pytest.approx(60, abs=4)


def test_what_was_just_resumed_is_not_taken_for_paused(fleet: StubFleet) -> None:
    fleet.one_after_the_other(PATH, *[paused(Why.APPROVAL)] * 3, BAKING, DONE)
    done = leadplane("rollouts", "status", "7", "--timeout", "1h")
    assert (done.exit_code, done.stderr) == (0, "")


def test_status_without_time_looks_once(fleet: StubFleet, clock: Clock) -> None:
    fleet.document(PATH, BAKING)
    done = leadplane("rollouts", "status", "7", "--timeout", "0")
    assert (done.exit_code, clock.now_s) == (3, 0)
    assert done.stdout == f"{HEAD}: baking, wave 1 of 2, 0 of 10m.\n"
    assert done.stderr == "error: it still goes on after 0: baking\n"
    assert leadplane("rollouts", "status", "seven").exit_code == 2


def test_the_end_of_a_rollout_that_failed_says_why(fleet: StubFleet) -> None:
    fleet.one_after_the_other(PATH, BAKING, BACK)
    done = leadplane("rollouts", "status", "7")
    assert done.stdout.splitlines()[-1] == f"{HEAD}: rolled-back (fleet: errors grew)"
    fleet.one_after_the_other(PATH, BACK)
    at_once = leadplane("rollouts", "status", "7")
    assert at_once.stdout == f"{HEAD}: rolled-back (fleet: errors grew)\n"
