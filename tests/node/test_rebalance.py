"""Leaders moved on purpose: to the preferred node, away from one that goes, and not in vain."""

from types import SimpleNamespace
from typing import cast

from controlplane.machine import Drained, Draining
from controlplane.node.group import Group
from controlplane.node.node import Node
from controlplane.node.rebalance import LOOK_MAX, Rebalance
from controlplane.node.trust import STABLE_MS
from controlplane.requests import Transfer
from regions.codec import pack
from shards.leadership import State
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str, ttl_ms: int = 1_000) -> tuple[Rig, Seat]:
    """A fleet whose first node, the preferred one, leads shard `a`."""
    rig = Rig(nodes or ("n1", "n2"), ttl_ms=ttl_ms)
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a"))
    rig.run(ttl_ms)
    rig.step_ms = 50
    return rig, seat


def prefer(rig: Rig, node: str, revision: int) -> None:
    for store in rig.stores:
        assert rig.do(store, "place", "a", revision, pack([["eu"], node])) == ["OK"]


def test_a_shard_goes_to_the_node_that_is_preferred_once_that_is_trusted() -> None:
    rig, n1 = led_rig()
    prefer(rig, "n2", 2)
    rig.run(STABLE_MS - 4_000)
    assert n1.serves("a")
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=6_000)
    rig.run(2 * STABLE_MS)
    assert rig.seats["n2"].serves("a")
    assert rig.grant("s1")[0] == 2  # and there it stays


def test_what_a_person_moved_is_left_where_it_is() -> None:
    rig, n1 = led_rig()
    n1.ask(Transfer("a", "n2"))
    rig.run(3 * STABLE_MS)
    assert rig.seats["n2"].serves("a")
    assert rig.grant("s1")[0] == 2


def test_a_node_that_does_not_come_for_what_it_is_handed_is_left_alone() -> None:
    """It renews its session and stands for nothing: to everybody else it looks well."""
    rig, n1 = led_rig(ttl_ms=2_000)
    rig.seats["n2"].node.draining = True  # and has told nobody
    prefer(rig, "n2", 2)
    served = 0
    for _ in range(600):
        rig.run(100)
        served += n1.serves("a")
    assert n1.led("a").epoch <= 4
    assert served > 570
    rig.seats["n2"].node.draining = False
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=120_000)


def test_a_node_that_goes_hands_over_all_it_leads_and_says_when_it_is_done() -> None:
    rig = Rig(("n1", "n2"), shards=("a", "b", "c"))
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: all(n1.serves(shard) for shard in "abc"))
    rig.run(rig.ttl_ms)
    n1.inbox.append(Draining())
    rig.run(rig.ttl_ms // 2)
    assert [type(effect) for effect in n1.effects].count(Drained) == 1
    assert not n1.group.led
    assert all(n2.serves(shard) for shard in "abc")
    rig.step_ms = 50
    rig.run(2 * STABLE_MS)
    assert all(n2.serves(shard) for shard in "abc")  # nobody gives them back


def test_a_node_that_goes_and_finds_nobody_gives_up_what_it_leads() -> None:
    rig, n1 = led_rig("n1")
    n1.inbox.append(Draining())
    rig.run(100)
    assert any(isinstance(effect, Drained) for effect in n1.effects)
    assert {rig.grant(store)[2] for store in rig.stores} == {"free"}
    rig.run(3 * rig.ttl_ms)
    assert not n1.group.led


def test_a_node_that_goes_does_not_wait_for_ever_for_one_that_does_not_come() -> None:
    rig, n1 = led_rig()
    rig.seats["n2"].node.draining = True  # and has told nobody
    n1.inbox.append(Draining())
    rig.until(lambda: any(isinstance(e, Drained) for e in n1.effects), ms_max=2 * rig.ttl_ms)
    assert {rig.grant(store)[2] for store in rig.stores} == {"free"}


def test_a_node_has_not_gone_before_the_stores_have_heard_of_it() -> None:
    rig, n1 = led_rig("n1")
    rig.hold("n1", "s3")
    n1.inbox.append(Draining())
    rig.run(100)
    assert not any(isinstance(effect, Drained) for effect in n1.effects)
    rig.let("n1", "s3")
    rig.run(30)
    assert any(isinstance(effect, Drained) for effect in n1.effects)


def test_one_that_goes_is_given_nothing() -> None:
    rig, n1 = led_rig("n1", "n2", "n3")
    rig.seats["n2"].inbox.append(Draining())
    rig.run(50)
    prefer(rig, "n2", 2)
    rig.run(2 * STABLE_MS)
    assert not rig.seats["n2"].serves("a")
    assert n1.serves("a") or rig.seats["n3"].serves("a")


def test_of_very_many_shards_the_last_goes_home_as_well_though_there_are_other_groups() -> None:
    """Each group is gone through from where its own look ended."""
    names = tuple(f"a{number:03}" for number in range(LOOK_MAX + 40))
    looked: list[str] = []
    seat = SimpleNamespace(
        transfers=SimpleNamespace(under_way=0),
        homecoming=SimpleNamespace(with_leave=lambda _: []),
    )
    rebalance = Rebalance(cast("Node", seat))
    leads = {name: SimpleNamespace(state=State.LEADING, sighted=name) for name in names}
    many = cast("Group", SimpleNamespace(group="many", led=leads))
    none = cast("Group", SimpleNamespace(group="none", led={}))
    seat.standing = {"many": SimpleNamespace(order=lambda shard: looked.append(shard) or [])}
    seat.plan = SimpleNamespace(node="n1")
    for _ in range(2):
        for group in (many, none):
            rebalance._settle(group, 0)
    assert set(looked) == set(names)
