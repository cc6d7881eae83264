"""What a scenario is made of: a fleet, load on it, faults at their times, what must come of it.

Times are seconds from the moment at which the load begins. Models say what a document holds; how it
is read, and its errors told, is `scenario_file`'s business.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from controlplane.chaos.roles import Role

Seconds = Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    """How every part behaves: immutable, and strict about fields and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FleetShape(_Part):
    """The fleet to break. Stores and nodes are counted for each region."""

    regions: int = Field(default=1, ge=1, le=3)
    stores: int = Field(default=3, ge=1, le=5)
    nodes: int = Field(default=3, ge=1, le=5)
    shards: int = Field(default=4, ge=1, le=64)
    survival: Literal["mixed", "region", "zone"] = "zone"
    ttl_ms: int = Field(default=2_000, ge=500, le=60_000)
    latency: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)
    """How long ways between regions are, as a part of the real ones."""
    network: Literal["proxy", "namespaces"] | None = None
    """By what ways are cut; left out, what can do all that is asked and is closest to reality."""


class Load(_Part):
    """What clients do all the time."""

    clients: int = Field(default=8, ge=1, le=256)
    keys: int = Field(default=32, ge=1, le=10_000)
    reads: Share = 0.4
    """How much of all is reading; the rest are puts, some of them under a condition."""
    pause_ms: float = Field(default=2.0, ge=0, le=10_000, allow_inf_nan=False)


class _Fault(_Part):
    """One fault: when it comes."""

    at_s: Seconds

    @property
    def lasts_s(self) -> float:
        """How long it takes, as far as the scenario says."""
        again = (getattr(self, "times", 1) - 1) * float(getattr(self, "every_s", 0.0))
        return again + float(getattr(self, "for_s", 0.0))


class _Repeated(_Fault):
    """A fault that may strike several times, and its targets one after the other."""

    to: Role
    times: int = Field(default=1, ge=1, le=100)
    every_s: Seconds = 0.0
    """Between two times; with several targets, between one target and the next."""


class Kill(_Repeated):
    """SIGKILL; the supervisor starts it again, when `for_s` is over."""

    do: Literal["kill"]
    for_s: Seconds = 0.0


class Restart(_Repeated):
    """SIGTERM, after which it hands over and ends; the supervisor starts it again."""

    do: Literal["restart"]


class Stop(_Fault):
    """SIGSTOP, and SIGCONT when `for_s` is over."""

    do: Literal["stop"]
    to: Role
    for_s: Seconds


class Slow(_Fault):
    """SIGSTOP and SIGCONT in turn, many times a second: asleep for `share` of the time."""

    do: Literal["slow"]
    to: Role
    for_s: Seconds
    share: Share = 0.8
    period_ms: int = Field(default=100, ge=10, le=10_000)


class Cut(_Fault):
    """Nothing gets from some sites to others: `away` from all the rest, or between two `sides`."""

    do: Literal["cut"]
    for_s: Seconds
    away: Role | None = None
    sides: Literal["halves", "bridge"] | None = None
    """halves: some zones (or regions) and the rest. bridge: first and last, one between sees both.
    """
    way: Literal["both", "out", "in"] = "both"
    """out: what those away send is lost. in: what is sent to them is."""
    ends: Literal["late", "lost"] = "late"
    """What was sent meanwhile comes late, or is lost and connections break (a black hole)."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Cut:
        if (self.away is None) == (self.sides is None):
            raise ValueError("a cut needs either `away` or `sides`")
        if self.sides is not None and self.way != "both":
            raise ValueError("sides are cut both ways: `way` goes with `away`")
        return self


class Hamper(_Fault):
    """Ways to and from some sites get longer, uneven or narrow."""

    do: Literal["hamper"]
    to: Role
    for_s: Seconds
    delay_ms: float = Field(default=0.0, ge=0, le=60_000, allow_inf_nan=False)
    jitter_ms: float = Field(default=0.0, ge=0, le=60_000, allow_inf_nan=False)
    bytes_per_s: int | None = Field(default=None, ge=1)


class Snap(_Repeated):
    """Every connection to and from some sites is broken off."""

    do: Literal["snap"]


class Fill(_Fault):
    """A store's disk (a small one of its own), or its memory, runs full but for `leave_mib`."""

    do: Literal["fill"]
    to: Role
    for_s: Seconds
    what: Literal["disk", "memory"] = "disk"
    leave_mib: int = Field(default=16, ge=0, le=1_024)


class Forget(_Fault):
    """A store is killed and comes back with less than it had."""

    do: Literal["forget"]
    to: Role
    how: Literal["wiped", "cut-short", "rolled-back"] = "wiped"
    """cut-short: its file ends within a command. rolled-back: it ends well, but too early."""


class Clock(_Fault):
    """A node's clocks: the wall clock jumps by `step_s`; all clocks run at another rate."""

    do: Literal["clock"]
    to: Role
    for_s: Seconds
    step_s: float = Field(default=0.0, ge=-1e8, le=1e8, allow_inf_nan=False)
    faster_percent: float = Field(default=0.0, ge=-50, le=50, allow_inf_nan=False)


Fault = Annotated[
    Kill | Restart | Stop | Slow | Cut | Hamper | Snap | Fill | Forget | Clock,
    Field(discriminator="do"),
]


class Expected(_Part):
    """What must come of it, beside what always must: nothing lost, nothing stale."""

    ops_per_s_before: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    """Successful operations a second before the first fault: a fleet at rest proves nothing."""
    leaders_change: bool | None = None
    """Whether some shard gets another leadership; left out, both are right."""
    without_leader_ms_max: int | None = Field(default=None, ge=1)
    """Of any one failover, as clients see it."""
    pause_ms_max: int | None = Field(default=None, ge=1)
    """The longest time in which no write of any client was acknowledged."""
    store_after: Literal["up", "refused", "down"] = "up"
    """What becomes of a store that forgot: `up` is a voter again, without anybody's help."""
    whole_within_s: float = Field(default=40.0, ge=1, le=600, allow_inf_nan=False)


class Scenario(_Part):
    """The whole document."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    shows: str = Field(min_length=1, max_length=400)
    fleet: FleetShape = FleetShape()
    load: Load = Load()
    lasts_s: float = Field(default=30.0, ge=1, le=3_600, allow_inf_nan=False)
    faults: tuple[Fault, ...] = Field(min_length=1, max_length=200, strict=False)
    expect: Expected = Expected()

    @model_validator(mode="after")
    def _faults_end_in_time(self) -> Scenario:
        for number, fault in enumerate(self.faults):
            ends_s = fault.at_s + fault.lasts_s
            if ends_s > self.lasts_s:
                raise ValueError(
                    f"fault {number} ends {ends_s:g} s after the start, and the run at "
                    f"{self.lasts_s:g} s: give it more time with `lasts_s`"
                )
        return self

    def with_load(self, reads: float | None, lasts_s: float | None) -> Scenario:
        """The same with another share of reads, or longer; None leaves it. Raises ValueError."""
        changed = self.model_dump()
        if reads is not None:
            changed["load"]["reads"] = reads
        if lasts_s is not None:
            changed["lasts_s"] = lasts_s
        return Scenario.model_validate(changed)

    @property
    def first_fault_s(self) -> float:
        """When the first fault comes."""
        return min(fault.at_s for fault in self.faults)
