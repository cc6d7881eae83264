"""Pictures of a placement, in plain SVG: where leaders are and what flows, and what money can buy.

No scripts and no fonts of their own; read by any browser, and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from shards.placement.moves import price_of
from shards.placement.problem import Problem
from shards.placement.score import Placement, quorum_ms
from shards.placement.solve import solve

WIDTH, HEIGHT, MARGIN = 960, 520, 60
FLOOR = HEIGHT - 1.5 * MARGIN
FLOWS_MAX = 40
RADIUS_MAX, STROKE_MAX = 26.0, 10.0
LEADERS, FLOW, DRAINED, INK, GRID = "#3b6fb6", "#d9822b", "#b5483f", "#222222", "#e4e4e4"
ARROW = (
    '<defs><marker id="to" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="14" markerHeight="14" '
    f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{FLOW}"/>'
    "</marker></defs>"
)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""What a millisecond is worth, in parts of what the problem says."""


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """What one weight of latency leads to."""

    factor: float
    money_usd: float
    """What a month costs without any price on waiting."""
    write_mean_ms: float
    write_p50_ms: float
    write_p99_ms: float


def frontier_of(problem: Problem) -> tuple[FrontierPoint, ...]:
    """Solve the problem with other weights of latency, from cheap to fast."""
    points = []
    weights = problem.weights
    for factor in FACTORS:
        other = replace(
            weights,
            usd_per_ms_per_million_writes=weights.usd_per_ms_per_million_writes * factor,
            usd_per_ms_per_million_reads=weights.usd_per_ms_per_million_reads * factor,
        )
        weighed = replace(problem, weights=other)
        placement = solve(weighed).placement
        price = price_of(weighed, placement)
        waiting = price.parts["write_latency"] + price.parts["read_latency"]
        money = price.usd_per_month - waiting
        mean_ms = mean_write_ms(weighed, placement)
        points.append(FrontierPoint(factor, money, mean_ms, price.write_p50_ms, price.write_p99_ms))
    return tuple(points)


def mean_write_ms(problem: Problem, placement: Placement) -> float:
    """What a write waits on average; 0 where nobody writes."""
    rows = np.arange(len(problem.shards))
    to_leader = problem.rtt_ms[:, placement.leader.astype(np.intp)].T
    waits = to_leader + quorum_ms(problem, placement, rows)[:, None]
    writes = problem.shards.writes_per_s.astype(np.float64)
    return float((waits * writes).sum() / max(writes.sum(), 1e-12))


def frontier_svg(problem: Problem, points: Sequence[FrontierPoint]) -> str:
    """Money a month against the mean wait of a write, one point for each weight."""
    money = [point.money_usd for point in points]
    waits = [point.write_mean_ms for point in points]
    parts = [_text(WIDTH / 2, 28, f"{len(problem.shards):,} shards: what waiting less costs", 16)]
    parts.append(_text(WIDTH / 2, HEIGHT - 12, "USD a month for sending, storage and instances"))
    parts.append(_text(14, HEIGHT / 2, "ms, mean of writes", turn=True))
    spots = [
        (_scaled(usd, money, 2 * MARGIN, WIDTH - MARGIN), _scaled(ms, waits, FLOOR, 2 * MARGIN))
        for usd, ms in zip(money, waits, strict=True)
    ]
    parts += _axes(money, waits)
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts.append(f'<polyline points="{way}" fill="none" stroke="{LEADERS}" stroke-width="2"/>')
    for number, ((x, y), point) in enumerate(zip(spots, points, strict=True), 1):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{FLOW}"/>')
        parts.append(_text(x, y + 4, str(number), 11))
        said = (
            f"{number}: a millisecond worth {point.factor:g} times as much: "
            f"{point.money_usd:,.2f} USD, mean {point.write_mean_ms:.1f}, "
            f"p50 {point.write_p50_ms:.0f}, p99 {point.write_p99_ms:.0f} ms"
        )
        parts.append(_text(WIDTH - MARGIN, 2 * MARGIN - 60 + 15 * number, said, 11, "end"))
    return _document(parts)


def _axes(money: Sequence[float], waits: Sequence[float]) -> list[str]:
    """A line at either side, with the least and the most of what is drawn."""
    low, high = 2 * MARGIN - 20, WIDTH - MARGIN + 20
    parts = [
        f'<path d="M{low},{2 * MARGIN} V{FLOOR + 20} H{high}" fill="none" stroke="{INK}"/>',
    ]
    for usd in sorted({min(money), max(money)}):
        x = _scaled(usd, money, 2 * MARGIN, WIDTH - MARGIN)
        parts.append(_text(x, FLOOR + 36, f"{usd:,.2f}", 11))
    for ms in sorted({min(waits), max(waits)}):
        y = _scaled(ms, waits, FLOOR, 2 * MARGIN)
        parts += [_text(low - 6, y + 4, f"{ms:,.1f}", 11, "end")]
    return parts


