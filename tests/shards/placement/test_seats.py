"""Nodes are chosen as trying everything would choose them: limits kept, as few moves as can be."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from shards.placement.changed import applied
from shards.placement.infeasible import conflict_of
from shards.placement.moves import Reason, hash_of, plan_of
from shards.placement.nodes import Apart, Bearing, Nodes, Scope
from shards.placement.problem import NOWHERE, Budget, Problem, unlimited
from shards.placement.problem_check import checked
from shards.placement.problem_file import document_of, problem_from
from shards.placement.score import parts_of
from shards.placement.seating import natural_seats, seated
from shards.placement.solve import TOLERANCE, Solution, solve
from shards.placement.stages import solve_both
from shards.placement.synthetic import synthetic_problem
from tests.shards.placement.brute_force import keeps_limits, placed, ways

Change = Callable[[Problem], Problem]


def manned(problem: Problem, each: int, zones: str = "ab", **rules: object) -> Problem:
    """The problem with so many nodes in each region, in turn in these zones."""
    regions = range(problem.region_count)
    spots = [(region, number) for region in regions for number in range(each)]
    nodes = Nodes(
        tuple(f"{problem.regions[region]}-n{number}" for region, number in spots),
        tuple(region for region, _ in spots),
        tuple(zones[number % len(zones)] for _, number in spots),
        **rules,
    )
    return replace(problem, nodes=nodes)


def few(seed: int, shards: int = 3, regions: int = 3) -> Problem:
    problem = synthetic_problem(shards, regions, seed)
    return replace(problem, capacities=unlimited(regions), budget=Budget())


def keeps_nodes(problem: Problem, seats: tuple[int, ...]) -> bool:
    """Limits, sets and pins of nodes and zones, written down once more, and slowly."""
    nodes, shards = problem.nodes, problem.shards
    assert nodes is not None
    for zonal, limits in ((False, nodes.limits), (True, nodes.zone_limits)):
        place = [nodes.zone_of(node) if zonal else node for node in seats]
        for here in set(place):
            rows = [row for row, there in enumerate(place) if there == here]
            led = (len(rows), shards.writes_per_s[rows].sum(), shards.size_bytes[rows].sum())
            if any(has > most * (1 + 1e-6) for has, most in zip(led, limits.all, strict=True)):
                return False
        for apart in nodes.apart:
            if (apart.scope is Scope.ZONE) is zonal:
                met = Counter(place[row] for row in apart.shards)
                if met and max(met.values()) > 1:
                    return False
    return all(
        seats[row] == node
        for row, node in nodes.pins
        if nodes.region[seats[row]] == nodes.region[node]
    )


def ways_to_sit(problem: Problem, leaders: tuple[int, ...]) -> list[tuple[int, ...]]:
    assert problem.nodes is not None
    return list(product(*(problem.nodes.of_region(region) for region in leaders)))


def best_usd(problem: Problem) -> float | None:
    """The least cost of all patterns for which there are seats, by trying all of both."""
    rows = range(len(problem.shards))
    table = [
        {one: float(parts_of(problem, placed((one,)), np.array([row])).sum()) for one in every}
        for row, every in ((row, ways(problem, row)) for row in rows)
    ]
    best: float | None = None
    sits: dict[tuple[int, ...], bool] = {}
    for choice in product(*table):
        usd = sum(costs[one] for costs, one in zip(table, choice, strict=True))
        if (best is None or usd < best) and keeps_limits(problem, placed(choice)):
            leaders = tuple(leader for leader, _ in choice)
            if leaders not in sits:
                sits[leaders] = any(keeps_nodes(problem, s) for s in ways_to_sit(problem, leaders))
            best = usd if sits[leaders] else best
    return best


def cost(problem: Problem, solution: Solution) -> float:
    bare = replace(solution.placement, followers=np.zeros_like(solution.placement.followers))
    return float(parts_of(problem, bare).sum())


def _crowded(problem: Problem) -> Problem:
    return manned(problem, 2, limits=Bearing(leaders=1))


def _zones(problem: Problem) -> Problem:
    return manned(problem, 2, zone_limits=Bearing(leaders=1))


def _one_zone(problem: Problem) -> Problem:
    return manned(problem, 2, zones="a", zone_limits=Bearing(leaders=1))


def _writes(problem: Problem) -> Problem:
    most = float(problem.shards.writes_per_s.sum(axis=1).max())
    return manned(problem, 2, limits=Bearing(writes_per_s=most * 1.01))


def _whole(problem: Problem) -> Problem:
    """Three shards of 6 fit into nodes of 10 by their sum, and not as they are."""
    writes = np.zeros_like(problem.shards.writes_per_s)
    writes[:, 0] = 6.0
    pinned = replace(problem.shards, writes_per_s=writes, pin=np.array([0, 0, -1], dtype=np.int16))
    return manned(replace(problem, shards=pinned), 2, limits=Bearing(writes_per_s=10.0))


def _bytes(problem: Problem) -> Problem:
    most = float(problem.shards.size_bytes.max())
    return manned(problem, 1, limits=Bearing(size_bytes=most * 1.01))


def _apart(problem: Problem) -> Problem:
    return manned(problem, 2, apart=(Apart("a", (0, 1, 2), Scope.NODE),))


def _apart_zones(problem: Problem) -> Problem:
    return manned(problem, 3, zones="aab", apart=(Apart("a", (0, 1, 2), Scope.ZONE),))


def _pinned(problem: Problem) -> Problem:
    shards = replace(problem.shards, pin=np.array([1, 1, -1], dtype=np.int16))
    apart = (Apart("a", (0, 1), Scope.NODE),)
    return manned(replace(problem, shards=shards), 2, pins=((0, 3), (1, 2)), apart=apart)


def _impossible(problem: Problem) -> Problem:
    return manned(problem, 1, limits=Bearing(leaders=1), apart=(), zone_limits=Bearing(1, 1e-3))


CHANGES = (
    *(_crowded, _zones, _one_zone, _writes, _whole, _bytes, _apart, _apart_zones, _pinned),
    _impossible,
)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_it_finds_what_trying_everything_finds(change: Change, seed: int) -> None:
    problem = checked(change(few(seed)))
    best, solution = best_usd(problem), solve_both(problem)
    assert solution.feasible == (best is not None)
    if best is not None:
        assert solution.seats is not None
        assert keeps_nodes(problem, tuple(solution.seats.tolist()))
        assert problem.nodes is not None
        regions = [problem.nodes.region[node] for node in solution.seats]
        assert regions == solution.placement.leader.tolist()
        assert solution.bound_usd <= best * (1 + 1e-6)
        assert cost(problem, solution) <= best * (1 + TOLERANCE)


@pytest.mark.parametrize("seed", range(12))
def test_within_a_region_as_few_move_as_must(seed: int) -> None:
    draw = np.random.default_rng(seed)
    problem = few(seed, shards=6)
    writes = np.zeros_like(problem.shards.writes_per_s)
    writes[:, 0] = draw.integers(1, 6, 6)
    problem = manned(
        replace(problem, shards=replace(problem.shards, writes_per_s=writes)),
        3,
        limits=Bearing(leaders=3, writes_per_s=float(draw.integers(6, 9))),
        zone_limits=Bearing(writes_per_s=float(draw.integers(9, 14))),
        apart=(Apart("a", (0, 1), Scope.NODE), Apart("b", (2, 3), Scope.ZONE)),
    )
    leader = np.zeros(6, dtype=np.int16)
    natural = natural_seats(problem, leader)
    moves = [
        sum(one != other for one, other in zip(sitting, natural.tolist(), strict=True))
        for sitting in ways_to_sit(problem, (0,) * 6)
        if keeps_nodes(problem, sitting)
    ]
    seats = seated(problem, leader)
    assert (len(seats.unplaced) == 0) == bool(moves)
    if moves:
        assert keeps_nodes(problem, tuple(seats.node.tolist()))
        assert (seats.node != natural).sum() == min(moves)


def test_hundreds_of_shards_keep_every_limit_and_a_plan_that_was_applied_moves_nothing() -> None:
    problem = replace(synthetic_problem(600, 4, 1), budget=Budget())
    heaviest = float(problem.shards.writes_per_s.sum(axis=1).max())
    rate = max(float(problem.shards.writes_per_s.sum()) / 8, heaviest * 1.1)
    problem = manned(
        problem,
        4,
        limits=Bearing(leaders=60, writes_per_s=rate),
        zone_limits=Bearing(leaders=110),
        apart=(Apart("a", tuple(range(8)), Scope.NODE), Apart("b", (9, 10, 11), Scope.ZONE)),
    )
    solution = solve_both(problem)
    assert solution.seats is not None
    assert keeps_nodes(problem, tuple(solution.seats.tolist()))
    plan = plan_of(problem, solution.placement, solution.seats)
    moved = [move for move in plan.moves if move.reason is Reason.NODE]
    assert moved
    assert all(move.from_leader == move.to_leader and move.pause_ms > 0 for move in moved)
    after = applied(problem, solution)
    again = solve_both(after)
    assert plan_of(after, again.placement, again.seats).moves == ()


def test_who_leads_now_stays_where_nothing_forbids_it() -> None:
    problem = manned(few(4, shards=8), 3, limits=Bearing(leaders=8), wishes=((0, 2), (3, 5)))
    natural = natural_seats(problem, problem.shards.leader)
    assert (seated(problem, problem.shards.leader).node == natural).all()
    at_first = [natural[row] for row, node in problem.nodes.wishes
                if problem.nodes.region[node] == problem.shards.leader[row]]  # fmt: skip
    assert set(at_first) <= {2, 5}


def test_a_region_without_a_node_has_no_seats_and_no_limit_by_them() -> None:
    problem = few(5)
    nodes = Nodes(("one",), (1,), ("a",), limits=Bearing(leaders=3))
    shards = replace(problem.shards, pin=np.array([0, 1, 1], dtype=np.int16))
    solution = solve_both(checked(replace(problem, shards=shards, nodes=nodes)))
    assert solution.seats is not None
    assert solution.seats.tolist() == [NOWHERE, 0, 0]


@pytest.mark.parametrize(
    ("each", "rules", "conflict"),
    [
        (2, {"limits": Bearing(leaders=1)}, ["/nodes/limits/leaders", "/shards/pin"]),
        (
            1,
            {"zone_limits": Bearing(leaders=9), "apart": (Apart("a", (0, 1, 2), Scope.ZONE),)},
            ["/nodes/apart/0", "/shards/pin"],
        ),
        (
            2,
            {"pins": ((0, 0), (1, 0)), "apart": (Apart("a", (0, 1), Scope.NODE),)},
            ["/nodes/apart/0", "/nodes/pins", "/shards/pin"],
        ),
    ],
)
def test_a_conflict_is_smallest(each: int, rules: dict[str, object], conflict: list[str]) -> None:
    problem = few(6)
    pinned = replace(problem.shards, pin=np.zeros(3, dtype=np.int16))
    problem = checked(manned(replace(problem, shards=pinned), each, **rules))
    solution = solve_both(problem)
    assert not solution.feasible
    assert sorted(conflict_of(problem, solution).constraints) == conflict


def test_a_shard_too_heavy_for_any_node_is_to_be_split() -> None:
    problem = few(7)
    writes = problem.shards.writes_per_s.sum(axis=1)
    problem = manned(problem, 2, limits=Bearing(writes_per_s=float(writes.max()) * 0.99))
    found = conflict_of(problem, solve_both(problem))
    assert found.split == (f"s{writes.argmax()}",)
    assert found.constraints == ("/nodes/limits/writes_per_s",)


def test_the_hash_is_of_nodes_too_and_the_problem_is_plain_data() -> None:
    problem = manned(few(8), 2, limits=Bearing(leaders=2), wishes=((0, 1),), pins=((1, 2),),
                     apart=(Apart("a", (0, 2), Scope.ZONE),))  # fmt: skip
    again = problem_from(document_of(problem))
    assert again.nodes == problem.nodes
    solution = solve(problem)
    seats = natural_seats(problem, solution.placement.leader)
    other = seats.copy()
    other[0] = seats[0] ^ 1
    hashes = {hash_of(problem, solution.placement, each) for each in (None, seats, other)}
    assert len(hashes) == 3
