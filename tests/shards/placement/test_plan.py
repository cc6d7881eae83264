"""Plans say what they do and why, what-if is what would be, and an applied plan moves nothing."""

from dataclasses import replace

import numpy as np
import pytest

from shards.placement.changed import applied, what_if
from shards.placement.confirming import explain_surely
from shards.placement.errors import ProblemInvalid
from shards.placement.explain import explain
from shards.placement.moves import Reason, hash_of, plan_of
from shards.placement.problem import Budget, Problem, unlimited
from shards.placement.problem_file import document_of
from shards.placement.score import RUNNING, Placement, parts_of, present_of
from shards.placement.solve import solve
from shards.placement.synthetic import synthetic_problem


def roomy(seed: int, shards: int = 40, regions: int = 5) -> Problem:
    """A problem without limits: every decision is a shard's own."""
    problem = synthetic_problem(shards, regions, seed)
    return replace(problem, capacities=unlimited(regions), budget=Budget())


@pytest.mark.parametrize("seed", [1, 2])
def test_moves_lead_from_what_is_to_what_should_be(seed: int) -> None:
    problem = roomy(seed)
    solution = solve(problem)
    plan = plan_of(problem, solution.placement)
    now, then = present_of(problem), solution.placement
    names = problem.regions
    ids = problem.shards.ids
    moved = {move.shard: move for move in plan.moves}
    assert len(moved) == len(plan.moves)
    for row, shard in enumerate(ids):
        voters = {names[r] for r in range(5) if int(now.voters[row]) >> r & 1}
        leader = names[now.leader[row]]
        if shard in moved:
            move = moved[shard]
            assert move.from_leader == leader
            voters = (voters - set(move.remove)) | set(move.add)
            leader = move.to_leader
            assert (move.pause_ms > 0) == (move.from_leader != move.to_leader)
        assert leader == names[then.leader[row]]
        assert voters == {names[r] for r in range(5) if int(then.voters[row]) >> r & 1}


def test_the_changes_of_cost_add_up() -> None:
    problem = roomy(3)
    solution = solve(problem)
    plan = plan_of(problem, solution.placement)
    opened = replace(solution.placement, followers=np.zeros(40, dtype=np.uint64))
    running = parts_of(problem, opened)[:, :RUNNING].sum()
    gained = sum(move.usd_per_month for move in plan_of(problem, opened).moves)
    assert np.isclose(plan.before.usd_per_month + gained, running)
    assert plan.after.usd_per_month < plan.before.usd_per_month
    assert sum(plan.after.parts.values()) == pytest.approx(plan.after.usd_per_month)
    assert plan.after.write_p50_ms <= plan.after.write_p99_ms


def test_what_moves_no_bytes_comes_first_and_forced_moves_before_all() -> None:
    problem = replace(roomy(4), drained=0b00001)
    plan = plan_of(problem, solve(problem).placement)
    forced = [move.reason is Reason.FORCED for move in plan.moves]
    assert any(forced)
    assert forced == sorted(forced, reverse=True)
    rest = [move.moved_bytes > 0 for move in plan.moves if move.reason is not Reason.FORCED]
    assert rest == sorted(rest)


def test_losing_a_region_stops_what_has_no_majority_left() -> None:
    problem = roomy(5, shards=3, regions=4)
    placement = Placement(
        np.array([0, 0, 1], dtype=np.int16),
        np.array([0b0111, 0b0001, 0b1110], dtype=np.uint64),
        np.zeros(3, dtype=np.uint64),
    )
    shards = replace(
        problem.shards,
        survival=np.array([1, 0, 1], dtype=np.uint8),
        leader=placement.leader,
        present=placement.voters,
    )
    lost = plan_of(replace(problem, shards=shards), placement).after_losing
    assert [(each.leaders_lost, each.unavailable, each.without_margin) for each in lost] == [
        (2, 1, 1),
        (1, 0, 2),
        (0, 0, 2),
        (0, 0, 1),
    ]


def test_the_hash_is_of_what_is_decided() -> None:
    problem = roomy(6)
    placement = solve(problem).placement
    assert hash_of(problem, placement) == hash_of(problem, solve(problem).placement)
    other = placement.leader.copy()
    other[0] = (other[0] + 1) % 5
    assert hash_of(problem, placement) != hash_of(problem, replace(placement, leader=other))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("moved_share", [0.03, 1.0])
def test_solving_an_applied_plan_again_moves_nothing(seed: int, moved_share: float) -> None:
    problem = synthetic_problem(60, 4, seed, moved_share=moved_share)
    solution = solve(problem)
    assert solution.feasible
    assert plan_of(problem, solution.placement).moves
    after = applied(problem, solution)
    assert plan_of(after, solve(after).placement).moves == ()


