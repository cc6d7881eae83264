"""An incident as a page: what the fleet knows of it, and places for what only people know."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from controlplane.lookback.incident import Incident
from controlplane.lookback.indicators import Indicator
from controlplane.lookback.markdown import moment, plain, share, span, table, to_the_ms
from controlplane.lookback.remembered import named
from controlplane.lookback.tenures import FAILOVER, Row

LINES_MAX = 500
"""So many lines of the timeline are on the page."""
TENURES_SHOWN_MAX = 200
TO_FILL_IN = "_To be filled in._"
HOW_TO_ASK = (
    "Nobody was asked. `leadplane postmortem --prometheus URL` asks a Prometheus that watches the"
    " fleet for M1 to M10 of this time; the dashboard with the promises shows them too."
)


def incident_page(
    found: Incident,
    picture: str | None = None,
    indicators: Sequence[Indicator] | None = None,
    no_indicators: str = HOW_TO_ASK,
) -> str:
    """The page. `picture` is the name of the one beside it, `no_indicators` why there are none."""
    window = found.window
    of = f" Only of: {plain(named(found.shards))}." if found.shards else ""
    where = f"![who led which shard when]({picture})" if picture else (
        "`--file FILE` writes a picture of it beside the page."
    )  # fmt: skip
    parts: list[list[str]] = [
        [
            f"# Postmortem: incident of {moment(window.from_ms)}", "",
            (f"From {moment(window.from_ms)} to {moment(window.to_ms)} ({span(window.lasts_ms)})."
            f" All times are UTC.{of} Drafted {moment(found.asked_ms)} from what the fleet keeps."),
            "", "| | |", "|---|---|", "| status | draft |", "| written by | |", "| read by | |",
        ],
        ["## Summary", "", TO_FILL_IN, "", *_figures(found)],
        ["## Impact", "", f"{TO_FILL_IN} Who felt it, and how; what was promised to them.", "",
         *_impact(found)],
        ["## Timeline", "", where, "", *_timeline(found)],
        ["## Who led when", "", *_reigns(found)],
        ["## Time without a leader", "", *_gaps(found)],
        ["## Do tenures overlap?", "", *_checked(found)],
        ["## What was in force", "", *_rollouts(found.rollouts)],
        ["## Indicators", "", *_indicators(indicators, no_indicators)],
        ["## Root cause", "", TO_FILL_IN],
        ["## What went well", "", TO_FILL_IN],
        ["## What went badly", "", TO_FILL_IN],
        ["## Actions", "", *table(("what", "who", "until when"), [[" ", " ", " "]])],
        ["## What is not known", "",
         *([f"* {plain(each)}" for each in found.unknown] or ["All that was asked for is kept."])],
    ]  # fmt: skip
    return "\n".join(chain.from_iterable([*part, ""] for part in parts))


def _figures(found: Incident) -> list[str]:
    now = found.figures
    rows: list[list[str]] = []
    if found.gaps:
        rows += [
            ["first moment without a leader", to_the_ms(min(gap.from_ms for gap in found.gaps))],
            ["last moment without a leader", to_the_ms(max(gap.to_ms for gap in found.gaps))],
        ]
    total = len(found.reigns) + found.steady
    rows += [
        ["shards without a leader for a while", f"{len(found.affected)} of {total}"],
        ["of those, not for a planned change alone", f"{len(found.failed_over):,}"],
        ["all of them together", span(now.unled_ms)],
        ["leader availability of this time", share(now.availability)],
        ["failovers", f"{now.count(FAILOVER):,}"],
        ["planned changes", f"{now.count('planned'):,}"],
    ]
    for what, spread in (
        ("failovers, without a leader", now.failover_unled),
        ("planned changes, without a leader", now.planned_unled),
        ("the election itself", now.took),
    ):
        if spread.count:
            said = f"{span(spread.p50_ms)}, {span(spread.p99_ms)}, {span(spread.max_ms)}"
            rows.append([f"{what}: p50, p99, worst", said])
    if now.longest is not None:
        gap = now.longest
        rows.append(["longest without a leader", f"{plain(gap.shard)}, {span(gap.lasts_ms)}"])
    if now.flapping:
        rows.append(["flapping shards", plain(named([each.shard for each in now.flapping]))])
    if found.lost:
        said = ", ".join(f"{node} ({count})" for node, count in found.lost.items())
        rows.append(["leaders that were lost, with how many shards", plain(said)])
    for kind in ("fenced", "stuck", "stale-accepted", "store-forgot", "group-lost"):
        if count := found.events.get(kind):
            rows.append([f"events `{kind}`, of the whole fleet", f"{count:,}"])
    return table(("", ""), rows)


def _impact(found: Incident) -> list[str]:
    if not found.gaps:
        return ["As far as the fleet knows, every shard had a leader all the time."]
    said = (
        f"As far as the fleet knows, {len(found.affected)} shards had no leader for a while:"
        f" {plain(named(found.affected))}. Without one, a shard takes no writes and gives no strong"
        " reads. Writes that were under way may have been answered as *unknown*: see"
        " `leadplane fenced`."
    )
    return [said]


def _timeline(found: Incident) -> list[str]:
    if not found.story:
        return ["Nothing is kept of this time."]
    rows = [
        [
            to_the_ms(line.wall_ms),
            f"**{plain(line.what)}**" if line.trouble else plain(line.what),
            plain(line.about), plain(line.where),
            f"**by {plain(line.by)}**" if line.by else None, plain(line.detail),
        ]
        for line in found.story[:LINES_MAX]
    ]  # fmt: skip
    head = ("when", "what", "of", "where", "people", "more")
    lines = table(head, rows)
    if len(found.story) > LINES_MAX:
        left = len(found.story) - LINES_MAX
        lines += ["", f"And {left:,} more; take a shorter time, or fewer shards (`--shard`)."]
    return lines


def _reigns(found: Incident) -> list[str]:
    rows = [
        [
            plain(reign.tenure.shard), str(reign.tenure.epoch), plain(reign.tenure.node),
            to_the_ms(reign.tenure.wall_ms),
            None if reign.to_ms is None else to_the_ms(reign.to_ms), plain(reign.tenure.cause),
            span(reign.tenure.unled_ms),
        ]
        for reigns in found.reigns.values() for reign in reigns
    ]  # fmt: skip
    head = ("shard", "epoch", "leader", "from", "until", "cause", "nobody before it for")
    lines = table(head, rows[:TENURES_SHOWN_MAX], " r    r") if rows else []
    if len(rows) > TENURES_SHOWN_MAX:
        lines += ["", f"And {len(rows) - TENURES_SHOWN_MAX:,} more: `leadplane history SHARD`."]
    said = f"{found.steady} shards did not change their leader."
    return [*lines, *([""] if lines else []), said]


def _gaps(found: Incident) -> list[str]:
    if not found.gaps:
        return ["None is known."]
    rows = []
    for shard in found.affected:
        gaps = [gap for gap in found.gaps if gap.shard == shard]
        within = sum(found.window.shared_ms(gap.from_ms, gap.to_ms) for gap in gaps)
        longest = max(gaps, key=lambda gap: gap.lasts_ms)
        rows.append(
            [
                plain(shard), str(len(gaps)), span(within), span(longest.lasts_ms),
                to_the_ms(longest.from_ms), to_the_ms(longest.to_ms),
                f"epoch {longest.epoch}, {plain(longest.ended)}",
            ]
        )  # fmt: skip
    head = ("shard", "times", "together", "longest", "from", "until", "ended by")
    lines = table(head, rows[:TENURES_SHOWN_MAX], " rrr")
    if len(rows) > TENURES_SHOWN_MAX:
        lines += ["", f"And {len(rows) - TENURES_SHOWN_MAX:,} shards more."]
    return lines


def _checked(found: Incident) -> list[str]:
    if not found.checked:
        return ["No shard could be asked for its history: it is not known."]
    wrong = [each for each in found.checked if each.problems]
    count = sum(each.tenures for each in found.checked)
    if not wrong:
        return [
            (
                f"No. {count:,} tenures of {len(found.checked):,} shards were held against each"
                " other: each follows the one before."
            )
        ]
    return ["**Yes, or a tenure is missing.** Look at the stores of these shards.", ""] + [
        f"* {plain(each.shard)}: {plain(problem)}" for each in wrong for problem in each.problems
    ]


def _rollouts(rollouts: Sequence[Row]) -> list[str]:
    if not rollouts:
        return ["No rollout was on. What each region runs: `leadplane config effective NAME`."]
    rows = [
        [
            str(each["rollout"]), plain(each["document"]), str(each["version"]),
            plain(each["phase"]), to_the_ms(each["began_wall_ms"]),
            to_the_ms(each["ended_wall_ms"]) if each["ended_wall_ms"] else None,
            plain(each["principal"]), plain(each["why"] or each["reason"]),
        ]
        for each in sorted(rollouts, key=lambda each: each["began_wall_ms"])
    ]  # fmt: skip
    head = ("rollout", "document", "version", "came to", "began", "ended", "by", "why")
    return table(head, rows, "r r")


def _indicators(found: Sequence[Indicator] | None, why_not: str) -> list[str]:
    if found is None:
        return [why_not if why_not == HOW_TO_ASK else plain(why_not)]
    rows = [
        [
            each.name, each.title, plain(each.promise), each.text(each.value),
            each.text(each.worst), None if each.worst_ms is None else moment(each.worst_ms),
        ]
        for each in found
    ]  # fmt: skip
    head = ("", "indicator", "what", "over this time", "at worst", "when")
    lines = table(head, rows, "   rr")
    if any(each.worst is None for each in found):
        lines += ["", "Without a value: Prometheus has none of this time; M1, M3, M4 and M6 need"]
        lines[-1] += " the recording rules of `deploy/prometheus`."
    return lines
