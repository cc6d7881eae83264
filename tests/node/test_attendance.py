"""How long shards had a valid leader, as every node judges it; renewals that were due and done."""

from __future__ import annotations

from controlplane.figures import GroupFigures
from controlplane.node.directory import MAP_PREFIX, MapRow
from controlplane.requests import Evict, Transfer
from tests.node.rig import Rig, Seat

TTL_MS = 1_000
SHARDS = ("a", "b", "c", "d")


def led_rig(*nodes: str, ttl_ms: int = TTL_MS, shards: tuple[str, ...] = SHARDS) -> Rig:
    rig = Rig(nodes or ("n1", "n2", "n3"), shards=shards, ttl_ms=ttl_ms)
    rig.until(lambda: all(is_led(rig, shard) for shard in shards))
    rig.run(3 * ttl_ms)
    return rig


def is_led(rig: Rig, shard: str) -> bool:
    return any(seat.serves(shard) for seat in rig.seats.values())


def figures(seat: Seat) -> GroupFigures:
    return seat.node.figures.now(seat.rig.now_ms).groups[0]


def test_with_leaders_all_time_is_valid_up_to_their_last_sign() -> None:
    rig = led_rig()
    seat = rig.seats["n2"]
    before = figures(seat)
    rig.run(10 * TTL_MS)
    after = figures(seat)
    assert after.leaderless_ms == before.leaderless_ms
    assert after.leaderless == 0
    went_ms = after.valid_ms - before.valid_ms
    assert abs(went_ms - 10 * TTL_MS * len(SHARDS)) < len(SHARDS) * TTL_MS // 2


def test_a_crash_counts_from_the_last_sign_of_the_dead_at_all_who_are_left() -> None:
    rig = led_rig()
    lost = [shard for shard in SHARDS if rig.seats["n1"].serves(shard)]
    assert lost
    before = {name: figures(seat) for name, seat in rig.seats.items()}
    del rig.seats["n1"]
    died_ms = rig.now_ms
    rig.until(lambda: all(is_led(rig, shard) for shard in lost))
    took_ms = rig.now_ms - died_ms
    rig.run(TTL_MS)
    for name in ("n2", "n3"):
        after = figures(rig.seats[name])
        without_ms = (after.leaderless_ms - before[name].leaderless_ms) / len(lost)
        assert abs(without_ms - took_ms) < TTL_MS // 3, name  # a renewal, and a poll
        assert after.leaderless == 0


def test_an_outage_that_goes_on_is_counted_while_it_does() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    seat = rig.seats["n1"]
    for node in rig.seats:
        rig.disconnect(node, "s1")
        rig.disconnect(node, "s2")
    rig.run(5 * TTL_MS)
    half = figures(seat)
    assert half.leaderless == 1
    rig.run(5 * TTL_MS)
    after = figures(seat)
    assert after.leaderless_ms - half.leaderless_ms == 5 * TTL_MS
    assert after.valid_ms == half.valid_ms
    assert after.leaderless_longest_ms == after.leaderless_ms
    assert seat.node.figures.now(rig.now_ms).longest_leaderless[0][0] == "a"


