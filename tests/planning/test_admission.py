"""One step that every planned move passes: what comes first, how many at once, and what is left."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from config.builtin import builtin_content
from config.document import Kind
from controlplane.planning.admission import Admission
from controlplane.planning.limits import Limits, limits_of
from controlplane.planning.proceedings import (
    Arrived,
    Began,
    Failed,
    Held,
    NodeSeen,
    NodesSeen,
    Remembered,
    Reported,
    RolledOut,
)
from controlplane.planning.reasons import FOR_GOOD, Hindrance, MoveKind, Wanted

LIMITS = replace(
    limits_of(builtin_content(Kind.PLACEMENT)),
    in_flight_max={"node": 2, "region": 4, "group": 4, "kind": 4},
    per_minute_max={"node": 600, "region": 600, "group": 600},
    bulk_in_flight_max={"node": 2, "region": 2, "group": 1, "kind": 3},
    bulk_bytes_per_s_max=1_000_000.0,
    plan_per_minute_max=600.0,
)
HOUR_MS = 3_600_000
NODES = (
    NodeSeen("n1", "eu", True), NodeSeen("n2", "eu", True), NodeSeen("n3", "us", True),
    NodeSeen("n4", "us", True),
)  # fmt: skip


def known(limits: Limits = LIMITS) -> Admission:
    """An admission that knows a healthy fleet, ten seconds after it began."""
    machine = Admission(limits, 0)
    machine.step(NodesSeen(NODES), 0)
    machine.step(Reported(), 0)
    return machine


def cost(shard: str = "s1", node: str = "n1", to: str = "us") -> Wanted:
    return Wanted(shard, "global", MoveKind.COST, node, "eu", to)


def of_kind(kind: MoveKind, shard: str = "s1") -> Wanted:
    return Wanted(shard, "global", kind, "n1", "eu", "us")


def with_node(number: int, **changes: object) -> NodesSeen:
    nodes = [*NODES]
    nodes[number - 1] = replace(nodes[number - 1], **changes)  # type: ignore[arg-type]
    return NodesSeen(tuple(nodes))


NOW = 10_000


def test_what_nothing_speaks_against_may_begin() -> None:
    assert known().judge(cost(), NOW) is None


def test_a_shard_on_its_way_is_left_to_whoever_comes_first() -> None:
    machine = known()
    machine.step(Began(cost()), NOW)
    assert machine.judge(cost(), NOW) is Hindrance.IN_FLIGHT
    assert machine.judge(of_kind(MoveKind.BALANCE), NOW) is Hindrance.IN_FLIGHT
    assert machine.judge(of_kind(MoveKind.DRAIN), NOW) is None
    machine.step(Began(of_kind(MoveKind.DRAIN)), NOW)
    assert [(each.wanted.kind, each.why) for each in machine.take()] == [
        (MoveKind.COST, Hindrance.OVERTAKEN)
    ]
    assert len(machine.on_way) == 1


def test_kinds_come_in_their_order() -> None:
    assert [kind.value for kind in MoveKind] == [
        "safety", "drain", "operator", "survival", "preference", "cost", "balance", "bulk",
    ]  # fmt: skip
    assert [kind.rank for kind in MoveKind] == [*range(8)]


def test_so_many_are_on_their_way_at_once_and_no_more_but_for_safety() -> None:
    machine = known()
    for shard in ("a", "b"):
        assert machine.judge(cost(shard), NOW) is None
        machine.step(Began(cost(shard)), NOW)
    assert machine.judge(cost("c"), NOW) is Hindrance.IN_FLIGHT, "n1 gives two already"
    assert machine.judge(cost("c", "n2"), NOW) is None
    assert machine.judge(of_kind(MoveKind.DRAIN, "c"), NOW) is Hindrance.IN_FLIGHT
    assert machine.judge(of_kind(MoveKind.SAFETY, "c"), NOW) is None
    machine.step(Arrived("a", "n3"), NOW)
    assert machine.judge(cost("c"), NOW) is None


def test_what_is_on_its_way_counts_in_the_scores_of_both_ends() -> None:
    machine = known()
    machine.step(with_node(1, leads=5), NOW)
    machine.step(Began(replace(cost(), to_node="n3")), NOW)
    assert [machine.score(node) for node in ("n1", "n2", "n3")] == [4, 0, 1]


def test_moves_are_made_at_the_rate_that_is_allowed_and_drains_at_theirs() -> None:
    machine = known(replace(LIMITS, plan_per_minute_max=6.0, drain_per_minute_max=60.0))
    machine.step(Began(cost("a", "n1")), NOW)
    assert machine.judge(cost("b", "n2"), NOW) is Hindrance.RATE
    assert machine.judge(of_kind(MoveKind.DRAIN, "b"), NOW) is None
    assert machine.judge(cost("b", "n2"), NOW + 10_000) is None


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"is_alive": False}, Hindrance.NO_CANDIDATE),
        ({"is_drained": True}, Hindrance.DRAINED),
        ({"is_suspect": True}, Hindrance.SUSPECT),
    ],
)
def test_somebody_has_to_be_there_to_take_it(seen: dict[str, bool], why: Hindrance) -> None:
    machine = known()
    machine.step(NodesSeen((*NODES[:2], replace(NODES[2], **seen))), NOW)  # type: ignore[arg-type]
    assert machine.judge(cost(), NOW) is why
    assert machine.judge(of_kind(MoveKind.DRAIN), NOW) is why
    is_suspect = why is Hindrance.SUSPECT
    assert machine.judge(of_kind(MoveKind.SAFETY), NOW) is (None if is_suspect else why)
    assert machine.judge(cost(to="eu"), NOW) is None


def test_a_node_that_was_silent_is_given_nothing_for_a_while() -> None:
    machine = known()
    only = (*NODES[:2], NODES[2])
    machine.step(NodesSeen((*NODES[:2], replace(NODES[2], is_alive=False))), NOW)
    machine.step(NodesSeen(only), NOW + 1_000)
    assert machine.judge(cost(), NOW + 1_000) is Hindrance.SUSPECT
    assert machine.judge(cost(), NOW + 1_000 + LIMITS.suspect_ms) is None


def test_a_shard_stays_where_it_was_moved_to_unless_something_presses() -> None:
    machine = known()
    machine.step(Began(cost()), NOW)
    machine.step(Arrived("s1", "n3"), NOW)
    back = Wanted("s1", "global", MoveKind.COST, "n3", "us", "eu")
    assert machine.judge(back, NOW + LIMITS.residence_ms - 1) is Hindrance.RESIDENCE
    assert machine.judge(replace(back, kind=MoveKind.DRAIN), NOW + 1_000) is None
    assert machine.judge(replace(back, kind=MoveKind.SURVIVAL), NOW + 1_000) is None
    assert machine.judge(back, NOW + LIMITS.residence_ms) is None


def test_when_a_shard_was_moved_is_known_to_a_successor() -> None:
    machine = known()
    machine.step(Remembered("s1", "us", "n3", NOW - LIMITS.residence_ms + 5_000), NOW)
    assert machine.judge(cost(), NOW) is Hindrance.RESIDENCE
    assert machine.judge(cost(), NOW + 5_000) is None


def test_a_move_that_does_not_arrive_in_time_has_failed_and_is_not_tried_at_once() -> None:
    machine = known()
    machine.step(Began(cost()), NOW)
    assert machine.deadline_ms == NOW + LIMITS.finish_ms_max
    late = NOW + LIMITS.finish_ms_max
    machine.advance(late)
    machine.advance(late)
    assert [each.why for each in machine.take()] == [Hindrance.NOT_FINISHED]
    assert machine.deadline_ms is None
    assert machine.judge(cost(), late) is Hindrance.COOLING
    again = late + LIMITS.cool_down_ms
    assert machine.judge(cost(), again) is None
    machine.step(Began(cost()), again)
    machine.step(Failed("s1"), again)
    assert machine.judge(cost(), again + LIMITS.cool_down_ms) is Hindrance.COOLING
    assert machine.judge(cost(), again + 2 * LIMITS.cool_down_ms) is None


def test_a_new_global_leader_moves_nothing_optional_before_it_knows_the_fleet() -> None:
    machine = Admission(LIMITS, NOW)
    machine.step(NodesSeen(NODES), NOW)
    soon = NOW + 1_000
    for kind in MoveKind:
        expected = Hindrance.COLD_START if kind.is_optional else None
        assert machine.judge(of_kind(kind), soon) in (expected, Hindrance.RATE)
    assert machine.judge(of_kind(MoveKind.COST), NOW + LIMITS.cold_start_ms) is None
    machine.step(Reported(), soon)
    assert machine.judge(of_kind(MoveKind.COST), soon) is None


def test_what_people_hold_up_waits_and_ends_by_itself() -> None:
    machine = known()
    machine.step(Held(NOW + 5_000), NOW)
    for kind in MoveKind:
        held = None if kind is MoveKind.SAFETY else Hindrance.PAUSED
        assert machine.judge(of_kind(kind), NOW) is held
    assert machine.judge(cost(), NOW + 5_000) is None
    machine.step(Held(NOW + HOUR_MS), NOW)
    machine.step(Held(None), NOW)
    assert machine.judge(cost(), NOW) is None


def given(machine: Admission, shard: str, node: str) -> None:
    machine.step(Began(cost(shard)), NOW)
    machine.step(Arrived(shard, node), NOW)


def test_when_nodes_go_down_of_what_they_were_given_that_is_left_where_it_is() -> None:
    machine = known()
    given(machine, "poison", "n3")
    machine.step(with_node(3, is_alive=False), NOW + 1_000)
    standing = machine.standing(NOW + 1_000)
    assert (standing.is_braked, standing.crashes) == (True, 1)
    drain = of_kind(MoveKind.DRAIN, "poison")
    assert machine.judge(drain, NOW + 2_000) is Hindrance.BRAKE
    assert machine.judge(cost("other", "n2"), NOW + 2_000) is None, "it was not moved"
    later = NOW + 1_000 + LIMITS.brake_window_ms
    machine.advance(later)
    assert machine.judge(drain, later) is None


def test_nodes_that_are_stopped_on_purpose_or_were_given_nothing_pull_no_brake() -> None:
    for gone in ({"is_stopping": True}, {"is_drained": True}):
        machine = known()
        given(machine, "s9", "n3")
        machine.step(with_node(3, is_alive=False, **gone), NOW + 1_000)
        machine.step(with_node(4, is_alive=False), NOW + 2_000)
        assert not machine.is_braked


def test_a_successor_sees_who_went_down_of_what_it_was_given() -> None:
    machine = Admission(LIMITS, NOW)
    machine.step(with_node(3, is_alive=False), NOW)
    machine.step(Remembered("poison", "us", "n3", NOW - 60_000), NOW)
    assert machine.is_braked


def test_who_crashed_and_of_which_shards_is_handed_on_and_counted_once() -> None:
    before = known()
    for shard in ("a", "b"):
        given(before, shard, "n3")
    before.step(with_node(3, is_alive=False), NOW + 1_000)
    (crash,) = before.crashes
    assert (crash.node, crash.at_ms, crash.shards) == ("n3", NOW + 1_000, ("b", "a"))
    after = Admission(LIMITS, NOW + 5_000)
    after.step(NodesSeen(NODES), NOW + 5_000)  # n3 is back, and the shards are elsewhere
    assert not after.is_braked
    for event in (*before.crashes, *before.given):
        after.step(event, NOW + 5_000)
    assert (after.is_braked, after.standing(NOW + 5_000).crashes) == (True, 1)
    assert after.judge(of_kind(MoveKind.DRAIN, "a"), NOW + 6_000) is Hindrance.BRAKE
    assert after.judge(of_kind(MoveKind.DRAIN, "c"), NOW + 6_000) is None
    assert (after.crashes, after.given) == (before.crashes, before.given)


def test_who_went_down_while_nobody_led_is_counted_of_what_the_one_before_gave() -> None:
    before = known()
    given(before, "a", "n3")
    (gift,) = before.given
    after = Admission(LIMITS, NOW)
    after.step(with_node(3, is_alive=False), NOW)
    after.step(gift, NOW)
    assert after.is_braked


def operator(shard: str = "s1", node: str = "n3") -> Wanted:
    return Wanted(shard, "global", MoveKind.OPERATOR, "n1", "eu", "us", node)


def test_what_a_person_orders_is_done_at_once_within_the_hard_limits() -> None:
    machine = Admission(LIMITS, NOW)  # which knows nothing yet
    machine.step(NodesSeen(NODES), NOW)
    assert machine.judge(cost(), NOW) is Hindrance.COLD_START
    assert machine.judge(operator(), NOW) is None
    machine.step(Began(operator()), NOW)
    assert machine.judge(operator(), NOW) is Hindrance.IN_FLIGHT
    machine.step(Failed("s1"), NOW)
    assert machine.judge(operator(), NOW) is None, "a person need not wait"
    machine.step(Began(operator()), NOW)
    machine.step(Arrived("s1", "n3"), NOW)
    assert machine.judge(operator(node="n4"), NOW) is None
    for shard in ("a", "b"):
        machine.step(Began(operator(shard)), NOW)
    assert machine.judge(operator("c"), NOW) is Hindrance.IN_FLIGHT
    machine.step(with_node(3, is_suspect=True), NOW)
    assert machine.judge(operator(), NOW) is Hindrance.SUSPECT
    machine.step(with_node(3, is_drained=True), NOW)
    assert machine.judge(operator(), NOW) is Hindrance.DRAINED


def home(shard: str = "s1", node: str = "n3") -> Wanted:
    return Wanted(shard, "global", MoveKind.PREFERENCE, node, "us", "eu", "n1")


def test_a_shard_comes_home_after_a_drain_or_a_loss_and_not_from_where_a_person_put_it() -> None:
    for kind, why in ((MoveKind.DRAIN, None), (MoveKind.OPERATOR, Hindrance.RESIDENCE)):
        machine = known()
        machine.step(Began(replace(operator(), kind=kind)), NOW)
        machine.step(Arrived("s1", "n3"), NOW)
        assert machine.judge(home(), NOW + 1_000) is why
        assert machine.judge(home(node="n4"), NOW + 1_000) is None, "n3 lost it since"


def test_a_shard_that_changed_nodes_while_home_was_drained_comes_home_all_the_same() -> None:
    machine = known()
    for node, kind in (("n3", MoveKind.DRAIN), ("n4", MoveKind.PREFERENCE)):
        machine.step(Began(Wanted("s1", "global", kind, "n1", "eu", "us", node)), NOW)
        machine.step(Arrived("s1", node), NOW)
    assert machine.judge(home(node="n4"), NOW + 1_000) is None


def test_coming_home_keeps_to_the_budgets_of_places_and_not_to_that_of_plans() -> None:
    limits = replace(LIMITS, plan_per_minute_max=0.001)
    machine = known(limits)
    assert machine.judge(cost(), NOW) is Hindrance.RATE
    machine.step(Began(home("a")), NOW)
    machine.step(Began(home("b")), NOW)
    assert machine.judge(home("c"), NOW) is Hindrance.IN_FLIGHT


def test_every_hindrance_is_for_good_or_passes() -> None:
    assert {*Hindrance} - FOR_GOOD == {
        Hindrance.UNLED, Hindrance.PAUSED, Hindrance.COLD_START, Hindrance.BRAKE,
        Hindrance.COOLING, Hindrance.SUSPECT, Hindrance.IN_FLIGHT, Hindrance.RATE,
        Hindrance.GROUP_MAKING, Hindrance.ROLLOUT,
    }  # fmt: skip


@pytest.mark.parametrize("region", ["eu", "us"])
def test_nothing_optional_leaves_or_reaches_a_region_in_which_a_rollout_is_at_work(
    region: str,
) -> None:
    machine = known()
    machine.step(RolledOut(frozenset({region})), NOW)
    waits = [kind for kind in MoveKind if machine.judge(of_kind(kind), NOW) is Hindrance.ROLLOUT]
    assert waits == [MoveKind.PREFERENCE, MoveKind.COST, MoveKind.BALANCE, MoveKind.BULK]
    others = [kind for kind in MoveKind if machine.judge(of_kind(kind), NOW) is None]
    assert others == [MoveKind.SAFETY, MoveKind.DRAIN, MoveKind.OPERATOR, MoveKind.SURVIVAL]
    by_node = Wanted("s1", "global", MoveKind.COST, "n1", "", "", "n3")
    assert machine.judge(by_node, NOW) is Hindrance.ROLLOUT, "where nodes stand is known"
    machine.step(RolledOut(frozenset({"ap"})), NOW)
    assert machine.judge(cost(), NOW) is None


def bulk(shard: str, node: str = "n1", group: str = "region/us", size: float = 0.0) -> Wanted:
    return Wanted(shard, "global", MoveKind.BULK, node, "eu", "us", "", group, size)


def test_few_shards_are_copied_to_one_group_at_once_and_leaders_go_on_beside() -> None:
    machine = known()
    machine.step(Began(bulk("a")), NOW)
    assert machine.judge(bulk("b", "n2"), NOW) is Hindrance.IN_FLIGHT
    machine.step(Began(replace(cost("c", "n2"))), NOW)
    machine.step(Arrived("a", "n3"), NOW)
    assert machine.judge(bulk("b", "n2"), NOW) is None


def test_what_a_copy_was_in_bytes_is_waited_for_before_the_next_one() -> None:
    machine = known()
    machine.step(Began(bulk("a", size=30_000_000)), NOW)
    machine.step(Arrived("a", "n3"), NOW)
    assert machine.judge(bulk("b"), NOW + 20_000) is Hindrance.RATE
    assert machine.judge(cost("c"), NOW + 20_000) is None, "leaders have a budget of their own"
    assert machine.judge(bulk("b"), NOW + 31_000) is None


def test_what_changes_a_shard_where_it_is_needs_no_residence_but_room() -> None:
    machine = known()
    machine.step(Began(cost("b")), NOW)
    machine.step(Arrived("b", "n3"), NOW)
    machine.step(Began(bulk("a", size=30_000_000)), NOW)
    machine.step(Arrived("a", "n3"), NOW)
    in_place = partial(machine.judge, bulk("b", "n3"), stays_led=True)
    assert machine.judge(bulk("b", "n3"), NOW + 31_000) is Hindrance.RESIDENCE
    assert in_place(NOW + 20_000) is Hindrance.RATE
    assert in_place(NOW + 31_000) is None


def test_a_copy_may_take_longer_than_a_hand_over() -> None:
    machine = known()
    machine.step(Began(bulk("a")), NOW)
    machine.step(Began(cost("b")), NOW)
    machine.advance(NOW + LIMITS.finish_ms_max)
    assert [ended.wanted.shard for ended in machine.take()] == ["b"]
    machine.advance(NOW + LIMITS.bulk_finish_ms_max)
    assert [ended.wanted.shard for ended in machine.take()] == ["a"]


def test_a_copy_goes_on_beside_the_move_of_its_leader_and_keeps_its_deadline() -> None:
    machine = known()
    machine.step(Began(bulk("a")), NOW)
    machine.step(Began(of_kind(MoveKind.DRAIN, "a")), NOW + 1_000)
    assert machine.judge(bulk("b", "n2"), NOW + 1_000) is Hindrance.IN_FLIGHT, (
        "it still has its room"
    )
    machine.step(Arrived("a", "n3"), NOW + 2_000)
    assert [(m.wanted.kind, m.began_ms) for m in machine.on_way] == [(MoveKind.BULK, NOW)]
    assert machine.take() == []
    machine.advance(NOW + LIMITS.bulk_finish_ms_max)
    assert [ended.why for ended in machine.take()] == [Hindrance.NOT_FINISHED]
    assert machine.on_way == ()
