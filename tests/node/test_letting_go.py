"""What a node leaves behind when it stops leading: released everywhere, vouched for nowhere."""

from controlplane.machine import Call
from controlplane.requests import Evict, Evicted
from regions.codec import pack
from shards.leadership import State
from tests.node.rig import Rig, Seat


def led_rig(*nodes: str, **shape: int) -> tuple[Rig, Seat]:
    """A fleet whose first node leads shard `a`, holds it everywhere, and is vouched for."""
    rig = Rig(nodes or ("n1",), **shape)  # type: ignore[arg-type]
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a") and all(rig.is_fresh(store)[0] for store in rig.stores))
    rig.run(rig.ttl_ms)
    return rig, seat


def test_a_grant_at_a_store_that_nobody_reaches_does_not_keep_a_shard_from_being_led() -> None:
    rig, _ = led_rig("n1", "n2")
    for node in rig.seats:
        rig.disconnect(node, "s3")
    rig.seats["n2"].asleep = True  # so that nobody is there to whom the shard can be handed
    rig.run(rig.ttl_ms)
    number = rig.seats["n1"].ask(Evict("a"))
    rig.run(50)
    assert isinstance(rig.seats["n1"].answers[number], Evicted)
    assert rig.grant("s1")[2] == "free"
    rig.seats["n2"].asleep = False
    rig.until(lambda: rig.seats["n2"].serves("a"), ms_max=3 * rig.ttl_ms)
    assert rig.grant("s3") == (1, "n1-1/1", "held")


def test_what_an_older_leadership_owes_does_not_spoil_the_freshness_of_a_later_one() -> None:
    rig, n1 = led_rig("n1")
    rig.disconnect("n1", "s3")
    rig.run(50)
    n1.ask(Evict("a"))
    rig.run(100)
    assert n1.group.letting_go.owes("a")
    rig.until(lambda: n1.serves("a"), ms_max=5 * rig.ttl_ms)
    rig.run(rig.ttl_ms)
    assert n1.group.letting_go.owes("a")
    for _ in range(100):
        rig.run(15)
        assert [rig.is_fresh(store)[0] for store in ("s1", "s2")] == [True, True]
    rig.connect("n1", "s3")
    rig.run(rig.ttl_ms)
    assert not n1.group.letting_go.owes("a")
    assert rig.grant("s3")[0] == n1.led("a").epoch
    assert rig.is_fresh("s3")[0]


def stand_again_and_lose(rig: Rig, n1: Seat) -> None:
    """While s3 is out of reach a rival is let in at s1; n1 stands again, and meets it once more."""
    first = n1.led("a").epoch
    rig.disconnect("n1", "s3")
    rig.run(rig.ttl_ms * 4 // 10)
    rig.do("s1", "register", "x-1/1", "x", "eu", "//x")
    rig.do("s1", "release", "a", str(first), n1.led("a").session.sid)
    for rival in (str(first + 1), str(first + 9)):
        assert rig.do("s1", "prepare", "a", rival, "x-1/1", ["free"])[0] == "OK"
        rig.do("s1", "release", "a", rival, "x-1/1")
        if rival == str(first + 1):
            n1.put("a", "k")
            rig.step_until(n1, lambda: n1.led("a").state is State.STANDING)
    rig.settle()
    assert "a" not in n1.group.led


def test_no_store_is_vouched_for_after_a_lost_second_election() -> None:
    rig, n1 = led_rig("n1", "n2")
    for store in rig.stores:
        rig.do(store, "place", "a", 2, pack([["eu"], "n2"]))
    rig.disconnect("n2", "s3")
    stand_again_and_lose(rig, n1)
    fresh, seen = rig.is_fresh("s3")
    assert fresh  # still marked by the epoch that is over
    n1.node.draining = True  # so that it leaves the shard to the other
    rig.connect("n1", "s3")
    while n1.group.letting_go.owes("a"):
        rig.run(5)
        assert not rig.is_fresh("s3")[0] or rig.is_fresh("s3")[1] == seen
    assert rig.grant("s3") == (1, "", "free")
    rig.until(lambda: rig.seats["n2"].serves("a"))


def test_a_debt_is_paid_under_the_session_that_made_it() -> None:
    rig, n1 = led_rig("n1")
    old = n1.group.session
    assert old is not None
    rig.disconnect("n1", "s3")
    rig.run(50)
    n1.led("a").end("resigned", rig.now_ms)
    n1.node.draining = True  # so that it does not stand again
    rig.do("s1", "bury", old.sid, rig.stores["s1"].state.groups["g"].sessions[old.sid].counter)
    rig.run(rig.ttl_ms)
    assert n1.group.session is not old
    rig.connect("n1", "s3")
    rig.run(rig.ttl_ms)
    assert rig.grant("s3") == (1, "", "free")
    assert not n1.group.letting_go.owes("a")


def test_a_grant_of_ours_that_was_forgotten_is_found_and_released() -> None:
    rig, n1 = led_rig("n1")
    n1.node.draining = True
    n1.led("a").end("resigned", rig.now_ms)
    rig.run(rig.ttl_ms)
    assert {rig.grant(store)[2] for store in rig.stores} == {"free"}
    session = n1.group.session
    assert session is not None
    assert rig.do("s2", "prepare", "a", "9", session.sid, ["free"])[0] == "OK"
    rig.run(rig.ttl_ms)
    assert rig.grant("s2") == (9, "", "free")


def test_an_epoch_is_never_asked_for_twice() -> None:
    rig, n1 = led_rig("n1")
    n1.led("a").end("resigned", rig.now_ms)
    for _ in range(6):  # elections whose questions are lost, and leave no trace in what is seen
        rig.step_until(n1, lambda: "a" in n1.group.led)
        for store in rig.stores:
            rig.disconnect("n1", store)
            rig.connect("n1", store)
    rig.until(lambda: n1.serves("a"))
    asked = [
        (effect.store, command[4])
        for effect in n1.effects
        if isinstance(effect, Call)
        for command in effect.commands
        if command[0] == "prepare"
    ]
    assert len(asked) > len(rig.stores) * 3
    assert len(asked) == len(set(asked))


def test_a_slow_store_is_asked_to_release_no_more_than_it_bears_and_once() -> None:
    rig, n1 = led_rig("n1")
    asked: list[str] = []
    rig.on_call = lambda store, commands: asked.extend(
        command[0] for command in commands if store == "s3" and command[0] == "release"
    )
    n1.node.draining = True  # so that it does not stand again
    n1.node.lanes["s3"].pace.allowance = -1_000
    n1.led("a").end("resigned", rig.now_ms)
    rig.run(rig.ttl_ms)
    assert asked == []
    n1.node.lanes["s3"].pace.allowance = 64
    rig.mute("n1", "s3")
    rig.run(rig.ttl_ms // 5)
    rig.run(5)
    assert n1.group.letting_go.owes("a")
    rig.let("n1", "s3")
    rig.run(rig.ttl_ms)
    assert asked == ["release"]
    assert not n1.group.letting_go.owes("a")
