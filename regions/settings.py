"""What an operator may tune about leases. The defaults are the ones every guarantee is tested with.

Machines do not read these models: whoever builds a machine hands it the numbers.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from regions.latency import TTL_FLOOR_MS


class LeaseSettings(BaseModel):
    """How far clocks are trusted, and how short a lease may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rho: float = Field(default=0.01, ge=0.0, lt=0.5, allow_inf_nan=False)
    """The rates of any two processes' clocks differ by at most this share (0.01 is 1 %)."""
    epsilon_ms: int = Field(default=5, ge=1, le=1_000)
    """What rounding and the reading of a clock may cost; taken off every lease and put on every
    wait."""
    ttl_floor_ms: int = Field(default=TTL_FLOOR_MS, ge=TTL_FLOOR_MS)
    """The shortest lease a group may ask for. It can be raised, never lowered."""
    region_ttl_ms: int = Field(default=2_000, ge=TTL_FLOOR_MS)
    """The lease of a group within one region, unless its document says otherwise."""
    global_ttl_ms: int = Field(default=6_000, ge=TTL_FLOOR_MS)
    """The lease of the group that spans the regions, unless its document says otherwise."""

    @model_validator(mode="after")
    def _leaves_something_to_hold(self) -> Self:
        held_ms = self.ttl_floor_ms * (1 - self.rho) - self.epsilon_ms
        if held_ms < self.ttl_floor_ms / 2:
            raise ValueError(
                f"rho {self.rho} and epsilon_ms {self.epsilon_ms} eat more than half of a lease of "
                f"ttl_floor_ms {self.ttl_floor_ms}"
            )
        return self
