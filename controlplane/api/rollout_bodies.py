"""Bodies of orders about rollouts, and the parts of the machine that they become."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from config.gate import FLEET_GATE, HARD_GATE, TIMEOUT_MS, Gate, Measure, comparison_of, gate_of
from config.strategy import (
    BAKE_MS_MAX,
    BY_PERCENT,
    OnFailure,
    OnUnreachable,
    Strategy,
    StrategyName,
    strategy_of,
)
from controlplane.api.body import Name

_MODEL: Final = ConfigDict(frozen=True, extra="forbid")
WAVES_MAX: Final = 100
GATES_MAX: Final = 20
HOLD_MS_MAX: Final = 30 * 86_400_000

Bake = Annotated[int, Field(ge=0, le=BAKE_MS_MAX)]


class StrategyBody(BaseModel):
    """A strategy by name, and what is to be otherwise than its defaults; times in milliseconds.

    `approvals` are waves, counted from 1, that begin only when a person says so. With
    `nodes_percent`, `linear` and `exponential` go by nodes: each wave is so many percent more of
    the nodes of every region, or twice as many as the one before; with `regions_percent`, of the
    regions.
    """

    model_config = _MODEL

    name: StrategyName = StrategyName.CANARY
    bake_ms: Bake | None = None
    final_bake_ms: Bake | None = None
    step_deadline_ms: Annotated[int, Field(ge=1_000, le=86_400_000)] | None = None
    unavailable_max: Annotated[int, Field(ge=0, le=WAVES_MAX)] | None = None
    parallel_max: Annotated[int, Field(ge=0, le=WAVES_MAX)] | None = None
    failure_limit: Annotated[int, Field(ge=0, le=1_000)] | None = None
    error_limit: Annotated[int, Field(ge=0, le=1_000)] | None = None
    successes: Annotated[int, Field(ge=1, le=1_000)] | None = None
    on_failure: OnFailure | None = None
    on_unreachable: OnUnreachable | None = None
    order: Annotated[list[Name], Field(max_length=WAVES_MAX)] | None = None
    approvals: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=WAVES_MAX)] | None = (
        None
    )
    nodes_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    regions_percent: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _goes_by_percent(self) -> StrategyBody:
        given = [name for name in ("nodes_percent", "regions_percent") if getattr(self, name)]
        if given and self.name not in BY_PERCENT:
            raise ValueError(f"only {' and '.join(sorted(BY_PERCENT))} go by {given[0]}")
        if len(given) > 1:
            raise ValueError("it goes by nodes_percent or by regions_percent, not by both")
        return self

    def strategy(self) -> Strategy:
        """What it says."""
        said = self.model_dump(exclude_none=True, mode="json")
        if "approvals" in said:
            said["approvals"] = [wave - 1 for wave in said["approvals"]]
        return strategy_of(said)


def _strategy_in(said: StrategyName | StrategyBody) -> Strategy:
    """A strategy by its name alone, or with what is to be otherwise."""
    return (StrategyBody(name=said) if isinstance(said, StrategyName) else said).strategy()


def own_gate(how: Strategy) -> Gate:
    """What a rollout is watched by that names no gates."""
    return HARD_GATE if how.name is StrategyName.EMERGENCY else FLEET_GATE


class GateBody(BaseModel):
    """A question that is asked of each wave.

    `passes` is a comparison with what a query answers, such as `< 0.01`; `{regions}` in a query
    stands for the wave's regions, joined by `|`.
    """

    model_config = _MODEL

    name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Literal["fleet", "prometheus", "http"] = "fleet"
    measures: Annotated[list[Measure], Field(min_length=1)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2_048)] | None = None
    query: Annotated[str, Field(max_length=4_096)] | None = None
    passes: Annotated[str, Field(max_length=64)] | None = None
    status: Annotated[int, Field(ge=100, le=599)] = 200
    no_data: Literal["error", "pass", "fail"] = "error"
    samples_min: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20
    timeout_ms: Annotated[int, Field(ge=10, le=10_000)] = TIMEOUT_MS
    dry_run: bool = False

    @field_validator("passes")
    @classmethod
    def _compares(cls, passes: str | None) -> str | None:
        if passes is not None:
            comparison_of(passes)
        return passes

    @model_validator(mode="after")
    def _is_whole(self) -> GateBody:
        wanted = {"prometheus": ("url", "query", "passes"), "http": ("url",), "fleet": ()}
        missing = [name for name in wanted[self.kind] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a gate of kind {self.kind} needs {', '.join(missing)}")
        return self

    def gate(self) -> Gate:
        """What it says."""
        return gate_of(self.model_dump(exclude_none=True, mode="json"))


class RolloutOrder(BaseModel):
    """Which version of a document is to be in force everywhere, and how it gets there.

    Without a `version` it is the newest. Where a rollout of the document, or of a related one, is
    not over, this one is refused, unless it may `queue`, or is to `supersede` that one.
    """

    model_config = _MODEL

    document: Name
    version: Annotated[int, Field(ge=0, lt=1 << 53)] | None = None
    strategy: StrategyName | StrategyBody = StrategyName.CANARY
    gates: Annotated[list[GateBody], Field(max_length=GATES_MAX)] | None = None
    queue: bool = False
    supersede: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> RolloutOrder:
        names = [gate.name for gate in self.gates or ()]
        if len(set(names)) < len(names):
            raise ValueError("two gates have the same name")
        if self.queue and self.supersede:
            raise ValueError("it cannot both queue and supersede")
        return self

    def how(self) -> Strategy:
        """The strategy."""
        return _strategy_in(self.strategy)

    def asked(self) -> tuple[Gate, ...]:
        """The gates; the fleet's own, if nothing is said of them."""
        if self.gates is None:
            return (own_gate(self.how()),)
        return tuple(each.gate() for each in self.gates)


class PauseOrder(BaseModel):
    """For how long nothing more is to begin; without it, until somebody resumes it."""

    model_config = _MODEL

    for_ms: Annotated[int, Field(ge=1_000, le=HOLD_MS_MAX)] | None = None


class NoChoice(BaseModel):
    """Nothing can be chosen about this order."""

    model_config = _MODEL


class RollbackOrder(BaseModel):
    """How the regions get what they had before; of a rollout that is not over it is an abort."""

    model_config = _MODEL

    strategy: StrategyName | StrategyBody = StrategyName.ALL_AT_ONCE

    def how(self) -> Strategy:
        """The strategy."""
        return _strategy_in(self.strategy)
