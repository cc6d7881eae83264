"""Faults are done to those meant, for their time, and undone whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controlplane.chaos.clients import RunClock
from controlplane.chaos.evidence import Sign
from controlplane.chaos.eyes import Eyes, grown
from controlplane.chaos.faults import Timeline, said, watch_signs
from controlplane.chaos.roles import Kind, Site
from controlplane.chaos.scenario import (
    Clock,
    Cut,
    Fault,
    Fill,
    Forget,
    Hamper,
    Kill,
    Restart,
    Slow,
    Snap,
    Stop,
)
from controlplane.chaos.struck import Evidence, Struck
from controlplane.chaos.ways import Hindrance
from controlplane.http_client import HttpClient
from tests.chaos.paper_fleet import PaperFleet

SITES = (Site("n1", Kind.NODE, "eu", "a"), Site("n2", Kind.NODE, "eu", "b"))
STORES = (Site("s1", Kind.STORE, "eu", "a"), Site("s2", Kind.STORE, "eu", "b"))

DONE: tuple[tuple[Fault, list[tuple[Any, ...]]], ...] = (
    (
        Kill(at_s=0, do="kill", to="all nodes", times=2, every_s=0.01),
        [("kill", "n1"), ("kill", "n2"), ("kill", "n1"), ("kill", "n2")],
    ),
    (
        Kill(at_s=0, do="kill", to="node n2", for_s=0.01),
        [("hold", "n2"), ("kill", "n2"), ("let go", "n2")],
    ),
    (Restart(at_s=0, do="restart", to="node n1"), [("end", "n1")]),
    (
        Stop(at_s=0, do="stop", to="all nodes", for_s=0.01),
        [("stop", "n1"), ("stop", "n2"), ("go on", "n1"), ("go on", "n2")],
    ),
    (Cut(at_s=0, do="cut", away="store s1", for_s=0.01), [("cut", 6), ("mend", False)]),
    (
        Cut(at_s=0, do="cut", away="store s1", for_s=0.01, way="in", ends="lost"),
        [("cut", 3), ("mend", True)],
    ),
    (
        Hamper(at_s=0, do="hamper", to="store s2", for_s=0.01, delay_ms=7),
        [("hamper", "s2", Hindrance(7)), ("ease",)],
    ),
    (Snap(at_s=0, do="snap", to="node n1"), [("snap", "n1")]),
    (
        Fill(at_s=0, do="fill", to="store s1", for_s=0.01, what="memory", leave_mib=3),
        [("fill", "s1", "memory", 3), ("empty", "s1", "memory")],
    ),
    (Forget(at_s=0, do="forget", to="store s2", how="wiped"), [("forget", "s2", "wiped")]),
)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for counters of a fleet that has none."""
    monkeypatch.setattr("controlplane.chaos.evidence.SHOWN_S_MAX", 0.0)
    monkeypatch.setattr("controlplane.chaos.faults.LOOK_S", 0.01)


async def struck_by(fault: Fault, fleet: PaperFleet) -> Struck:
    """Let one fault come to a fleet none of whose nodes answers."""
    async with HttpClient(connect_timeout_ms=10) as http:
        nobody = dict.fromkeys(fleet.urls, "http://127.0.0.1:1")
        timeline = Timeline(fleet, Eyes(http, nobody), RunClock())
        await timeline.run([fault])
    (struck,) = timeline.struck
    return struck


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("fault", "done"), DONE, ids=lambda each: getattr(each, "do", ""))
async def test_a_fault_is_done_and_undone(fault: Fault, done: list[tuple[Any, ...]]) -> None:
    fleet = PaperFleet((*SITES, *STORES))
    struck = await struck_by(fault, fleet)
    assert fleet.done == done
    assert (struck.kind, struck.failed) == (fault.do, "")
    assert struck.what == said(fault)


@pytest.mark.usefixtures("soon")
async def test_a_store_that_is_slow_sleeps_again_and_again() -> None:
    fleet = PaperFleet(STORES)
    slow = Slow(at_s=0, do="slow", to="store s1", for_s=0.1, share=0.5, period_ms=10)
    await struck_by(slow, fleet)
    assert fleet.done[:4] == [("stop", "s1"), ("go on", "s1")] * 2
    assert fleet.done[-1] == ("go on", "s1")


@pytest.mark.usefixtures("soon")
async def test_a_fault_that_cannot_be_done_is_told() -> None:
    clock = Clock(at_s=0, do="clock", to="node n9", for_s=0.01)
    struck = await struck_by(clock, PaperFleet(SITES))
    assert "nobody is 'node n9'" in struck.failed
    assert not struck.was_seen


async def test_what_sleeps_is_woken_when_the_run_is_cancelled() -> None:
    fleet = PaperFleet(SITES)
    run = asyncio.create_task(struck_by(Stop(at_s=0, do="stop", to="node n1", for_s=600), fleet))
    await asyncio.wait_for(fleet.sleeps.wait(), 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert fleet.done == [("stop", "n1"), ("go on", "n1")]


@pytest.mark.usefixtures("soon")
async def test_a_sign_counts_from_when_it_was_read_first_and_once_seen_stays_seen() -> None:
    values = iter([5, 7, 5])

    async def read() -> int:
        return next(values)

    sign = Sign("c", read, lambda before, now: now > before)
    other = iter([0, 0, 1])

    async def read_other() -> int:
        return next(other)

    late = Sign("d", read_other, lambda before, now: now > before)
    struck, over = Struck("kill", "kill", ("n1",), 0), asyncio.Event()
    await watch_signs(struck, [sign, late], [5, 0], over)
    assert struck.evidence == [Evidence("c", 5, 7, seen=True), Evidence("d", 0, 1, seen=True)]


def test_a_counter_that_began_anew_has_grown_by_what_it_shows() -> None:
    before = {"n1": {"c": 5.0}, "n2": {"c": 1.0}}
    after = {"n1": {"c": 2.0}, "n2": {"c": 4.0}, "n3": {"c": 1.0}}
    assert grown(before, after, "c") == 2 + 3 + 1