def map_svg(
    problem: Problem, placement: Placement, positions: Mapping[str, tuple[float, float]]
) -> str:
    """Regions where they are, with their leaders, and the writes that go from one to another.

    `positions` are latitude and longitude in degrees.
    """
    regions = problem.region_count
    spots = [_on_map(*positions[name]) for name in problem.regions]
    led = np.bincount(placement.leader, minlength=regions)
    flows = np.zeros((regions, regions))
    np.add.at(flows.T, placement.leader.astype(np.intp), problem.shards.writes_per_s)
    np.fill_diagonal(flows, 0.0)
    parts = [ARROW, *_graticule()]
    parts.append(_text(WIDTH / 2, 28, f"{len(problem.shards):,} shards and who writes where", 16))
    key = "circles: leaders of a region; arrows: writes on their way to a leader in another region"
    parts.append(_text(WIDTH / 2, HEIGHT - 12, key))
    largest = max(float(flows.max(initial=0.0)), 1e-9)
    order = np.argsort(-flows, axis=None, kind="stable")[:FLOWS_MAX]
    for here, there in zip(*np.unravel_index(order, flows.shape), strict=True):
        rate = float(flows[here, there])
        if rate > 0:
            (x1, y1), (x2, y2) = spots[here], spots[there]
            width = max(STROKE_MAX * rate / largest, 0.4)
            bend_x, bend_y = (x1 + x2) / 2 - (y2 - y1) / 6, (y1 + y2) / 2 + (x2 - x1) / 6
            half_x, half_y = (x1 + 2 * bend_x + x2) / 4, (y1 + 2 * bend_y + y2) / 4
            said = f"{problem.regions[here]} to {problem.regions[there]}: {rate:,.1f} writes/s"
            parts.append(
                f'<path d="M{x1:.1f},{y1:.1f} Q{(x1 + bend_x) / 2:.1f},{(y1 + bend_y) / 2:.1f} '
                f"{half_x:.1f},{half_y:.1f} "
                f'Q{(x2 + bend_x) / 2:.1f},{(y2 + bend_y) / 2:.1f} {x2:.1f},{y2:.1f}" '
                'marker-mid="url(#to)" '
                f'fill="none" stroke="{FLOW}" stroke-opacity="0.45" stroke-width="{width:.2f}">'
                f"<title>{escape(said)}</title></path>"
            )
    most = max(int(led.max(initial=0)), 1)
    for place, (x, y) in enumerate(spots):
        radius = 3 + RADIUS_MAX * float(np.sqrt(led[place] / most))
        colour = DRAINED if problem.drained >> place & 1 else LEADERS
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" '
            f'fill-opacity="0.85"/>'
        )
        said = f"{problem.regions[place]}: {led[place]:,}"
        parts.append(_text(x, y + radius + 13, said, 11))
    return _document(parts)


def _graticule() -> list[str]:
    """A line for every thirty degrees."""
    parts = []
    for degrees in range(-180, 181, 30):
        x, _ = _on_map(0, degrees)
        parts.append(f'<path d="M{x:.1f},{MARGIN} V{HEIGHT - MARGIN}" stroke="{GRID}"/>')
    for degrees in range(-60, 76, 30):
        _, y = _on_map(degrees, 0)
        parts.append(f'<path d="M{MARGIN},{y:.1f} H{WIDTH - MARGIN}" stroke="{GRID}"/>')
    return parts


def _on_map(latitude: float, longitude: float) -> tuple[float, float]:
    x = MARGIN + (longitude + 180) / 360 * (WIDTH - 2 * MARGIN)
    y = MARGIN + (75 - latitude) / 135 * (HEIGHT - 2 * MARGIN)
    return x, y


def _scaled(value: float, all_values: Sequence[float], low: float, high: float) -> float:
    least, most = min(all_values), max(all_values)
    return (
        (low + high) / 2 if most == least else low + (value - least) / (most - least) * (high - low)
    )


def _text(
    x: float, y: float, said: str, size: int = 12, anchor: str = "middle", turn: bool = False
) -> str:
    turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{turned}>'
        f"{escape(said)}</text>"
    )


def _document(parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" fill="{INK}">'
    )
    back = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    return "\n".join([head, back, *parts, "</svg>", ""])
