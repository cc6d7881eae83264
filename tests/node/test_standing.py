"""Candidates: who stands, when, and who waits for whom."""

from collections import Counter, deque

import pytest

from controlplane.node import standing, upkeep
from controlplane.node.group import Group
from controlplane.node.standing import StandingDesk
from controlplane.node.upkeep import Upkeep
from controlplane.requests import Problem, Read, Refused, Transfer
from regions.codec import pack
from shards.leadership import State
from tests.node.rig import Rig, Seat


def place(rig: Rig, *regions: str, pin: str = "", revision: int = 2, shard: str = "a") -> None:
    for store in rig.stores:
        rig.do(store, "place", shard, revision, pack([list(regions), pin]))


def leaders(rig: Rig, shard: str = "a") -> list[str]:
    return [name for name, seat in rig.seats.items() if seat.serves(shard)]


def led_rig(*nodes: str) -> tuple[Rig, Seat]:
    rig = Rig(nodes or ("n1", "n2", "n3"))
    seat = rig.seats["n1"]
    rig.until(lambda: seat.serves("a"))
    rig.run(rig.ttl_ms)
    return rig, seat


def test_the_one_that_is_preferred_leads_when_all_start_together() -> None:
    for pinned in ("n1", "n2", "n3"):
        rig = Rig(("n1", "n2", "n3"))
        place(rig, "eu", pin=pinned)
        rig.until(lambda rig=rig: leaders(rig) != [])  # type: ignore[misc]
        assert leaders(rig) == [pinned]
        assert rig.grant("s1")[0] == 1  # in its first election


def test_all_nodes_agree_on_an_order_which_differs_from_shard_to_shard() -> None:
    shards = tuple(f"s{number}" for number in range(12))
    rig = Rig(("n1", "n2", "n3"), shards=shards)
    for shard in shards:
        place(rig, "eu", shard=shard)
    rig.run(rig.ttl_ms)
    orders = [
        [tuple(seat.node.standing["g"].order(seat.group.sighted(shard))) for shard in shards]
        for seat in rig.seats.values()
    ]
    assert orders[0] == orders[1] == orders[2]
    assert len({order[0] for order in orders[0]}) == 3


def test_a_crashed_leader_is_succeeded_after_the_wait_and_a_few_round_trips() -> None:
    rig, _ = led_rig()
    del rig.seats["n1"]
    died_ms = rig.now_ms
    rig.until(lambda: leaders(rig) != [])
    took_ms = rig.now_ms - died_ms
    assert rig.ttl_ms * 8 // 10 < took_ms < rig.ttl_ms * 13 // 10


def test_while_a_leader_renews_nobody_disturbs_it() -> None:
    rig, n1 = led_rig()
    rig.run(10 * rig.ttl_ms)
    assert n1.kinds("a") == ["elected"]
    assert {rig.grant(store)[0] for store in rig.stores} == {1}