def test_a_shard_that_came_back_in_the_wrong_region_is_put_right_even_in_a_large_fleet() -> None:
    problem = roomy(7, shards=2_000)
    after = applied(problem, solve(problem))
    busiest = int(after.shards.writes_per_s.sum(axis=1).argmax())
    leader = after.shards.leader.copy()
    held = [r for r in range(5) if int(after.shards.present[busiest]) >> r & 1]
    wrong = next(r for r in held if r != leader[busiest])
    right, leader[busiest] = leader[busiest], wrong
    strayed = replace(after, shards=replace(after.shards, leader=leader))
    moves = plan_of(strayed, solve(strayed).placement).moves
    assert [(m.shard, m.to_leader) for m in moves] == [(f"s{busiest}", after.regions[right])]


def test_what_if_equals_the_plan_after_the_change() -> None:
    problem = synthetic_problem(30, 4, seed=8)
    supposed = what_if(
        problem, {"/drained": ["us-west-2"], "/egress_usd_per_gb/0/1": 0.2, "/budget": {}}
    )
    egress = problem.egress_usd_per_gb.copy()
    egress[0, 1] = 0.2
    really = replace(problem, drained=0b00010, egress_usd_per_gb=egress, budget=Budget())
    assert document_of(supposed) == document_of(really)
    hashes = [hash_of(each, solve(each).placement) for each in (supposed, really)]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hash_of(problem, solve(problem).placement)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"/egress_usd_per_gb/0/9": 1}, "/egress_usd_per_gb/0/9"),
        ({"/nowhere/at/all": 1}, "/nowhere/at/all"),
        ({"/egress_usd_per_gb/0/1": -1}, "/egress_usd_per_gb/0/1"),
        ({"/drained": ["atlantis"]}, "/drained/0"),
        ({"/colour": "red"}, "/colour"),
    ],
)
def test_a_supposition_that_makes_no_sense_is_refused(
    changes: dict[str, object], pointer: str
) -> None:
    with pytest.raises(ProblemInvalid) as caught:
        what_if(synthetic_problem(3, 3, seed=1), changes)
    assert pointer in [finding.pointer for finding in caught.value.findings]


@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_shard_tips_where_its_explanation_says(seed: int, first: int) -> None:
    problem = roomy(seed)
    solution = solve(problem)
    checked = 0
    for row in range(first, 40, 8):
        why = explain(problem, solution, f"s{row}")
        assert why.by_itself
        if why.tipping is None:
            continue
        now, at = why.tipping.now_per_s, why.tipping.at_per_s
        for way, tips in ((0.95, False), (1.05, True)):
            load = now + way * (at - now)
            if load < 0:
                continue
            place = problem.regions.index(why.tipping.region)
            pointer = why.tipping.load
            table = getattr(problem.shards, pointer).copy()
            table[row, place] = load
            changed = replace(problem, shards=replace(problem.shards, **{pointer: table}))
            again = solve(changed).placement
            same = again.row(row)[:2] == solution.placement.row(row)[:2]
            assert same is not tips, (why, way)
            checked += 1
    assert checked > 2


def short_of(seed: int, *what: str) -> Problem:
    """A problem in which the region that would lead most has too little of what is named."""
    problem = roomy(seed, shards=60)
    leader = solve(problem).placement.leader
    loads = {"leaders": np.ones(60), "writes_per_s": problem.shards.writes_per_s.sum(axis=1)}
    limits = {}
    for name in what:
        led = np.bincount(leader, weights=loads[name], minlength=5)
        limits[name] = np.where(led == led.max(), np.floor(led * 0.8), np.inf)
    return replace(problem, capacities=replace(problem.capacities, **limits))


@pytest.mark.parametrize(
    ("seed", "what"),
    [(1, ("leaders",)), (2, ("writes_per_s",)), (3, ("leaders", "writes_per_s"))],
)
def test_a_shard_tips_where_its_explanation_says_where_limits_bind_too(
    seed: int, what: tuple[str, ...]
) -> None:
    problem = short_of(seed, *what)
    solution = solve(problem)
    told = 0
    for row in range(0, 60, 10):
        why = explain_surely(problem, solution, f"s{row}")
        assert {each.limit for each in why.binding} <= set(what)
        if why.tipping is None:
            continue
        now, at = why.tipping.now_per_s, why.tipping.at_per_s
        for way in (0.9, 1.1):
            table = getattr(problem.shards, why.tipping.load).copy()
            table[row, problem.regions.index(why.tipping.region)] = max(now + way * (at - now), 0)
            changed = replace(problem.shards, **{why.tipping.load: table})
            again = solve(replace(problem, shards=changed)).placement.row(row)[:2]
            assert (again != solution.placement.row(row)[:2]) is (way > 1), (why, way)
        told += 1
    assert told > 2


def test_an_explanation_shows_both_sides_and_what_is_short() -> None:
    problem = synthetic_problem(150, 4, seed=2)
    solution = solve(problem)
    why = explain(problem, solution, "s7")
    assert why.runner_up is not None
    assert why.chosen.usd_per_month == pytest.approx(
        sum(why.chosen.terms.values()) + sum(why.chosen.limits.values())
    )
    assert why.chosen.terms.keys() == why.runner_up.terms.keys()
    assert why.binding
    assert all(each.usd_per_unit > 0 for each in why.binding)
