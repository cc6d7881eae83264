"""A group whose stores are others from now on: noticed, followed, and led on."""

from __future__ import annotations

from controlplane.node_plan import Limits
from controlplane.requests import (
    ChangeStores,
    Found,
    Problem,
    Refused,
    StoreAction,
    StoresWanted,
    Written,
)
from shards.reserved import FLOOR_KEY
from tests.node.rig import Rig


def led_rig(**how: object) -> Rig:
    """Three stores; the first node leads shard "a" and has written x."""
    rig = Rig(nodes=("n1", "n2"), **how)  # type: ignore[arg-type]
    rig.until(lambda: rig.seats["n1"].serves("a"))
    number = rig.seats["n1"].put("a", "x", b"1")
    rig.run(200)
    assert isinstance(rig.seats["n1"].answers[number], Written)
    return rig


def versions(rig: Rig) -> list[int]:
    return [seat.group.version for seat in rig.seats.values()]


def test_a_store_that_forgot_votes_again_as_another_one_and_nothing_is_lost() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    before = rig.stores["s3"].state.incarnation
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2])
    again = rig.stores["s3"].state
    assert again.incarnation not in ("", before)
    assert again.groups["g"].state == "open"
    rig.until(lambda: n1.serves("a"))
    number, asked = n1.put("a", "y", b"2"), n1.get("a", "x")
    rig.run(300)
    assert isinstance(n1.answers[number], Written)
    found = n1.answers[asked]
    assert isinstance(found, Found)
    assert [value.data for value in found.values if value] == [b"1"]
    assert rig.log("s3").cm == rig.log("s1").cm
    assert again.groups["g"].shards["a"].data.kv.keys() == {"x", "y"}


def test_ids_that_were_forgotten_stay_so_at_a_store_that_is_copied_to() -> None:
    rig = led_rig(limits=Limits(id_memory_ms=5_000))
    n1 = rig.seats["n1"]
    n1.put("a", "x", op_id="once")
    rig.run(20_000)
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2] and n1.serves("a"))
    number = n1.put("a", "y", op_id="later")
    rig.run(300)
    assert isinstance(n1.answers[number], Written)
    copied, other = (rig.stores[s].state.groups["g"].shards["a"].data for s in ("s3", "s1"))
    assert copied.kv.keys() == {"x", "y", FLOOR_KEY}
    assert copied.ids.keys() == {"later"}
    assert (copied.kv, copied.ids, copied.names) == (other.kv, other.ids, other.names)


def test_whoever_led_goes_on_with_its_writes_and_nobody_waits_for_a_lease() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    rig.forget("s3")
    numbers = []
    while versions(rig) != [2, 2]:
        numbers.append(n1.put("a", f"k{len(numbers)}"))
        rig.run(20)
    rig.run(300)
    assert all(isinstance(n1.answers[number], Written) for number in numbers)
    elections = [event for event in n1.happened if event.kind == "elected"]
    assert [(event.epoch, event.detail["why"]) for event in elections] == [
        (1, "free"),
        (2, "carry"),
    ]
    assert "resigned" not in n1.kinds("a")


def test_a_holder_that_died_is_waited_for_in_the_next_version_too() -> None:
    rig = led_rig()
    n2 = rig.seats["n2"]
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2])
    changed_ms = rig.now_ms
    del rig.seats["n1"]
    rig.until(lambda: n2.serves("a"))
    assert rig.now_ms - changed_ms >= n2.group.times.wait_ms
    found = n2.get("a", "x")
    rig.run(100)
    assert isinstance(n2.answers[found], Found)


def test_with_one_store_down_and_one_that_forgot_of_three_nothing_is_decided() -> None:
    rig = led_rig()
    for node in rig.seats:
        rig.disconnect(node, "s2")
    rig.forget("s3")
    rig.run(20_000)
    assert versions(rig) == [1, 1]
    view = rig.seats["n1"].node.changes.view("g")
    assert view is not None
    assert "s2" in view.why
    for node in rig.seats:
        rig.connect(node, "s2")
    rig.until(lambda: versions(rig) == [2, 2])
    rig.until(lambda: rig.seats["n1"].serves("a"))


def test_when_the_one_that_changes_it_dies_at_any_moment_another_ends_it() -> None:
    for after_ms in range(0, 120, 5):
        rig = led_rig(shards=("a", "b"))
        rig.forget("s3")
        rig.until(lambda: rig.seats["n1"].node.changes.view("g") is not None)  # noqa: B023
        rig.run(after_ms)
        del rig.seats["n1"]
        rig.until(lambda: versions(rig) == [2])  # noqa: B023
        n2 = rig.seats["n2"]
        rig.until(lambda: n2.serves("a") and n2.serves("b"))  # noqa: B023
        found = n2.get("a", "x")
        rig.run(100)
        answer = n2.answers[found]
        assert isinstance(answer, Found)
        assert [value.data for value in answer.values if value] == [b"1"]


