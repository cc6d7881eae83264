"""The documents of the regions in which nodes in memory stand."""

from __future__ import annotations

from config.builtin import builtin_content
from config.document import Kind, canonical, region_name
from config.revision import Revision


def region_revision(name: str) -> Revision:
    """The document of one of the two regions."""
    other = {"eu": "us", "us": "eu"}[name]
    content = {
        "location": name.upper(),
        "latitude": 1.5,
        "longitude": 2.5,
        "zones": ["a", "b"],
        "stores": [{"id": f"{name}-1", "zone": "a"}],
        "egress_usd_per_gb": {other: 0.02},
        "egress_elsewhere_usd_per_gb": 0.09,
        **builtin_content(Kind.REGION),
    }
    return Revision(region_name(name), 0, canonical(content))
