"""What an operator may tune about leases. The defaults are the ones every guarantee is tested with.

How far clocks are trusted cannot be tuned: it stands in `regions.lease_times`, once for all.
Machines do not read these models: whoever builds a machine hands it the numbers.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from regions.latency import TTL_FLOOR_MS


class LeaseSettings(BaseModel):
    """How short a lease may be, and how long it is where a document does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ttl_floor_ms: int = Field(default=TTL_FLOOR_MS, ge=TTL_FLOOR_MS)
    """The shortest lease a group may ask for. It can be raised, never lowered."""
    region_ttl_ms: int = Field(default=2_000, ge=TTL_FLOOR_MS)
    """The lease of a group within one region, unless its document says otherwise."""
    global_ttl_ms: int = Field(default=6_000, ge=TTL_FLOOR_MS)
    """The lease of the group that spans the regions, unless its document says otherwise."""
