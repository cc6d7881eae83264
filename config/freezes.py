"""When no rollout may begin a step: the windows of the document `rollouts`.

A window holds every week by the wall clock of a zone, or once; in some regions, or everywhere.
Where a clock is set back, what lies in the hour that comes twice holds both times; in an hour that
is left out, an hour later, or what only begins there, an hour earlier if it would be over by then.
Windows that follow each other without a gap count as one: `held` says when the last of them ends.
Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.document import Kind
from regions.findings import Finding, Severity, pointer_to

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
JOINED_MAX: Final = 30
"""So many windows that follow each other are told as one."""
YEAR_END: Final = 9_000
"""No window is so far away: the calendar itself ends at 10000."""
EMERGENCY: Final = "emergency"


class Hold(NamedTuple):
    """Nothing begins until then (wall clock), because of this window."""

    until_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class Weekly:
    """On these days (0 is Monday), from one time of day until another."""

    days: frozenset[int]
    begins: time
    ends: time
    zone: tzinfo

    def until_ms(self, at_ms: int) -> int:
        """When it ends, if it holds at that moment; else 0, as where the calendar ends."""
        try:
            return self._until_ms(at_ms)
        except (OverflowError, ValueError):
            return 0

    def _until_ms(self, at_ms: int) -> int:
        here = datetime.fromtimestamp(at_ms / 1_000, self.zone).date()
        for back in (0, 1):
            day = here - timedelta(days=back)
            if day.weekday() in self.days:
                end = day if self.ends > self.begins else day + timedelta(days=1)
                ends_ms = max(self._ms(end, self.ends, fold) for fold in (0, 1))
                begins_ms = self._ms(day, self.begins, 0)
                if begins_ms >= ends_ms:  # it begins in an hour that is left out, and ends after it
                    begins_ms = self._ms(day, self.begins, 1)
                if begins_ms <= at_ms < ends_ms:
                    return ends_ms
        return 0

    def _ms(self, day: date, at: time, fold: int) -> int:
        """The moment of a time of day; where the clock is set back, the first one or the second."""
        there = datetime.combine(day, at).replace(tzinfo=self.zone, fold=fold)
        return round(there.timestamp() * 1_000)


@dataclass(frozen=True, slots=True)
class Once:
    """From one moment until another."""

    from_ms: int
    to_ms: int

    def until_ms(self, at_ms: int) -> int:
        """When it ends, if it holds at that moment; else 0."""
        return self.to_ms if self.from_ms <= at_ms < self.to_ms else 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """One window. `regions` are where it holds, everywhere if empty."""

    name: str
    regions: frozenset[str]
    passes: frozenset[str]
    when: Weekly | Once


@dataclass(frozen=True, slots=True)
class Freezes:
    """All windows, and how much of the document could not be read."""

    windows: tuple[Freeze, ...] = ()
    unread: int = 0

    def of(self, document: str, strategy: str, regions: Collection[str]) -> tuple[Freeze, ...]:
        """The windows that may keep a step in one of these regions from beginning. The document
        that says what is frozen is never held: else nobody could end a freeze that was set by
        mistake."""
        if document == Kind.ROLLOUTS:
            return ()
        return tuple(
            each
            for each in self.windows
            if strategy not in each.passes
            and (not each.regions or not each.regions.isdisjoint(regions))
        )


def held(windows: Collection[Freeze], at_ms: int) -> Hold | None:
    """What of these windows holds at a moment, until none of them does any more."""
    found: Hold | None = None
    for _ in range(JOINED_MAX):
        now_ms = at_ms if found is None else found.until_ms
        ends = [(each.when.until_ms(now_ms), each.name) for each in windows]
        until_ms, name = max(ends, default=(0, ""))
        if until_ms <= now_ms:
            return found
        found = Hold(until_ms, name if found is None else found.name)
    return found


def freezes_of(content: Any) -> Freezes:
    """From the document in force. What cannot be read is left out: nobody may have checked it, if
    it is older than this kind, or of a newer release."""
    listed = content.get("freezes", []) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        return Freezes(unread=1)
    found = [window for each in listed if (window := _freeze(each)) is not None]
    return Freezes(tuple(found), len(listed) - len(found))


def _freeze(content: Any) -> Freeze | None:
    try:
        when, (name,) = _when(content), _words([content["name"]])
        regions = _words(content.get("regions", []))
        passes = _words(content.get("passes", [EMERGENCY]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return None if isinstance(when, _Bad) else Freeze(name, regions, passes, when)


def _words(found: Any) -> frozenset[str]:
    """Raises TypeError when it is no list of words."""
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise TypeError("this is no list of words")
    return frozenset(found)


def check_freezes(content: Mapping[str, Any]) -> Iterator[Finding]:
    """What makes no sense, by place."""
    names: set[str] = set()
    for number, each in enumerate(content["freezes"]):
        here = ("freezes", number)
        if each["name"] in names:
            message = f"{each['name']} is given twice"
            yield Finding(Severity.ERROR, pointer_to(*here, "name"), message, "leave one of them")
        names.add(each["name"])
        bad = _when(each)
        if isinstance(bad, _Bad):
            yield Finding(Severity.ERROR, pointer_to(*here, *bad.place), bad.message, bad.hint)


class _Bad(NamedTuple):
    """A window that is none."""

    message: str
    hint: str
    place: tuple[str, ...] = ()


def _when(content: Mapping[str, Any]) -> Weekly | Once | _Bad:
    weekly, once = content.get("weekly"), content.get("once")
    if weekly is not None and once is None:
        return _weekly(weekly)
    if once is not None and weekly is None:
        return _once(once)
    return _Bad("it is to be either weekly, or once", "give one of weekly and once")


def _once(content: Mapping[str, str]) -> Once | _Bad:
    moments = []
    for field in ("from", "until"):
        try:
            found = datetime.fromisoformat(content[field])
        except ValueError:
            return _Bad("this is no moment", "write 2026-11-27T00:00:00Z", ("once", field))
        if found.tzinfo is None:
            hint = "end it with Z, or with an offset such as +01:00"
            return _Bad("it has no zone", hint, ("once", field))
        if found.year >= YEAR_END:
            hint = f"take a year before {YEAR_END}"
            return _Bad("it is too far away", hint, ("once", field))
        moments.append(round(found.timestamp() * 1_000))
    if moments[0] >= moments[1]:
        return _Bad("it ends before it begins", "until is later than from", ("once", "until"))
    return Once(*moments)


def _weekly(content: Mapping[str, Any]) -> Weekly | _Bad:
    times = []
    for field in ("from", "until"):
        try:
            times.append(time.fromisoformat(content[field]).replace(tzinfo=None))
        except ValueError:
            return _Bad("a day has no such time", "write 00:00 to 23:59", ("weekly", field))
    zone = zone_of(content.get("zone", "UTC"))
    if zone is None:
        hint = "take a name of the IANA database, such as Europe/Berlin"
        return _Bad(f"there is no zone {content['zone']}", hint, ("weekly", "zone"))
    begins, ends = times
    return Weekly(frozenset(DAYS.index(day) for day in content["days"]), begins, ends, zone)


def zone_of(name: str) -> tzinfo | None:
    """A zone by its name; None where this machine knows none of that name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
