"""Gates: what is asked after a wave, and what an answer means.

A gate of kind `fleet` asks the fleet itself, `prometheus` a query of a Prometheus, `http` a page.
An answer is one verdict; how verdicts lead a wave on, or back, is for the strategy to say
(config/rollout_step). What is not known is never a pass: no answer, an empty one, and one that is
no number are *no data*, unless the gate says what they are to count as.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, Final

INTERVAL_MS: Final = 10_000
TIMEOUT_MS: Final = 2_000
DETAIL_MAX: Final = 400


class Verdict(StrEnum):
    """What one look of a gate says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no-data"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a gate, or at several, came to."""

    verdict: Verdict
    detail: str = ""

    def __post_init__(self) -> None:
        """Whatever was answered, the detail is text that can be kept, and not long."""
        told = self.detail.encode("utf-8", "replace").decode()
        short = told if len(told) <= DETAIL_MAX else told[: DETAIL_MAX - 3] + "..."
        object.__setattr__(self, "detail", short)


@dataclass(frozen=True, slots=True)
class GateLook:
    """What one gate said last, as it is kept with the rollout.

    `wall_ms` is when; `window_ms` is for how long the wave had been on.
    """

    gate: str
    verdict: Verdict
    detail: str
    wall_ms: int
    window_ms: int
    dry_run: bool = False


class GateKind(StrEnum):
    """Who is asked."""

    FLEET = "fleet"
    PROMETHEUS = "prometheus"
    HTTP = "http"


class Measure(StrEnum):
    """What the fleet can be asked."""

    NODES = "nodes"
    LEADERS = "leaders"
    ELECTIONS = "elections"
    ERRORS = "errors"
    FENCED = "fenced"
    LAG = "lag"
    LATENCY = "latency"


class NoData(StrEnum):
    """What it counts as when there is no answer, or one that is no number."""

    ERROR = "error"
    PASS = "pass"
    FAIL = "fail"


COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One question. `passes` is a comparison, such as `< 0.01`, with what a query answers.

    `{regions}` in `query` stands for the wave's regions, joined by `|`.
    """

    name: str
    kind: GateKind = GateKind.FLEET
    measures: tuple[str, ...] = tuple(Measure)
    url: str = ""
    query: str = ""
    passes: str = ""
    status: int = 200
    no_data: NoData = NoData.ERROR
    samples_min: int = 20
    """Requests that a wave and the regions beside it must have had for their rates to count."""
    timeout_ms: int = TIMEOUT_MS
    dry_run: bool = False
    """It only reports."""


FLEET_GATE: Final = Gate("fleet")
"""What a rollout is watched by unless it says otherwise."""
HARD_GATE: Final = Gate("fleet", measures=(Measure.NODES, Measure.LEADERS))
"""The same of an emergency: by what fails hard, alone."""


def comparison_of(passes: str) -> tuple[Callable[[float, float], bool], float]:
    """A comparison as it is written. Raises ValueError."""
    word, _, number = passes.strip().partition(" ")
    compare = COMPARISONS.get(word)
    limit = float(number) if number.strip() else float("nan")
    if compare is None or not isfinite(limit):
        raise ValueError(f"must be a comparison and a number, such as '< 0.01', not {passes!r}")
    return compare, limit


def judged(gate: Gate, values: Iterable[float]) -> Look:
    """The verdict about what a query answered: all of its values have to pass.

    One that does not fails it, whatever the others are; else one that is no number is no data.
    """
    found = list(values)
    compare, limit = comparison_of(gate.passes)
    worst = [value for value in found if isfinite(value) and not compare(value, limit)]
    if worst:
        return Look(Verdict.FAIL, f"{gate.name}: {worst[0]:g} is not {gate.passes}")
    if not found or not all(isfinite(value) for value in found):
        said = "an empty answer" if not found else "an answer that is no number"
        return without_data(gate, f"{gate.name}: {said}")
    return Look(Verdict.PASS, f"{gate.name}: {found[0]:g}")


def without_data(gate: Gate, detail: str) -> Look:
    """The verdict when there is nothing to judge."""
    match gate.no_data:
        case NoData.PASS:
            return Look(Verdict.PASS, detail)
        case NoData.FAIL:
            return Look(Verdict.FAIL, detail)
    return Look(Verdict.NO_DATA, detail)


ORDER: Final = (Verdict.FAIL, Verdict.NO_DATA, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Of several looks, the first of these counts."""


def together(looks: Iterable[tuple[Gate, Look]]) -> Look:
    """The verdict of all gates; those that only report have none."""
    counted = [look for gate, look in looks if not gate.dry_run]
    worst = min(counted, key=lambda look: ORDER.index(look.verdict), default=None)
    return worst or Look(Verdict.PASS, "no gate")


def kept_look(gate: Gate, look: Look, wall_ms: int, window_ms: int) -> GateLook:
    """What a gate said, as it is kept."""
    return GateLook(gate.name, look.verdict, look.detail, wall_ms, window_ms, gate.dry_run)


def look_of(content: Mapping[str, Any]) -> GateLook:
    """What a gate said, as it was kept."""
    return GateLook(**{**content, "verdict": Verdict(content["verdict"])})


def gate_of(content: Mapping[str, Any]) -> Gate:
    """A gate from what an operator sends, or from what was kept; its shape is checked before."""
    named = dict(content)
    named["kind"] = GateKind(named.get("kind", GateKind.FLEET))
    named["no_data"] = NoData(named.get("no_data", NoData.ERROR))
    named["measures"] = tuple(named.get("measures", tuple(Measure)))
    return Gate(**named)
