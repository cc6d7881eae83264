"""A week of a fleet as a page for the people who answer for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.bench.spread import Spread
from controlplane.lookback.markdown import NOTHING, moment, plain, share, span, table
from controlplane.lookback.tenures import FAILOVER
from controlplane.lookback.week import PastWeek, WeekReport, longest_ms

PROMISED = 0.9995
WORST = 10
"""So many shards are in the table of those that were without a leader."""

Figure = float | int | None


def week_page(report: WeekReport) -> str:
    """The page."""
    week, before = report.week, report.before
    head = ["", _titled("this week", week), _titled("the week before", before), "change"]
    lines = [
        f"# Leadplane: the week to {moment(week.to_ms)}",
        "",
        (
            f"From {moment(week.from_ms)} to {moment(week.to_ms)}, beside the week before. All"
            f" times are UTC. Asked {moment(report.asked_ms)}."
        ),
        "",
        _verdict(week),
        "",
        *table(head, _summary(week, before), " rrr"),
        "",
        (
            "Availability counts every time without a leader that tenures tell, before planned"
            " changes too; M1 of the metrics leaves those out."
        ),
        "",
        "## Why leaders changed",
        "",
        *_counts(head, _causes(week), _causes(before), "No shard changed its leader."),
        "",
        "## Shards without a leader",
        "",
        *_worst(week),
        "",
        "## Rollouts, by what came of them",
        "",
        *_counts(head, week.rollouts, before.rollouts, "There was none that is remembered."),
        "",
        "## Changes, by kind of record in the audit log",
        "",
        *_counts(head, week.audit, before.audit, "No record is kept."),
        "",
        "## Events",
        "",
        *_counts(head, week.events, before.events, "None is kept."),
        "",
        "## What is not known",
        "",
        *_unknown(week, before),
    ]
    return "\n".join([*lines, ""])


def _verdict(week: PastWeek) -> str:
    found = week.leaderships
    if found.availability is None:
        return "Nothing is known of the leaders of this week."
    kept = "kept" if found.availability >= PROMISED else "**not kept**"
    text = f"Leader availability {share(found.availability)}: the promise of 99.95 % was {kept}."
    if found.longest is not None:
        gap = found.longest
        text += (
            f" Longest without a leader: {plain(gap.shard)}, {span(gap.lasts_ms)},"
            f" from {moment(gap.from_ms)}."
        )
    return text


def _summary(week: PastWeek, before: PastWeek) -> list[list[str]]:
    now, then = week.leaderships, before.leaderships
    rows = [
        _row("leader availability", now.availability, then.availability, share),
        _row("without a leader, all shards together", now.unled_ms, then.unled_ms, span),
        _row("longest without a leader", longest_ms(now), longest_ms(then), span),
        _row("elections", week.elections, before.elections, _number),
        _row("failovers (unplanned)", now.count(FAILOVER), then.count(FAILOVER), _number),
        _row("planned changes", now.count("planned"), then.count("planned"), _number),
        _row(
            "churn: changes of a shard an hour (promised: < 1)",
            now.changes_per_shard_hour,
            then.changes_per_shard_hour,
            _rate,
        ),
        *_spreads("failovers, without a leader", now.failover_unled, then.failover_unled),
        *_spreads("planned changes, without a leader", now.planned_unled, then.planned_unled),
        *_spreads("the election itself", now.took, then.took),
        _row("flapping shards", len(now.flapping), len(then.flapping), _number),
        *(
            _row(what, week.events.get(kind, 0), before.events.get(kind, 0), _number)
            for what, kind in (
                ("elections that stuck (promised: none)", "stuck"),
                ("writes of a superseded epoch accepted (promised: none)", "stale-accepted"),
                ("leaders fenced", "fenced"),
            )
        ),
        _row("plans carried out", week.moves.orders, before.moves.orders, _number),
        _row("leaders moved by them", week.moves.moved, before.moves.moved, _number),
        _row("changes by people", week.by_people, before.by_people, _number),
    ]
    if not before.known:
        rows = [[what, now_text, NOTHING, NOTHING] for what, now_text, _, _ in rows]
    return rows


def _row(what: str, now: Figure, then: Figure, text: Callable[[Figure], str]) -> list[str]:
    return [what, text(now), text(then), change(now, then, in_points=text is share)]


def change(now: Figure, then: Figure, *, in_points: bool = False) -> str:
    """By how much a figure is another one: in percent, or in points where it is percent itself."""
    if now is None or then is None:
        return NOTHING
    if now == then:
        return "="
    if in_points:
        return f"{100 * (now - then):+.4f} points"
    return f"{100 * (now - then) / then:+.0f} %" if then else "new"


def _spreads(what: str, now: Spread, then: Spread) -> list[list[str]]:
    def of(found: Spread, name: str) -> float | None:
        return getattr(found, name) if found.count else None

    words = (("p50", "p50_ms"), ("p99", "p99_ms"), ("worst", "max_ms"))
    return [_row(f"{what}: {word}", of(now, name), of(then, name), span) for word, name in words]


def _number(value: Figure) -> str:
    return NOTHING if value is None else f"{value:,}"


def _rate(value: Figure) -> str:
    return NOTHING if value is None else f"{value:.3g}"


def _causes(week: PastWeek) -> dict[str, int]:
    return {
        f"{cause}: {ended}": count
        for cause, counts in week.leaderships.changes.items()
        for ended, count in counts.items()
    }


def _titled(name: str, week: PastWeek) -> str:
    """A star says that the end of the page has more about it."""
    return f"{name} \\*" if week.unknown else name


def _counts(
    head: Sequence[str], now: Mapping[str, int], then: Mapping[str, int], nothing: str
) -> list[str]:
    names = sorted(now.keys() | then.keys(), key=lambda name: (-now.get(name, 0), name))
    if not names:
        return [nothing]
    rows = [_row(plain(n), now.get(n, 0), then.get(n, 0), _number) for n in names]
    return table(head, rows, " rrr")


def _worst(week: PastWeek) -> list[str]:
    shards = sorted(
        (shard for shard in week.leaderships.shards if shard.unled_ms or shard.longest_ms),
        key=lambda shard: (-shard.unled_ms, shard.shard),
    )
    if not shards:
        lines = ["Every shard that is known had a leader all the time."]
    else:
        rows = [
            [
                plain(shard.shard), share(shard.availability), span(shard.unled_ms),
                span(shard.longest_ms), f"{shard.failovers:,}", f"{shard.changes:,}",
            ]
            for shard in shards[:WORST]
        ]  # fmt: skip
        head = ("shard", "availability", "without a leader", "longest", "failovers", "changes")
        lines = table(head, rows, " rrrrr")
        if len(shards) > WORST:
            lines += ["", f"And {len(shards) - WORST:,} more, which were led for longer."]
    for shard in week.leaderships.flapping:
        said = f"{plain(shard.shard)} changed its leader {shard.changes} times within a quarter"
        lines += ["", f"Flapping: {said} of an hour, from {moment(shard.at_ms)}."]
    return lines


def _unknown(week: PastWeek, before: PastWeek) -> list[str]:
    lines = [f"* {plain(sentence)}" for sentence in week.unknown]
    if not before.known:
        return [*lines, "* Of the week before nothing is known."]
    others = [sentence for sentence in before.unknown if sentence not in week.unknown]
    lines += [f"* The week before: {plain(sentence)}" for sentence in others]
    return lines or ["Everything that was asked for is kept."]
