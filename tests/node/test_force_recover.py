"""A group that has lost most of its stores: reported, and brought back by an operator's act."""

from __future__ import annotations

from controlplane.node_plan import ShardSeed
from controlplane.requests import ForceRecover, Found, Problem, Refused, StoresForced, Written
from regions.forcing import AHEAD, EPOCHS_PER_VERSION
from tests.node.rig import Rig

SEEDS = (ShardSeed("a", "global", 0, 16_384, ("eu",)),)


def led_rig(**how: object) -> Rig:
    """Stores of a group whose first node leads shard "a" and has written x."""
    rig = Rig(nodes=("n1", "n2"), **how)  # type: ignore[arg-type]
    rig.until(lambda: rig.seats["n1"].serves("a"))
    number = rig.seats["n1"].put("a", "x", b"1")
    rig.run(200)
    assert isinstance(rig.seats["n1"].answers[number], Written)
    return rig


def lost_rig(*forgetful: str, **how: object) -> Rig:
    """The same, after these stores forgot and all nodes know."""
    rig = led_rig(**how)
    for store in forgetful:
        rig.forget(store)
    rig.run(2_000)
    return rig


def order(
    rig: Rig, group: str = "g", *, begin: bool = True, accept: bool = True
) -> StoresForced | Refused:
    force = ForceRecover(group, accept_loss=accept, principal="ada", reason="fire")
    return rig.seats["n1"].node.force_recover(force, rig.now_ms, begin=begin)


def leads(rig: Rig, shard: str) -> bool:
    return any(seat.serves(shard) for seat in rig.seats.values())


def versions(rig: Rig) -> set[int]:
    return {seat.group.version for seat in rig.seats.values()}


def until_forced(rig: Rig) -> int:
    """Run until every node uses a version that was forced; gives it."""
    rig.until(lambda: min(versions(rig)) > AHEAD)
    (version,) = versions(rig)
    return version


def value_of(rig: Rig, key: str) -> list[bytes]:
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    asked = leader.get("a", key)
    rig.run(300)
    found = leader.answers[asked]
    assert isinstance(found, Found)
    return [value.data for value in found.values if value]


def kinds(rig: Rig, node: str = "n1") -> list[str]:
    return [event.kind for event in rig.seats[node].happened]


def test_what_the_last_of_three_stores_held_is_kept_and_writes_go_on() -> None:
    rig = lost_rig("s2", "s3")
    assert versions(rig) == {1}
    wanted = order(rig)
    assert isinstance(wanted, StoresForced)
    assert (wanted.left, wanted.emptied, wanted.silent) == (("s1",), ("s2", "s3"), ())
    assert (wanted.dumps, wanted.dumps_needed, wanted.begun) == (1, 2, True)
    version = until_forced(rig)
    rig.until(lambda: leads(rig, "a"))
    assert value_of(rig, "x") == [b"1"]
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    number = leader.put("a", "y", b"2")
    rig.run(300)
    written = leader.answers[number]
    assert isinstance(written, Written)
    assert written.epoch > version * EPOCHS_PER_VERSION
    assert {rig.log(store).cm for store in ("s1", "s2", "s3")} == {rig.log("s1").cm}


def test_it_is_reported_once_that_a_group_is_lost_and_shown_until_it_is_not() -> None:
    rig = lost_rig("s2", "s3")
    rig.run(5_000)
    assert kinds(rig).count("group-lost") == 1
    (group,) = rig.seats["n2"].node.fleet(rig.now_ms).groups
    assert (group.lost, group.forced) == (("s2", "s3"), None)
    order(rig)
    version = until_forced(rig)
    (group,) = rig.seats["n2"].node.fleet(rig.now_ms).groups
    assert group.lost == ()
    assert group.forced is not None
    assert (group.forced.of, group.forced.by, group.forced.why) == (1, "ada", "fire")
    assert (group.forced.without, group.version) == (("s2", "s3"), version)
    for node in rig.seats:
        assert kinds(rig, node).count("group-forced") == 1
    assert kinds(rig).count("force-recover") == 1


def test_one_that_forgot_of_three_is_no_loss() -> None:
    rig = lost_rig("s3")
    assert "group-lost" not in kinds(rig)