def test_while_renewals_come_late_nothing_is_begun_that_can_wait() -> None:
    rig, n1 = led_rig("n1")
    assert n1.group.room > 0
    rig.mute("n1", *rig.stores)
    lanes = n1.node.lanes.values()
    rig.until(lambda: n1.group.is_short and all(lane.is_up for lane in lanes))
    assert n1.group.room == 0
    assert n1.serves("a")
    rig.until(lambda: not n1.serves("a"))
    assert n1.group.is_short  # what is gone altogether came too late as well
    rig.let("n1", *rig.stores)
    rig.run(rig.ttl_ms // 2)
    assert n1.group.room > 0


def test_of_many_open_shards_some_are_looked_at_in_a_turn_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: Counter[tuple[StandingDesk, int]] = Counter()
    consider = StandingDesk._consider

    def counted(desk: StandingDesk, shard: str, now_ms: int) -> bool:
        looks[desk, now_ms] += 1
        return consider(desk, shard, now_ms)

    monkeypatch.setattr(StandingDesk, "_consider", counted)
    monkeypatch.setattr(standing, "LOOKED_AT_MAX", 3)
    shards = tuple(f"s{number}" for number in range(40))
    rig = Rig(("n1", "n2", "n3"), shards=shards)
    rig.until(lambda: all(leaders(rig, shard) for shard in shards))
    assert max(looks.values()) == 3
    del rig.seats["n1"]
    rig.until(lambda: all(leaders(rig, shard) for shard in shards))
    assert max(looks.values()) == 3


def test_what_was_taken_since_it_was_listed_is_not_stood_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, _ = led_rig("n1", "n2")
    desk = rig.seats["n2"].node.standing["g"]
    monkeypatch.setattr(desk, "_unseen", deque("a"))
    monkeypatch.setattr(desk, "_next_list_ms", rig.now_ms + rig.ttl_ms)
    desk.hurry(rig.now_ms)
    rig.run(100)
    assert not desk._unseen
    assert "a" not in desk._attempts


def test_the_more_leaderships_something_may_have_befallen_the_rarer_they_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heeded: list[int] = []
    heed_all = Upkeep._heed_all

    def noted(duties: Upkeep, group: Group, now_ms: int) -> None:
        heeded.append(now_ms)
        heed_all(duties, group, now_ms)

    monkeypatch.setattr(Upkeep, "_heed_all", noted)
    monkeypatch.setattr(upkeep, "HEEDED_PER_MS", 1)
    shards = tuple(f"s{number}" for number in range(100))
    rig = Rig(("n1",), shards=shards)
    rig.until(lambda: all(leaders(rig, shard) for shard in shards))
    rig.run(rig.ttl_ms)
    group = rig.seats["n1"].group
    heeded.clear()
    group.open_session()  # as when a store has declared the one before dead
    group.shaky.update(group.led)
    rig.until(lambda: not group.shaky, 10 * rig.ttl_ms)
    assert all(leaders(rig, shard) for shard in shards)
    rig.run(rig.ttl_ms)
    assert heeded[1] - heeded[0] >= len(shards)


def test_a_candidate_that_reaches_no_majority_asks_nobody() -> None:
    rig, _ = led_rig("n1", "n2")
    rig.disconnect("n2", "s1")
    rig.disconnect("n2", "s2")
    del rig.seats["n1"]
    asked: list[str] = []
    rig.on_call = lambda _store, commands: asked.extend(c[0] for c in commands)
    rig.run(5 * rig.ttl_ms)
    assert asked
    assert "prepare" not in asked
    assert leaders(rig) == []


def test_the_next_in_order_goes_on_when_the_first_is_there_and_cannot() -> None:
    rig, _ = led_rig()
    place(rig, "eu", pin="n2", revision=3)
    rig.run(300)
    for store in ("s1", "s2"):
        rig.hold("n2", store)
    del rig.seats["n1"]
    rig.until(lambda: leaders(rig) != [], ms_max=4 * rig.ttl_ms)
    assert leaders(rig) == ["n3"]


def test_a_lost_election_is_followed_by_patience() -> None:
    rig, n1 = led_rig("n1")
    n1.led("a").end("resigned", rig.now_ms)
    rig.step_until(n1, lambda: "a" in n1.group.led)
    rig.hold("n1", *rig.stores)
    desk = n1.node.standing["g"]
    backoffs = []
    for _ in range(4):
        rig.until(lambda: "a" not in n1.group.led)
        backoffs.append(desk._attempts["a"].backoff_ms - rig.now_ms)
        desk.lost("a", rig.now_ms)
        backoffs.append(desk._attempts["a"].backoff_ms - rig.now_ms)
        rig.settle()
    assert backoffs[-1] > backoffs[0]
    assert max(backoffs) <= rig.ttl_ms // 2


def test_who_was_evicted_lets_others_go_first() -> None:
    rig, n1 = led_rig("n1")
    n1.group.watch.heard(0, 0)
    n1.node.upkeep.revoked(n1.group, "a", 1, rig.now_ms)
    evicted_ms = rig.now_ms
    rig.until(lambda: n1.serves("a"), ms_max=4 * rig.ttl_ms)
    assert rig.now_ms - evicted_ms >= 2 * rig.ttl_ms


def test_a_revocation_of_another_epoch_is_none() -> None:
    rig, n1 = led_rig("n1")
    n1.node.upkeep.revoked(n1.group, "a", 7, rig.now_ms)
    n1.node.upkeep.revoked(n1.group, "b", 1, rig.now_ms)
    assert n1.serves("a")


def test_what_was_handed_here_and_taken_back_is_not_waited_for_for_ever() -> None:
    rig, n1 = led_rig("n1", "n2")
    n2 = rig.seats["n2"]
    for store in rig.stores:
        rig.hold("n2", store)
    n1.ask(Transfer("a", "n2"))
    rig.run(10)
    assert "a" in n2.node.standing["g"].special
    rig.until(lambda: n1.serves("a"), ms_max=2 * rig.ttl_ms)
    for store in rig.stores:
        rig.disconnect("n2", store)
        rig.connect("n2", store)
    rig.let("n2", *rig.stores)
    rig.run(10 * rig.ttl_ms)
    assert n1.serves("a") or n2.serves("a")
    assert "a" not in n2.node.standing["g"].special
    assert "stuck" not in n2.kinds("a")


def test_no_shard_is_led_before_it_is_known_where() -> None:
    rig = Rig(("n1",), shards=())
    n1 = rig.seats["n1"]
    rig.run(2 * rig.ttl_ms)
    n1.group.sighted("b")
    rig.run(2 * rig.ttl_ms)
    assert "b" not in n1.group.led
    assert n1.node.standing["g"].why["b"] == "its placement is not known yet"
    place(rig, "eu", shard="b")
    rig.until(lambda: n1.serves("b"))


@pytest.mark.parametrize("stores", [1, 2])
def test_one_store_of_three_may_be_down_at_the_start(stores: int) -> None:
    rig = Rig(("n1",))
    for store in ("s1", "s2")[:stores]:
        rig.disconnect("n1", store)
    rig.run(5 * rig.ttl_ms)
    assert rig.seats["n1"].serves("a") == (stores == 1)


def test_two_that_stand_at_once_end_with_one_that_leads() -> None:
    rig = Rig(("n1", "n2"))
    n1, n2 = rig.seats["n1"], rig.seats["n2"]
    rig.hold("n1", "s2", "s3")
    rig.hold("n2", "s1", "s3")
    rig.let("n1", "s2", "s3")
    rig.let("n2", "s1", "s3")
    for seat in (n1, n2):
        rig.step_until(seat, lambda seat=seat: seat.group.until_ms() is not None)  # type: ignore[misc]
    rig.run(6 * rig.ttl_ms)
    assert len(leaders(rig)) == 1
    (leader,) = leaders(rig)
    assert rig.seats[leader].led("a").state is State.LEADING
    other = rig.seats["n2" if leader == "n1" else "n1"]
    number = other.ask(Read("a", ("k",)))
    rig.run(10)
    refused = other.answers[number]
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_LEADER


def test_an_idle_leader_keeps_no_entry_that_every_store_has() -> None:
    rig, seat = led_rig("n1")
    seat.put("a", "key")
    rig.run(rig.ttl_ms)
    log = seat.led("a").log
    assert log is not None
    assert log.commit == log.last.sequence == log.floor.sequence
    assert log.last.blob == b""


def test_who_stands_for_nothing_in_a_group_sleeps_on_when_a_shard_opens_there() -> None:
    rig = Rig(("n1", "n2"), onlookers=("n2",))
    leader, onlooker = rig.seats["n1"], rig.seats["n2"]
    rig.until(lambda: leader.serves("a"))
    rig.run(rig.ttl_ms)
    epoch, holder, _ = rig.grant("s1")
    leader.asleep = True
    for store in rig.stores:
        rig.do(store, "release", "a", str(epoch), holder)
    rig.run(rig.ttl_ms)
    assert onlooker.group.sighted("a").holder() == ""
    for _ in range(50):
        rig.run(rig.step_ms)
        assert onlooker.node.deadline_ms > rig.now_ms
