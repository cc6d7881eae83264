"""Renewing is not serving: a leader whose front door is silent loses its shards, if it is he."""

import pytest

from tests.node.rig import Rig


def led_rig(*nodes: str) -> Rig:
    rig = Rig(nodes)
    rig.until(lambda: rig.seats["n1"].serves("a"))
    rig.run(rig.ttl_ms)
    rig.step_ms = 20
    return rig


def test_a_leader_that_does_not_answer_its_peers_is_replaced() -> None:
    rig = led_rig("n1", "n2")
    rig.deaf.add("n1")
    deaf_ms = rig.now_ms
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=15_000)
    assert rig.now_ms - deaf_ms >= 3_000  # several probes, over more than a lease
    assert "probe-failed" in [event.kind for event in rig.seats["n2"].happened]
    assert "evicted" in rig.seats["n1"].kinds("a")


def test_one_probe_that_fails_now_and_then_is_nothing() -> None:
    rig = led_rig("n1", "n2")
    for _ in range(10):
        rig.deaf.add("n1")
        rig.run(2_000)
        rig.deaf.clear()
        rig.run(1_100)
    assert rig.seats["n1"].kinds("a") == ["elected"]


def test_who_hears_from_nobody_accuses_nobody() -> None:
    """With three nodes: n3's probes all fail, those of n2 do not. It is n3 that is cut off."""
    rig = Rig(("n1", "n2", "n3"), shards=("a", "b"))
    rig.until(lambda: rig.seats["n1"].serves("a"))
    n3 = rig.seats["n3"]
    for _ in range(10):
        rig.now_ms += 1_000
        for node in ("n1", "n2"):
            n3.node.probing.probed(node, "a", False, rig.now_ms)
    rig.run(50)
    assert not n3.node.probing._records["n1"].served_ms
    assert "probe-failed" not in [event.kind for event in n3.happened]


def test_a_node_without_a_session_is_not_accused() -> None:
    rig = led_rig("n1", "n2")
    n2 = rig.seats["n2"]
    for _ in range(10):
        rig.now_ms += 1_000
        n2.node.probing.probed("n9", "a", False, rig.now_ms)
    rig.run(50)
    assert rig.seats["n1"].serves("a")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_who_was_answered_by_others_before_the_silence_alone_accuses_nobody(
    meanwhile: bool,
) -> None:
    """Of peers asked in turn one may be asked more often than the others, by who is cut off."""
    rig = Rig(("n1", "n2", "n3"), shards=("a", "b"))
    rig.until(lambda: rig.seats["n1"].serves("a"))
    n3 = rig.seats["n3"]
    rig.deaf.add("n1")
    n3.node.probing.probed("n2", "b", True, rig.now_ms)
    for number in range(5):
        rig.run(rig.ttl_ms // 3)
        n3.node.probing.probed("n1", "a", False, rig.now_ms)
        if meanwhile and number == 1:
            n3.node.probing.probed("n2", "b", True, rig.now_ms)
    rig.run(50)
    assert ("probe-failed" in [event.kind for event in n3.happened]) is meanwhile
