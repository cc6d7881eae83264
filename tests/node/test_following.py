"""Following a group from version to version when stores, lanes or nodes fail on the way."""

from __future__ import annotations

from copy import deepcopy

from controlplane.machine import Fetch
from controlplane.node_plan import description_of
from controlplane.requests import Consistency, Found, Refused, StoreAction, StoresWanted, Written
from regions.codec import FORMAT, Code
from regions.membership import GroupDescription, write_description
from regions.scripts.state import StoreState
from tests.node.rig import Rig
from tests.node.test_store_changes import led_rig, order, versions


def test_what_could_not_be_carried_over_at_once_is_stood_for_again() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    rig.forget("s3")
    rig.until(lambda: n1.group.version == 2)
    rig.step_until(n1, lambda: "a" in n1.group.led)
    for store in ("s1", "s2"):
        rig.disconnect("n1", store)  # the question is lost at both
        rig.connect("n1", store)
    rig.until(lambda: n1.serves("a"))
    number = n1.put("a", "y")
    rig.run(300)
    assert isinstance(n1.answers[number], Written)


def test_a_node_that_slept_while_every_store_it_knew_was_replaced_follows_all_the_same() -> None:
    rig = led_rig(spares=3)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    n2.asleep = True
    for number in (1, 2, 3):
        assert isinstance(
            order(rig, StoreAction.REPLACE, f"s{number}", by=f"spare{number}"), StoresWanted
        )
        rig.until(lambda: n1.group.version == number + 1 and n1.serves("a"))  # noqa: B023
        rig.run(2_000)
    n2.asleep = False
    rig.until(lambda: versions(rig) == [4, 4])
    found = n2.get("a", "x", consistency=Consistency.ANY)
    rig.run(300)
    assert isinstance(n2.answers[found], Found)


def test_a_change_is_taken_up_though_a_store_is_late_for_the_version_before() -> None:
    rig = led_rig(stores=5, spares=1)
    for node in rig.seats:
        rig.disconnect(node, "s5")
    assert isinstance(order(rig, StoreAction.REPLACE, "s4", by="spare1"), StoresWanted)
    rig.until(lambda: versions(rig) == [2, 2])
    del rig.seats["n1"]  # who was about to bring the fifth store along
    n2 = rig.seats["n2"]
    old = description_of(n2.group.plan)
    left = {store: old.voters[store] for store in old.voters if store != "s3"}
    new = GroupDescription("g", 3, old.ttl_ms, left, {}, old.voters)
    header = [FORMAT, old.voters["s1"], "", 0]
    sealed = rig.stores["s1"].call(header, [["seal", "g", 2, write_description(new), 3]])
    assert sealed.results[0][0] == Code.OK  # by a node that is not there any more
    rig.connect("n2", "s5")
    rig.until(lambda: versions(rig) == [3])
    rig.until(lambda: n2.serves("a"))


def test_a_store_that_was_another_one_for_a_moment_is_not_lost_when_it_is_down() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    state = rig.stores["s3"].state
    rig.forget("s3")
    rig.run(100)
    rig.stores["s3"].restore(state)  # the right disk is mounted again
    for node in rig.seats:
        rig.connect(node, "s3")
    rig.until(lambda: all(seat.group.lanes[2].is_up for seat in rig.seats.values()))
    rig.run(1_000)
    for node in rig.seats:
        rig.disconnect(node, "s3")
    rig.run(10_000)
    assert [event.kind for event in n1.happened].count("stores-wanted") == 0


def test_a_change_to_a_store_that_is_in_no_topology_here_is_helped_on_without_it() -> None:
    rig = led_rig(spares=1)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    del n2.node.sites.places["spare1"]
    assert isinstance(order(rig, StoreAction.REPLACE, "s2", by="spare1"), StoresWanted)
    rig.step_until(n1, lambda: rig.stores["s1"].state.groups["g"].state == "sealed")
    del rig.seats["n1"]
    rig.until(lambda: "change-taken-up" in [event.kind for event in n2.happened])
    rig.until(lambda: rig.stores["s3"].state.groups["g"].version == 2)
    rig.until(lambda: "group-not-followed" in [event.kind for event in n2.happened])
    asked = {effect.store for effect in n2.effects if isinstance(effect, Fetch)}
    assert asked == {"s1", "s2", "s3"}


