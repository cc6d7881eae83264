"""From a store of the topology to a lane that leads there.

The one place where the adapter, the function library and the ways around (a proxy, another address)
come together; everybody else is handed something that makes lanes.
"""

from __future__ import annotations

from collections.abc import Mapping

from regions.conversation import MakeLane
from regions.redis_store import RedisStore
from regions.store import Lane, OnLost, StoreAddress, StoreIdentity
from regions.topology import StoreSite
from shards.scripts.library import leadplane_library


def lane_maker(
    site: StoreSite,
    dial: Mapping[str, str],
    *,
    expected: StoreIdentity | None = None,
    may_be_empty: bool = False,
) -> MakeLane:
    """Give what makes lanes to a store; `dial` says which address to go to instead of its own."""
    address, library = _address(site, dial), leadplane_library()

    def make_lane(on_lost: OnLost) -> Lane:
        return RedisStore(address, on_lost, library, expected=expected, may_be_empty=may_be_empty)

    return make_lane


def _address(site: StoreSite, dial: Mapping[str, str]) -> StoreAddress:
    way = dial.get(site.address)
    if way is None:
        return StoreAddress(site.host, site.port, tls=site.tls)
    host, _, port = way.rpartition(":")
    return StoreAddress(host.strip("[]"), int(port), tls=site.tls)
