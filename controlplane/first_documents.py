"""The region documents of a fleet that has not edited any: its topology, in their form.

All nodes of a fleet make the same ones of the same topology. They are version 0, and hold until the
first edit of each.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from config.builtin import builtin_content
from config.document import Kind, canonical, region_name
from config.revision import Revision
from regions.topology import Region, Topology


def first_documents(topology: Topology) -> tuple[Revision, ...]:
    """A document for each region of the topology."""
    return tuple(
        Revision(region_name(region.name), 0, canonical(_content(topology, region)))
        for region in topology.regions
    )


def _content(topology: Topology, region: Region) -> dict[str, Any]:
    prices = dict(topology.egress_usd_per_gb.get(region.name, {}))
    usual = Counter(prices.values()).most_common(1)
    return {
        "location": region.location,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "zones": list(region.zones),
        "stores": [
            {"id": store.id, "zone": store.zone} for store in topology.stores_in(region.name)
        ],
        "egress_usd_per_gb": prices,
        # Where the topology gives no price, traffic counts as free.
        "egress_elsewhere_usd_per_gb": usual[0][0] if usual else 0.0,
        **builtin_content(Kind.REGION),
    }