def test_a_store_that_left_its_group_comes_back_to_it() -> None:
    rig = led_rig(stores=5)
    n1 = rig.seats["n1"]
    for node in rig.seats:
        rig.disconnect(node, "s1")
        rig.connect(node, "s1")  # it has seen later connections than the first
    rig.until(lambda: n1.group.lanes[0].is_up)
    assert isinstance(order(rig, StoreAction.REMOVE, "s1"), StoresWanted)
    rig.until(lambda: versions(rig) == [2, 2] and n1.serves("a"))
    rig.run(1_000)
    assert isinstance(order(rig, StoreAction.ADD, "s1"), StoresWanted)
    rig.until(lambda: versions(rig) == [3, 3] and n1.serves("a"))
    rig.until(lambda: all(lane.is_up for lane in n1.group.lanes))


def test_a_store_that_lost_its_data_and_then_died_can_be_replaced_by_another_one() -> None:
    rig = led_rig(spares=1)
    rig.forget("s3")
    rig.run(500)
    for node in rig.seats:
        rig.disconnect(node, "s3")
    rig.run(10_000)
    view = rig.seats["n1"].node.changes.view("g")
    assert view is not None
    assert view.why == "s3 has not been minted"
    assert isinstance(order(rig, StoreAction.REPLACE, "s3", by="spare1"), StoresWanted)
    rig.until(lambda: versions(rig) == [2, 2])
    rig.until(lambda: rig.seats["n1"].serves("a"))


def test_an_order_that_could_never_be_decided_is_refused() -> None:
    rig = Rig(nodes=("n1", "n2"), stores=1, spares=1)
    rig.until(lambda: rig.seats["n1"].serves("a"))
    refused = order(rig, StoreAction.REPLACE, "s1", by="spare1")
    assert isinstance(refused, Refused)
    assert refused.detail == "0 of its 1 voters vote now; 1 must"


def test_whoever_brings_a_late_store_along_does_not_begin_again_with_every_lease() -> None:
    rig = led_rig(stores=5)
    n2 = rig.seats["n2"]
    for node in rig.seats:
        rig.disconnect(node, "s2")
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2])
    del rig.seats["n1"]
    n2.bulk_ms = 400  # so that the copy takes longer than a lease
    rig.connect("n2", "s2")
    rig.until(lambda: rig.stores["s2"].state.groups["g"].version == 2)
    rig.run(5_000)
    assert [event.kind for event in n2.happened].count("change-taken-up") == 1


def test_a_follower_that_was_down_is_brought_along_though_its_change_is_nobodys_any_more() -> None:
    rig = led_rig(followers=1)
    for node in rig.seats:
        rig.disconnect(node, "s4")
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2])
    del rig.seats["n1"]
    rig.connect("n2", "s4")
    rig.until(lambda: rig.stores["s4"].state.groups["g"].version == 2)


def test_an_onlooker_follows_though_the_only_store_it_reads_has_left_the_group() -> None:
    rig = Rig(nodes=("n1", "n2"), followers=1, spares=1, onlookers=("n2",))
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: n1.serves("a"))
    for store in ("s1", "s2", "s3"):
        rig.disconnect("n2", store)  # those of other regions
        rig.wire("n2", store).is_another = True  # ... which its bulk lanes reach
    assert isinstance(order(rig, StoreAction.REPLACE, "s4", by="spare1"), StoresWanted)
    rig.until(lambda: n1.group.version == 2)
    rig.until(lambda: n2.group.version == 2)


def test_a_store_in_quarantine_that_is_emptied_is_admitted_anew() -> None:
    rig = led_rig()
    past = deepcopy(rig.stores["s3"].state)
    number = rig.seats["n1"].put("a", "y")
    rig.run(500)
    assert isinstance(rig.seats["n1"].answers[number], Written)
    rig.stores["s3"].restore(past)
    rig.until(lambda: all(seat.group.lanes[2].quarantined for seat in rig.seats.values()))
    rig.run(1_000)
    rig.stores["s3"].restore(StoreState())  # FLUSHALL: no connection breaks
    rig.until(lambda: versions(rig) == [2, 2])


def test_a_node_that_cannot_follow_keeps_no_other_from_the_next_change() -> None:
    rig = led_rig(spares=1)
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    del n2.node.sites.places["spare1"]
    assert isinstance(order(rig, StoreAction.REPLACE, "s2", by="spare1"), StoresWanted)
    rig.step_until(n1, lambda: rig.stores["s1"].state.groups["g"].state == "sealed")
    n1.asleep = True
    rig.until(lambda: "group-not-followed" in [event.kind for event in n2.happened])
    n1.asleep = False
    rig.until(lambda: n1.group.version == 2)
    rig.run(5_000)
    rig.forget("s3")
    rig.until(lambda: n1.group.version == 3)