def test_counts_only_grow_and_add_up_to_the_time_there_was() -> None:
    rig = led_rig()
    seen = figures(rig.seats["n3"])
    began_ms = rig.now_ms
    all_before = seen.valid_ms + seen.leaderless_ms
    del rig.seats["n1"]
    for _ in range(100):
        rig.run(TTL_MS // 20)
        now = figures(rig.seats["n3"])
        assert now.valid_ms >= seen.valid_ms
        assert now.leaderless_ms >= seen.leaderless_ms
        seen = now
    went_ms = (seen.valid_ms + seen.leaderless_ms - all_before) / len(SHARDS)
    assert abs(went_ms - (rig.now_ms - began_ms)) < TTL_MS // 2


def test_a_node_that_was_paused_accuses_nobody() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    leader = next(name for name, seat in rig.seats.items() if seat.serves("a"))
    seat = next(seat for name, seat in rig.seats.items() if name != leader)
    before = figures(seat)
    seat.asleep = True
    rig.run(5 * TTL_MS)
    seat.asleep = False
    rig.run(2 * TTL_MS)
    assert figures(seat).leaderless_ms == before.leaderless_ms


def test_a_planned_handover_leaves_no_gap() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    other = next(name for name, seat in rig.seats.items() if seat is not leader)
    leader.ask(Transfer("a", other))
    rig.until(lambda: rig.seats[other].serves("a"))
    rig.run(2 * TTL_MS)
    assert figures(leader).leaderless_ms == 0


def test_every_round_of_renewals_is_done_though_a_store_is_down() -> None:
    rig = led_rig("n1", shards=("a",))
    seat = rig.seats["n1"]
    rig.disconnect("n1", "s3")
    before = figures(seat)
    rig.run(10 * TTL_MS)
    after = figures(seat)
    rounds = after.rounds - before.rounds
    assert 10 * 6 <= rounds <= 10 * 7  # six in a lease, with some jitter
    assert after.rounds_done - before.rounds_done == rounds
    assert after.lease_left_ms is not None
    assert TTL_MS // 2 < after.lease_left_ms < TTL_MS


def test_rounds_without_a_majority_and_rounds_left_out_are_missed() -> None:
    rig = led_rig("n1", shards=("a",))
    seat = rig.seats["n1"]
    rig.mute("n1", "s1", "s2")
    before = figures(seat)
    rig.run(TTL_MS // 2)
    after = figures(seat)
    assert after.rounds - before.rounds >= 2
    assert after.rounds_done - before.rounds_done <= 1  # the one that was under way
    rig.let("n1", "s1", "s2")
    rig.run(3 * TTL_MS)
    before = figures(seat)
    seat.asleep = True
    rig.run(4 * TTL_MS)
    seat.asleep = False
    rig.run(5)
    after = figures(seat)
    assert after.rounds - before.rounds >= 20
    assert after.rounds_done - before.rounds_done <= 2


def test_who_leads_next_tells_how_long_nobody_did() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    heir = next(seat for seat in rig.seats.values() if seat is not leader)
    del rig.seats[leader.plan.node]
    died_ms = rig.now_ms
    rig.until(lambda: heir.serves("a"))
    took_ms = rig.now_ms - died_ms
    elected = [event for event in heir.happened if event.kind == "elected"][-1]
    assert elected.detail["cause"] == "unplanned"
    assert elected.detail["before"] == leader.plan.node
    assert abs(elected.detail["unled_ms"] - took_ms) < TTL_MS // 3
    assert 0 <= elected.detail["reconciled_ms"] <= elected.detail["took_ms"] < TTL_MS
    assert heir.node.elections.ended["won"] >= 1


def test_a_first_election_and_a_planned_one_are_told_apart() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    other = next(seat for seat in rig.seats.values() if seat is not leader)
    first = next(event for event in leader.happened if event.kind == "elected")
    assert (first.detail["cause"], "unled_ms" in first.detail) == ("first", False)
    leader.ask(Transfer("a", other.plan.node))
    rig.until(lambda: other.serves("a"))
    given = [event for event in other.happened if event.kind == "elected"][-1]
    assert given.detail["cause"] == "planned"
    assert given.detail["unled_ms"] <= 50
    other.ask(Evict("a", "ada", "to see"))
    rig.until(lambda: leader.serves("a"))
    taken = [event for event in leader.happened if event.kind == "elected"][-1]
    assert taken.detail["cause"] == "planned"


def test_a_shard_that_does_not_come_to_rest_is_named() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    for _ in range(5):
        leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
        other = next(seat for seat in rig.seats.values() if seat is not leader)
        leader.ask(Transfer("a", other.plan.node))
        rig.until(lambda other=other: other.serves("a"))  # type: ignore[misc]
        rig.run(TTL_MS)
    for seat in rig.seats.values():
        found = seat.node.figures.now(rig.now_ms)
        assert (found.flapping, found.flapping_first) == (1, ("a",))
        assert seat.node.fleet(rig.now_ms).restless == ("a",)


def test_copies_are_seen_to_grow_old_when_their_leader_is_gone() -> None:
    rig = led_rig("n1", "n2", shards=("a",))
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    watcher = next(seat for seat in rig.seats.values() if seat is not leader)
    fresh_ms = watcher.node.figures.now(rig.now_ms).follower_lag_ms["eu", "eu"]
    assert fresh_ms < TTL_MS // 2
    del rig.seats[leader.plan.node]
    rig.run(TTL_MS * 8 // 10)
    old_ms = watcher.node.figures.now(rig.now_ms).follower_lag_ms["eu", "eu"]
    assert TTL_MS * 7 // 10 < old_ms < TTL_MS * 15 // 10


def test_a_store_that_breaks_its_promise_is_told_of() -> None:
    rig = led_rig("n1", shards=("a",))
    seat = rig.seats["n1"]
    sighted = seat.led("a").sighted
    sighted.saw(0, ["9", "0", "1", seat.led("a").session.sid, "held", "", 0], rig.now_ms)
    seat.put("a", "k")
    rig.run(50)
    told = [event for event in seat.happened if event.kind == "stale-accepted"]
    assert [event.detail["store"] for event in told][:1] == ["s1"]


def test_what_left_the_map_is_not_missed() -> None:
    rig = led_rig("n1", "n2", shards=("a", "b"))
    seat = rig.seats["n2"]
    directory = seat.node.directory
    row = MapRow("a", rig.group, 0, 1, ("eu",), 1)
    directory.rows["a"], directory.version = row, 1  # `b` went over into others
    for node in rig.seats:
        rig.disconnect(node, "s1")
        rig.disconnect(node, "s2")
    rig.run(5 * TTL_MS)
    assert figures(seat).leaderless == 1
    before = figures(seat)
    del directory.rows["a"]
    rig.run(2 * TTL_MS)
    after = figures(seat)
    assert after.leaderless == 0
    assert 0 < after.leaderless_ms - before.leaderless_ms <= 1_100  # until the next look
    rig.run(TTL_MS)
    assert figures(seat).leaderless_ms == after.leaderless_ms


def test_a_session_that_no_store_showed_yet_counts_from_its_first_grant() -> None:
    rig = led_rig()
    rig.run(20 * TTL_MS)
    seat = rig.seats["n3"]
    before = figures(seat)
    new = next(holder for holder in seat.group.by_holder if holder.startswith("n1"))
    rig.mute("n3", *rig.stores)  # grants are heard at once, sessions only with the next poll
    seat.group.took_ms[new] = rig.now_ms
    seat.node.attendance.of(seat.group).signs.pop(new)
    for sightings in seat.group.watch.sightings:
        sightings.pop(new)
    rig.run(TTL_MS // 5)
    assert figures(seat).leaderless_ms == before.leaderless_ms


def test_who_started_in_an_outage_and_heard_nothing_counts_nothing() -> None:
    rig = led_rig()
    seat = rig.start("n4", ("n1", "n2", "n3", "n4"))
    directory = seat.node.directory  # as read from stores of another group
    for number, shard in enumerate(SHARDS):
        row = MapRow(shard, rig.group, number, number + 1, ("eu",), number + 1)
        directory.put(MAP_PREFIX + shard, row.packed(), row.revision)
    directory.scanned()
    for store in rig.stores:
        rig.disconnect("n4", store)
    for _ in range(3):
        rig.run(5 * TTL_MS)
        heard = figures(seat)
        assert (heard.valid_ms, heard.leaderless_ms) == (0, 0)
    for store in rig.stores:
        rig.connect("n4", store)
    rig.run(10 * TTL_MS)
    went_ms = figures(seat).valid_ms
    assert 5 * TTL_MS * len(SHARDS) < went_ms <= 10 * TTL_MS * len(SHARDS)
