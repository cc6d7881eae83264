"""From where a store is to a lane that leads there.

The one place where the adapter, the function library and the ways around (a proxy, another address)
come together; everybody else is handed something that makes lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regions.conversation import MakeLane
from regions.redis_store import RedisStore
from regions.store import ByteCount, Lane, OnLost, StoreAddress, StoreIdentity
from regions.topology import address_of
from shards.scripts.library import leadplane_library


def lane_maker(
    store: StoreAddress,
    dial: Mapping[str, str],
    *,
    expected: StoreIdentity | None = None,
    may_be_empty: bool = False,
    byte_count: ByteCount | None = None,
) -> MakeLane:
    """Give what makes lanes to a store; `dial` says which address to go to instead of its own,
    `byte_count` counts their bytes."""
    address, library = _way_to(store, dial), leadplane_library()

    def make_lane(on_lost: OnLost) -> Lane:
        return RedisStore(
            address,
            on_lost,
            library,
            expected=expected,
            may_be_empty=may_be_empty,
            byte_count=byte_count,
        )

    return make_lane


def _way_to(store: StoreAddress, dial: Mapping[str, str]) -> StoreAddress:
    way = dial.get(address_of(store.host, store.port))
    if way is None:
        return store
    host, _, port = way.rpartition(":")
    return replace(store, host=host.strip("[]"), port=int(port))
