"""A rollout on paper, as the API shows it: three regions, a canary, then the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from config.freezes import Freezes
from config.gate import FLEET_GATE, GateLook, Verdict
from config.rollout import Pause, Phase, Reached, RegionStep, Rollout
from config.strategy import Strategy
from controlplane.api.rollout_views import rollout_document

REGIONS = ("ap-southeast-1", "eu-central-1", "us-east-1")
NO_FREEZES = Freezes()
ROLLOUT = Rollout(
    id=7,
    document="flags",
    version=5,
    digest="aa",
    strategy=Strategy(),
    waves=(("ap-southeast-1",), ("eu-central-1", "us-east-1")),
    regions=tuple(RegionStep(region, 4, "bb") for region in REGIONS),
    principal="operator",
    reason="try blue",
    began_ms=1_700_000_000_000,
    gates=(FLEET_GATE,),
)


FAILED = GateLook("fleet", Verdict.FAIL, "errors: 3 % beside 0.1 %", 1_700_000_600_000, 60_000)
REPORTED = GateLook("page", Verdict.NO_DATA, "nobody there", 1_700_000_600_000, 60_000, True)


def shown(
    rollout: Rollout, *, dry_run: bool = False, freezes: Freezes = NO_FREEZES
) -> dict[str, Any]:
    """What the API answers about it."""
    document = rollout_document(rollout, freezes, dry_run=dry_run)
    found: dict[str, Any] = orjson.loads(orjson.dumps(document))
    return found


def at(
    phase: Phase,
    *reached: Reached,
    wave: int = 0,
    sequence: int = 1,
    pause: Pause | None = None,
    why: str = "",
    **more: Any,
) -> dict[str, Any]:
    """The same rollout, so far: its regions in the order of their names."""
    steps = tuple(
        replace(step, reached=state) for step, state in zip(ROLLOUT.regions, reached, strict=False)
    )
    return shown(
        replace(
            ROLLOUT,
            phase=phase,
            regions=(*steps, *ROLLOUT.regions[len(steps) :]),
            wave=wave,
            sequence=sequence,
            pause=pause,
            why=why,
            **more,
        )
    )
