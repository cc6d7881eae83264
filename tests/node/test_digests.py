"""The background digest: stores that hold the same are left alone, one that differs is named."""

from itertools import pairwise
from typing import Any

import pytest

from controlplane.node.digests import DIGEST_EVERY_MS
from tests.node.rig import Rig, Seat
from tests.node.test_serving import answered, led_rig, write


def rounds(rig: Rig, count: int) -> None:
    rig.run(count * (DIGEST_EVERY_MS + 50))


def diverged(seat: Seat) -> list[dict[str, Any]]:
    return [event.detail for event in seat.happened if event.kind == "diverged"]


def why(seat: Seat) -> dict[str, str]:
    return {view.store: view.why for view in seat.node.fleet(seat.rig.now_ms).stores}


def corrupt(rig: Rig, store: str, key: str = "k", value: bytes = b"rotten") -> None:
    data = rig.log(store).data
    version, _ = data.kv[key]
    data.kv[key] = (version, value)


def digests_at(rig: Rig, store: str) -> list[tuple[int, list[Any]]]:
    """What is asked of a store from now on, and when."""
    asked: list[tuple[int, list[Any]]] = []
    rig.on_call = lambda at, commands: asked.extend(
        (rig.now_ms, command) for command in commands if at == store and command[0] == "digest"
    )
    return asked


@pytest.mark.parametrize("victim", ["s1", "s2", "s3"])
def test_a_store_that_differs_is_named_once_and_left_as_it_is(victim: str) -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k", b"right"))
    rounds(rig, 2)
    assert diverged(n1) == []
    corrupt(rig, victim)
    rounds(rig, 6)
    (found,) = diverged(n1)
    assert (found["store"], found["part"], found["position"]) == (victim, "kv", 2)
    assert why(n1) == {
        store: "holds other data than its peers: a" if store == victim else ""
        for store in rig.stores
    }
    assert rig.log(victim).data.kv["k"] == (2, b"rotten")


@pytest.mark.parametrize("part", ["id", "history", "lost", "index"])
def test_everything_that_is_applied_counts(part: str) -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k", op_id="o", digest="d"))
    rig.run(50)
    data = rig.log("s2").data
    match part:
        case "id":
            data.ids.clear()
        case "history":
            data.history[1] = b"somebody else"
        case "lost":
            data.delete("p", "k")
        case "index":
            data.names.clear()
    rounds(rig, 4)
    assert [found["store"] for found in diverged(n1)] == ["s2"]


def test_a_store_that_is_as_the_others_again_is_not_shown_any_more() -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k"))
    rig.run(50)
    corrupt(rig, "s2")
    rounds(rig, 3)
    assert "a" in why(n1)["s2"]
    answered(rig, n1, write("k", b"new"))
    rounds(rig, 4)
    assert why(n1)["s2"] == ""
    assert len(diverged(n1)) == 1


def test_two_of_two_that_differ_are_both_named() -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k"))
    rig.run(50)
    rig.disconnect("n1", "s3")
    corrupt(rig, "s2")
    rounds(rig, 3)
    assert sorted(found["store"] for found in diverged(n1)) == ["s1", "s2"]


def test_stores_are_compared_at_one_position_while_others_write() -> None:
    rig, n1 = led_rig("n1", "n2")
    rig.hold("n2", *rig.stores)  # so that it takes no part
    for number in range(400):
        n1.put("a", f"k{number % 7}", b"%d" % number)
        if number % 3 == 0:
            rig.mute("n1", "s2")
        else:
            rig.let("n1", "s2")
        rig.run(5 + number % 4)
    rig.let("n1", *rig.stores)
    rig.run(200)
    assert diverged(n1) == []
    corrupt(rig, "s2", "k1")
    asked = digests_at(rig, "s2")
    for number in range(400):
        n1.put("a", "k2", b"%d" % number)
        rig.run(7)
    assert len(asked) >= 2
    assert [detail["store"] for detail in diverged(n1)] == ["s2"]


def test_it_goes_slowly_and_by_pages() -> None:
    rig, n1 = led_rig()
    for number in range(300):
        n1.put("a", f"k{number:03}", bytes(300))
    rig.run(100)
    asked = digests_at(rig, "s1")
    rounds(rig, 8)
    times = [at_ms for at_ms, _ in asked]
    assert all(b - a >= DIGEST_EVERY_MS for a, b in pairwise(times))
    places = [tuple(command[5:7]) for _, command in asked]
    assert len(set(places)) >= 4  # 100 KB are more than one page
    assert places.count(("kv", "")) >= 1
    assert diverged(n1) == []
    corrupt(rig, "s3", "k299")  # on the last page
    rounds(rig, 8)
    assert [found["store"] for found in diverged(n1)] == ["s3"]


def test_it_goes_along_with_calls_that_are_made_anyway() -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k"))
    rig.run(rig.ttl_ms)
    calls: list[list[str]] = []
    rig.on_call = lambda _, commands: calls.append([command[0] for command in commands])
    rounds(rig, 5)
    with_digest = [names for names in calls if "digest" in names]
    assert len(with_digest) >= 5 * len(rig.stores)
    assert all(len(names) > 1 for names in with_digest)


def test_a_store_that_lags_is_not_compared() -> None:
    rig, n1 = led_rig()
    answered(rig, n1, write("k"))
    rig.run(50)
    rig.hold("n1", "s3")
    for number in range(20):
        answered(rig, n1, write("k", b"%d" % number))
    rounds(rig, 1)
    rig.let("n1", "s3")
    rounds(rig, 3)
    assert diverged(n1) == []


def test_other_nodes_hear_of_it() -> None:
    rig, n1 = led_rig("n1", "n2")
    answered(rig, n1, write("k"))
    rig.run(50)
    corrupt(rig, "s2")
    n2 = rig.seats["n2"]
    rig.until(lambda: why(n2)["s2"] == "holds other data than its peers: a")
    answered(rig, n1, write("k", b"new"))
    rig.until(lambda: why(n2)["s2"] == "", ms_max=30_000)
    assert diverged(n2) == []
