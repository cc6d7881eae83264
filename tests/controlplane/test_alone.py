"""What a region could do alone: by where quorums are, by which copies it has, and by what stops."""

from __future__ import annotations

from controlplane.alone import Alone, alone
from controlplane.views import FleetView, GroupView, StoreView

PLACES = ("eu-1", "eu-2", "eu-3", "us-1", "ap-1")


def store(name: str, state: str = "up") -> StoreView:
    return StoreView(name, name[:2], "a", (), state, "", 1, 1, 1)


def group(
    name: str, voters: tuple[str, ...], shards: int, ttl_ms: int = 2_000, stops: int = 0,
    followers: tuple[str, ...] = (), resting: dict[tuple[str, bool], int] | None = None,
) -> GroupView:  # fmt: skip
    quorum = len(voters) // 2 + 1
    return GroupView(
        name, voters, followers, quorum, 3, 1, ttl_ms, shards, shards,
        stops=stops, resting=resting or {},
    )  # fmt: skip


def fleet(*down: str) -> FleetView:
    groups = (
        group("region/eu", ("eu-1", "eu-2", "eu-3"), 5, followers=("us-1",), stops=1),
        group("global", ("eu-1", "us-1", "ap-1"), 8, ttl_ms=6_000, stops=3),
    )
    stores = tuple(store(name, "down" if name in down else "up") for name in PLACES)
    return FleetView("n", "eu", None, 1, 1, groups, stores, (), 13, 13, 0)


def test_a_region_with_a_quorum_goes_on_and_reads_what_it_has_a_copy_of() -> None:
    assert alone("eu", fleet()) == Alone(5, 5, 3, 0, 6_000, 12_000)
    assert alone("us", fleet()) == Alone(0, 9, 4, 0, 6_000, 12_000)
    assert alone("ap", fleet()) == Alone(0, 5, 3, 5, 6_000, 12_000)


def test_stores_that_are_down_do_not_count() -> None:
    assert alone("eu", fleet("eu-2", "eu-3")) == Alone(0, 9, 4, 0, 6_000, 12_000)
    assert alone("ap", fleet("ap-1")) == Alone(0, 0, 0, 13, None, None)


def test_copies_that_rest_are_not_read() -> None:
    voters, resting = ("eu-1", "eu-2", "eu-3"), {("us", True): 1, ("us", False): 2}
    one = group("region/eu", voters, 5, followers=("us-1",), stops=1, resting=resting)
    stores = tuple(store(name) for name in PLACES)
    found = FleetView("n", "eu", None, 1, 1, (one,), stores, (), 5, 5, 0)
    assert alone("us", found) == Alone(0, 2, 0, 3, 2_000, 4_000)
    assert alone("eu", found) == Alone(5, 0, 0, 0, None, None), "no voter rests"
