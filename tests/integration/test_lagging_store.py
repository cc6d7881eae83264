"""A store that was away for more than its leader remembers is brought along while writes go on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from controlplane.bench.numbered_writes import NumberedWrites
from shards.log import CACHE_BYTES_MAX
from shards.trimming import HOLD
from tests.integration.fleet_on_test import asleep, wait_for
from tests.integration.small_fleet import PARTITION, SmallFleet, small_fleet

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("lagging-store")]

MIB = 1 << 20
VALUE = bytes(60_000)
NUMBERED_KEYS = 300
PAUSE_S = 0.01
CAUGHT_UP_S_MAX = 150.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallFleet]:
    with small_fleet(tmp_path_factory.mktemp("lagging")) as found:
        yield found


def name_of(number: int) -> str:
    return f"{{{PARTITION}}}/numbered-{number % NUMBERED_KEYS:03}"


def miss(fleet: SmallFleet, store: str, amount_bytes: int, prefix: str) -> int:
    """Write so much while a store is stopped; where the others' copies end by then."""
    names = (f"{prefix}-{number}" for number in count())
    with asleep(fleet.process(store)):
        wait_for(lambda: fleet.said_of_stores()[store][0] != "up", f"{store} is missed", 60)
        for _ in range(-(-amount_bytes // len(VALUE))):
            name = next(names)
            wait_for(lambda name=name: fleet.is_written(name, VALUE), "a write", 60)  # type: ignore[misc]
        others = [s for s in fleet.admins if s != store]
        return max(fleet.record(other)["ap"] for other in others)


@pytest.mark.parametrize(
    ("what", "amount_bytes"),
    [("entries", HOLD.bytes // 4), ("snapshot", 2 * CACHE_BYTES_MAX)],
    ids=["entries", "snapshot"],
)
def test_a_store_that_was_away_has_everything_again(
    fleet: SmallFleet, what: str, amount_bytes: int
) -> None:
    store = sorted(fleet.admins)[2]
    begun, before = fleet.copies_begun(), fleet.record(store)
    with NumberedWrites(fleet.url, name_of, PAUSE_S, answer_s_max=10.0) as writer:
        assert writer.wait_for_number(10, CAUGHT_UP_S_MAX), "writes do not even begin"
        missed = miss(fleet, store, amount_bytes, what)
        wait_for(
            lambda: fleet.record(store)["ap"] >= missed,
            f"{store} has what it missed",
            CAUGHT_UP_S_MAX,
        )
        going_on = len(writer.acks) + 10
        assert writer.wait_for_number(going_on, CAUGHT_UP_S_MAX), "writes have ended"
    assert fleet.copies_begun() > begun
    if what == "snapshot":
        after = fleet.record(store)
        assert after["sn"] > before["sn"], "nothing was staged"
        assert after["bs"] > before["ap"], "its log does not begin after what it missed"
    wait_for(
        lambda: len({tuple(fleet.contents(s).items()) for s in fleet.admins}) == 1,
        "all stores hold the same",
        CAUGHT_UP_S_MAX,
    )
    last = writer.acks[-1].number
    assert fleet.get(name_of(last).rsplit("/", 1)[1]) == str(last).encode()
    wait_for(lambda: fleet.staged(store) == [], "what was staged is gone")
    assert fleet.none_has_died()