def test_without_acceptance_it_is_refused_with_what_would_be_lost() -> None:
    rig = lost_rig("s2", "s3")
    refused = order(rig, accept=False)
    assert isinstance(refused, Refused)
    assert refused.problem is Problem.NOT_CHANGED
    assert refused.detail == (
        "only with accept_loss. 1 of the 2 dumps that would tell all. Kept is what is left at s1; "
        "lost is what others alone acknowledged. Admitted anew, without data: s2, s3."
    )
    rig.run(10_000)
    assert versions(rig) == {1}


def test_a_dry_run_says_the_same_and_does_nothing() -> None:
    rig = lost_rig("s2", "s3")
    told = order(rig, begin=False, accept=False)
    assert isinstance(told, StoresForced)
    assert (told.begun, told.dumps, told.voters) == (False, 1, ("s1", "s2", "s3"))
    rig.run(10_000)
    assert versions(rig) == {1}


def test_while_a_majority_answers_nothing_is_forced() -> None:
    rig = led_rig()
    assert order(rig) == Refused(
        Problem.NOT_CHANGED, "g is not lost: s1, s2, s3 answer, 2 are needed"
    )
    rig = led_rig()
    for node in rig.seats:
        rig.disconnect(node, "s3")
    assert isinstance(order(rig), Refused)


def test_where_no_store_answers_nobody_would_vote() -> None:
    rig = led_rig()
    for node in rig.seats:
        for store in rig.stores:
            rig.disconnect(node, store)
    rig.run(100)
    refused = order(rig)
    assert isinstance(refused, Refused)
    assert "nobody would vote" in refused.detail


def test_a_group_of_which_all_is_lost_begins_empty_and_says_so() -> None:
    rig = Rig(("n1", "n2"), shards=(), group="global", seeds=SEEDS)
    rig.until(lambda: leads(rig, "a") and leads(rig, "system"))
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    leader.put("a", "x", b"1")
    rig.run(200)
    for store in rig.stores:
        rig.forget(store)
    rig.run(2_000)
    wanted = order(rig, "global")
    assert isinstance(wanted, StoresForced)
    assert wanted.lost.startswith("Nothing is left: global begins empty, and all that it held")
    version = until_forced(rig)
    rig.until(lambda: leads(rig, "a") and leads(rig, "system"))
    epochs = [e for s in rig.seats.values() for _, e, _ in s.node.lease_claims(rig.now_ms)]
    assert min(epochs) > version * EPOCHS_PER_VERSION
    assert value_of(rig, "x") == []
    rig.until(lambda: all("a" in seat.node.directory.rows for seat in rig.seats.values()))


def test_a_store_that_is_silent_is_left_out_and_sealed_when_it_comes_back() -> None:
    rig = led_rig()
    rig.forget("s3")
    for node in rig.seats:
        rig.disconnect(node, "s2")
    rig.run(2_000)
    wanted = order(rig)
    assert isinstance(wanted, StoresForced)
    assert (wanted.voters, wanted.silent) == (("s1", "s3"), ("s2",))
    assert "Left out, since nothing answers there: s2; whatever is there is lost too" in wanted.lost
    version = until_forced(rig)
    assert rig.stores["s2"].state.groups["g"].state == "open"
    for node in rig.seats:
        rig.connect(node, "s2")
    rig.until(lambda: rig.stores["s2"].state.groups["g"].state == "sealed")
    assert rig.stores["s2"].state.groups["g"].to == version


def test_what_is_no_longer_as_it_was_told_comes_to_nothing_and_is_shown() -> None:
    rig = led_rig()
    for node in rig.seats:
        rig.disconnect(node, "s2")
        rig.disconnect(node, "s3")
    rig.run(500)
    assert isinstance(order(rig), StoresForced)
    for node in rig.seats:
        rig.connect(node, "s3")
    rig.run(300)
    assert versions(rig) == {1}
    assert "force-recover-refused" in kinds(rig)
    view = rig.seats["n1"].node.changes.view("g")
    assert view is not None
    assert view.state == "given up"
    assert "s3 answers again" in view.why


def test_a_group_that_was_forced_changes_and_is_readmitted_like_any_other() -> None:
    rig = lost_rig("s2", "s3")
    order(rig)
    version = until_forced(rig)
    rig.until(lambda: leads(rig, "a"))
    rig.forget("s1")
    rig.until(lambda: versions(rig) == {version + 1})
    rig.until(lambda: leads(rig, "a"))
    assert value_of(rig, "x") == [b"1"]
    leader = next(seat for seat in rig.seats.values() if seat.serves("a"))
    assert leader.group.plan.floor == version * EPOCHS_PER_VERSION
    assert leader.group.plan.forced is None
