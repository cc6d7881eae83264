"""Places that are to lead nothing: heeded by every node by itself, until they may lead again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.node.drains import Drain, DrainState, Scope, Site, drained_nodes, read_drain
from controlplane.node.trust import STABLE_MS
from regions.codec import pack
from tests.node.rig import Rig, Seat

NODES = ("n1", "n2", "n3")
DRAIN = Drain(
    Scope.NODE, "n1", "", DrainState.DRAINING, "ada", "new kernel", 17, 90, 5, 3, is_whole=True
)


def led_rig(*shards: str) -> tuple[Rig, Seat]:
    """Three nodes that trust each other; the first leads everything."""
    rig = Rig(NODES, shards=shards or ("a",))
    seat = rig.seats["n1"]
    rig.until(lambda: all(seat.serves(shard) for shard in shards or ("a",)))
    rig.step_ms = 50
    rig.run(STABLE_MS + 2_000)
    return rig, seat


def tell(rig: Rig, drain: Drain, version: int) -> None:
    """Every node has it from the system shard."""
    for seat in rig.seats.values():
        seat.node.drains.put(drain.key, drain.packed(), version)


def leader(rig: Rig, shard: str) -> str | None:
    return next((name for name, seat in rig.seats.items() if seat.serves(shard)), None)


def test_a_drain_is_kept_as_it_is() -> None:
    zone = replace(DRAIN, scope=Scope.ZONE, name="eu-a", within="eu", ended_wall_ms=99)
    for drain in (DRAIN, zone, replace(DRAIN, scope=Scope.REGION, name="eu", cursor="s7")):
        assert read_drain(drain.key, drain.packed()) == drain


@pytest.mark.parametrize("value", [b"", pack(["draining"]), pack([1] * 10)])
def test_what_is_no_drain_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_drain(DRAIN.key, value)


def test_a_drain_covers_the_nodes_that_stand_there() -> None:
    sites = [Site("n1", "eu", "a"), Site("n2", "eu", "b"), Site("n3", "us", "a"), Site("n4", "us")]

    def covered(**place: str) -> set[str]:
        scope = Scope(place.pop("scope"))
        return set(drained_nodes([replace(DRAIN, scope=scope, **place)], sites))

    assert covered(scope="node", name="n2") == {"n2"}
    assert covered(scope="region", name="us") == {"n3", "n4"}
    assert covered(scope="zone", name="a", within="eu") == {"n1"}
    assert drained_nodes([replace(DRAIN, state=DrainState.OVER)], sites) == frozenset()


def test_only_what_is_released_is_handed_over() -> None:
    rig, n1 = led_rig("a", "b", "c")
    tell(rig, replace(DRAIN, is_whole=False, cursor="a"), 1)
    rig.run(5_000)
    assert leader(rig, "a") in ("n2", "n3")
    assert n1.serves("b")
    assert n1.serves("c")
    tell(rig, replace(DRAIN, is_whole=False, cursor="b"), 2)
    rig.run(5_000)
    assert leader(rig, "b") in ("n2", "n3")
    assert n1.serves("c")


def test_a_drained_place_is_given_nothing_though_it_is_preferred_until_it_may_lead_again() -> None:
    rig, n1 = led_rig()
    tell(rig, DRAIN, 1)
    rig.until(lambda: leader(rig, "a") in ("n2", "n3"))
    rig.run(3 * STABLE_MS)
    assert leader(rig, "a") in ("n2", "n3")
    tell(rig, replace(DRAIN, state=DrainState.OVER), 2)
    rig.until(lambda: n1.serves("a"))


def test_when_a_leader_dies_a_drained_node_leads_only_if_nobody_else_can() -> None:
    rig, _ = led_rig()
    tell(rig, DRAIN, 1)
    rig.until(lambda: leader(rig, "a") in ("n2", "n3"))
    rig.seats[str(leader(rig, "a"))].asleep = True
    rig.run(5_000)
    heir = leader(rig, "a")
    assert heir in ("n2", "n3")
    rig.seats[str(heir)].asleep = True
    rig.until(lambda: rig.seats["n1"].serves("a"))


def test_a_drained_node_waits_for_one_that_has_only_just_come() -> None:
    rig, _ = led_rig()
    tell(rig, DRAIN, 1)
    rig.until(lambda: leader(rig, "a") in ("n2", "n3"))
    dead = str(leader(rig, "a"))
    other = "n2" if dead == "n3" else "n3"
    rig.seats[dead].asleep = True
    rig.run(300)
    rig.start(other, NODES, life=2)
    tell(rig, DRAIN, 1)
    rig.until(lambda: leader(rig, "a") not in (None, dead))
    assert leader(rig, "a") == other
    assert rig.seats["n1"].kinds("a").count("elected") == 1, "only before it was drained"


def test_a_drained_node_waits_for_one_that_let_the_shard_go() -> None:
    rig, _ = led_rig()
    for name in ("n1", "n3"):
        tell(rig, replace(DRAIN, name=name), 1)
    rig.until(lambda: leader(rig, "a") == "n2")
    rig.run(rig.ttl_ms)
    rig.seats["n2"].led("a").end("resigned", rig.now_ms)
    rig.until(lambda: leader(rig, "a") is not None)
    assert leader(rig, "a") == "n2"


def test_a_node_whose_drain_nobody_could_take_over_from_keeps_serving() -> None:
    rig, n1 = led_rig()
    for name in ("n2", "n3"):
        tell(rig, replace(DRAIN, name=name), 1)
    tell(rig, DRAIN, 2)
    rig.run(3 * STABLE_MS)
    assert n1.serves("a")
    assert rig.grant("s1")[0] == 1, "and was not disturbed"


def test_an_older_word_of_a_drain_counts_for_nothing() -> None:
    rig, _ = led_rig()
    node = rig.seats["n1"].node
    tell(rig, replace(DRAIN, state=DrainState.OVER), 5)
    tell(rig, DRAIN, 4)
    assert not node.drains.avoids("n1", "eu")
    node.drains.put(DRAIN.key, b"from a newer release", 6)
    assert not node.drains.avoids("n1", "eu")
    rig.run(100)
    assert "drain-unreadable" in rig.seats["n1"].kinds("system")