def test_a_store_that_was_down_meanwhile_comes_to_the_next_version_when_it_is_back() -> None:
    rig = led_rig(stores=5)
    for node in rig.seats:
        rig.disconnect(node, "s2")
    rig.forget("s3")
    rig.until(lambda: versions(rig) == [2, 2])
    rig.until(lambda: rig.seats["n1"].serves("a"))
    assert rig.stores["s2"].state.groups["g"].version == 1
    for node in rig.seats:
        rig.connect(node, "s2")
    rig.until(lambda: rig.stores["s2"].state.groups["g"].version == 2)
    rig.until(lambda: rig.log("s2").cm == rig.log("s1").cm)


# -- what operators want


def order(rig: Rig, action: StoreAction, store: str, **more: str) -> StoresWanted | Refused:
    change = ChangeStores(rig.group, action, store, **more)  # type: ignore[arg-type]
    return rig.seats["n1"].node.change_stores(change, rig.now_ms, begin=True)


def voters(rig: Rig) -> list[str]:
    return [store.store for store in rig.seats["n2"].group.plan.voters]


def test_a_store_is_replaced_by_another_one_while_the_group_serves() -> None:
    rig = led_rig(spares=1)
    n1 = rig.seats["n1"]
    assert order(rig, StoreAction.REPLACE, "s2", by="spare1") == StoresWanted(
        "g", 1, ("s1", "spare1", "s3"), (), True, 1_000
    )
    numbers = []
    while versions(rig) != [2, 2]:
        numbers.append(n1.put("a", f"k{len(numbers)}"))
        rig.run(20)
    rig.until(lambda: n1.serves("a"))
    rig.run(500)
    assert voters(rig) == ["s1", "s3", "spare1"]
    assert all(isinstance(n1.answers[number], Written) for number in numbers)
    assert rig.log("spare1").cm == rig.log("s1").cm
    assert "s2" not in n1.node.lanes


def test_a_group_grows_to_five_and_shrinks_again() -> None:
    rig = led_rig(spares=2)
    for store in ("spare1", "spare2"):
        assert isinstance(order(rig, StoreAction.ADD, store), StoresWanted)
        version = versions(rig)[0]
        rig.until(lambda: versions(rig) == [version + 1] * 2)  # noqa: B023
        rig.until(lambda: rig.seats["n1"].serves("a"))
        rig.run(300)
    assert voters(rig) == ["s1", "s2", "s3", "spare1", "spare2"]
    for store in ("s1", "s2"):
        assert isinstance(order(rig, StoreAction.REMOVE, store), StoresWanted)
        version = versions(rig)[0]
        rig.until(lambda: versions(rig) == [version + 1] * 2)  # noqa: B023
        rig.until(lambda: rig.seats["n1"].serves("a"))
        rig.run(300)
    assert voters(rig) == ["s3", "spare1", "spare2"]
    found = rig.seats["n1"].get("a", "x")
    rig.run(100)
    assert isinstance(rig.seats["n1"].answers[found], Found)


def test_what_makes_no_sense_is_refused_with_the_reason() -> None:
    rig = led_rig(spares=1)
    refused = {
        (StoreAction.ADD, "s1", ""): (Problem.NOT_CHANGED, "s1 belongs to g already"),
        (StoreAction.ADD, "mars", ""): (
            Problem.UNKNOWN_STORE, "neither the topology nor a document says where 'mars' is",
        ),
        (StoreAction.REMOVE, "spare1", ""): (
            Problem.NOT_CHANGED, "spare1 does not belong to g",
        ),
        (StoreAction.REPLACE, "s1", "s2"): (Problem.NOT_CHANGED, "s2 belongs to g already"),
        (StoreAction.REPLACE, "s1", "s1"): (
            Problem.NOT_CHANGED, "s1 has not lost its data: there is nothing to admit anew",
        ),
    }  # fmt: skip
    for (action, store, by), (problem, detail) in refused.items():
        assert order(rig, action, store, by=by) == Refused(problem, detail)
    assert isinstance(order(rig, StoreAction.ADD, "spare1"), StoresWanted)
    second = order(rig, StoreAction.REMOVE, "s1")
    assert isinstance(second, Refused)
    assert second.detail.startswith("a change is on")
