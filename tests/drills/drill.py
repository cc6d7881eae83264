"""One drill: a fault is injected, and it is timed how soon each of those tells who should."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from controlplane.cli.connection import CommandFailed
from tests.alerts.watched_fleet import WatchedFleet
from tests.cli.stub_fleet import leadplane
from tests.drills.book import Book, Finding, Quiet
from tests.drills.pace import ALERTS, SEEN_S, TIMES, TURN_S, held_s
from tests.drills.signals import Fires, Signal, paged
from tests.integration.runbook_reader import OF_LATE, status

LATE_S: Final = 60.0
"""So much longer than allowed is waited, to know by how much it is late."""
ENDS_S_MAX: Final = 900 * TIMES + 120
"""The longest window of an alert that is waited for, and time to be scraped."""
TOLD_S_MAX: Final = 60.0
OVER_S_MAX: Final = 120.0
LOOK_EVERY_S: Final = 0.5
NOTHING: Final = "nothing"
PAGE_WINDOW_S: Final = (
    2 * TURN_S
    + SEEN_S
    + max(held_s(alert.name) for alert in ALERTS.values() if alert.severity == "page")
)
"""After something planned: until whatever it did has been scraped, and held for long enough."""

Found = TypeVar("Found")


class Drill:
    """A failure mode that is being drilled, on a fleet that is whole."""

    def __init__(self, watched: WatchedFleet, finding: Finding, signal: Signal) -> None:
        self.finding = finding
        self._watched = watched
        self._signal = signal
        self._before = signal.before(watched)
        self._struck_s = self._mended_s = 0.0
        self._ends_later = False

    def strikes(self) -> None:
        """The fault comes now."""
        self._before = self._signal.before(self._watched)
        self._struck_s = time.time()

    def is_seen(self) -> None:
        """Wait until Prometheus shows it."""
        prometheus = self._watched.prometheus

        def look() -> float | None:
            return self._signal.seen_s(prometheus, self._struck_s, self._before)

        seen_s = until(look, f"{self._signal.name} is seen", self.finding.allowed_s + LATE_S)
        self.finding.seen_s = round(seen_s - self._struck_s, 1)

    def doctor_finds(self, look: str, says: str, *options: str) -> None:
        """Wait until a look of the doctor names it, and where to read on."""

        def is_named() -> str | None:
            for named, trouble, page in _troubles(*options):
                if named == look and says in trouble:
                    return page
            return None

        page = until(is_named, f"the doctor's look at {look} says {says!r}", TOLD_S_MAX)
        after_s = time.time() - self._struck_s
        self.finding.doctor = f"*{look}*, {after_s:.1f} s, {_name(page)}"

    def doctor_is_asked(self, *options: str) -> None:
        """Note what the doctor finds, whatever it is."""
        found = {f"*{look}*, {_name(page)}" for look, _, page in _troubles(*options)}
        self.finding.doctor = "; ".join(sorted(found)) or NOTHING

    def doctor_is_well(self, look: str) -> None:
        """Wait until this look of the doctor finds nothing any more."""
        until(
            lambda: look not in {named for named, _, _ in _troubles()},
            f"the doctor's look at {look} finds nothing",
            OVER_S_MAX,
        )

    def status_says(self, says: str, page: str | None) -> None:
        """Wait until `status` says so, and names this runbook."""

        def is_said() -> str | None:
            now = status()
            named = f"docs/runbooks/{page}.md" if page else None
            return now.sentence if now.sentence.startswith(says) and now.page == named else None

        sentence = until(is_said, f"status says {says!r}, {page}", TOLD_S_MAX)
        self.finding.status = f"{sentence} ({page}.md)" if page else sentence

    def is_repaired(self, how: str) -> None:
        """It was mended just now."""
        self._mended_s = time.time()
        self.finding.repair = how

    def ends_later(self) -> Drill:
        """Its alert looks back so far that its end is waited for when all else is done."""
        self._ends_later = True
        return self

    def is_over(self) -> None:
        """Wait until the alert has ended."""
        assert isinstance(self._signal, Fires), self._signal
        signal, prometheus = self._signal, self._watched.prometheus
        until(lambda: not signal.is_on(prometheus), f"{signal.name} ends", ENDS_S_MAX)
        ended_s = signal.ended_s(prometheus, self._struck_s)
        self.finding.over = self.finding.over or "the alert has ended"
        self.finding.over_s = round(ended_s - self._mended_s, 1)
        self.finding.failed = ""

    def is_over_when(self, look: Callable[[], object], what: str) -> None:
        """Wait for what says that it is over."""
        until(lambda: look() or None, what, OVER_S_MAX)
        self.finding.over, self.finding.over_s = what, round(time.time() - self._mended_s, 1)

    def closes(self) -> None:
        """Note what was told meanwhile, and judge. Fails when it was seen too late."""
        finding = self.finding
        finding.paged = paged(self._watched.prometheus, self._struck_s)
        assert finding.seen_s is not None
        finding.failed = "" if finding.seen_s <= finding.allowed_s else "it was seen too late"
        assert not finding.failed, finding
        finding.failed = "its end was not seen" if self._ends_later else ""


@contextmanager
def drilled(
    watched: WatchedFleet,
    book: Book,
    mode: str,
    fault: str,
    signal: Signal,
    *,
    within: bool = False,
) -> Iterator[Drill]:
    """A drill from whole fleet to whole fleet; what it came to is in the book, whatever happens.

    `within` another one, the fleet is not whole when it begins.
    """
    finding = Finding(mode, fault, signal.name, signal.for_s, SEEN_S + signal.for_s)
    book.findings.append(finding)
    with _noted(finding):
        if not within:
            watched.until_whole()
        drill = Drill(watched, finding, signal)
        yield drill
        drill.closes()
        watched.until_whole()


@contextmanager
def quiet(watched: WatchedFleet, book: Book, what: str) -> Iterator[None]:
    """Something planned is done within; nobody may be woken by it, nor a while later."""
    found = Quiet(what)
    book.quiet.append(found)
    with _noted(found):
        watched.until_whole()
        began_s = time.time()
        yield
        watched.until_whole()
        over_s = time.time() + PAGE_WINDOW_S
        until(lambda: time.time() > over_s or None, "it would have been seen", 2 * PAGE_WINDOW_S)
        found.lasted_s = round(time.time() - began_s, 1)
        found.fired = paged(watched.prometheus, began_s)
        found.pending = paged(watched.prometheus, began_s, "pending")
        found.failed = "somebody was woken" if found.fired else ""
        assert not found.failed, found


@contextmanager
def _noted(found: Finding | Quiet) -> Iterator[None]:
    try:
        yield
    except BaseException as failure:
        found.failed = (str(failure) or type(failure).__name__).splitlines()[0][:200]
        raise


def until(look: Callable[[], Found | None], what: str, seconds: float) -> Found:
    """Look now and then until there is something; who cannot be asked just now is asked again."""
    give_up_s, problem = time.monotonic() + seconds, ""
    while time.monotonic() < give_up_s:
        try:
            found = look()
        except CommandFailed as failure:
            found, problem = None, str(failure)
        if found is not None and found is not False:
            return found
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{what}: not within {seconds:.0f} s {problem}".rstrip())


def _troubles(*options: str) -> list[tuple[str, str, str]]:
    """What the doctor finds: by which look, what, and the page to read on in. Nodes that came back
    of late are given nothing for a while after every drill: that is left out."""
    result = leadplane("doctor", *options, "-o", "json")
    if not result.stdout:
        raise CommandFailed(result.stderr)
    return [
        (look["look"], trouble["what"], look["runbook"])
        for look in json.loads(result.stdout)["looks"]
        for trouble in look["troubles"]
        if OF_LATE not in trouble["what"]
    ]


def _name(page: str) -> str:
    return page.removeprefix("docs/runbooks/")
