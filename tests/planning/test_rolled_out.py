"""In which regions moves wait for a rollout, as the global leader sees its records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.rollout import Pause, Phase, Reached, RegionStep, Rollout, Why
from config.rollout_record import PARTITION, packed, rollout_key
from config.strategy import Strategy
from controlplane.planning.gathering import rolled_out
from controlplane.planning.mover import Mover
from controlplane.planning.planner import Planner
from controlplane.planning.reasons import Hindrance, MoveKind, Wanted
from controlplane.requests import Put, Write, Written
from tests.api.fake_service import FakeService

WAVES = (("eu",), ("us", "ap"))
STEPS = tuple(RegionStep(region, 1) for region in ("eu", "us", "ap"))
ROLLOUT = Rollout(7, "flags", 2, "d", Strategy(), WAVES, STEPS, "ann")
SENT, APPLIED, HEALTHY, WAITING = (
    Reached.SENT, Reached.APPLIED, Reached.HEALTHY, Reached.WAITING,
)  # fmt: skip
REVERTING, REVERTED, DEFERRED = Reached.REVERTING, Reached.REVERTED, Reached.DEFERRED


async def keep(service: FakeService, rollout: Rollout) -> None:
    """The record lies in the system shard."""
    put = Put(PARTITION, rollout_key(rollout.id), packed(rollout))
    assert isinstance(await service.submit(Write("system", (put,))), Written)


@pytest.mark.parametrize(
    ("phase", "wave", "reached", "regions"),
    [
        (Phase.PENDING, 0, (WAITING, WAITING, WAITING), set()),
        (Phase.APPLYING, 0, (WAITING, WAITING, WAITING), set()),
        (Phase.APPLYING, 0, (SENT, WAITING, WAITING), {"eu"}),
        (Phase.BAKING, 0, (APPLIED, WAITING, WAITING), {"eu"}),
        (Phase.GATING, 1, (HEALTHY, APPLIED, APPLIED), {"us", "ap"}),
        (Phase.BAKING, 1, (HEALTHY, APPLIED, DEFERRED), {"us"}),
        (Phase.FINAL_BAKE, 1, (HEALTHY, HEALTHY, HEALTHY), set()),
        (Phase.ROLLING_BACK, 1, (REVERTED, REVERTING, WAITING), {"us"}),
        (Phase.STUCK, 1, (REVERTED, REVERTING, WAITING), set()),
        (Phase.SUCCEEDED, 1, (HEALTHY, HEALTHY, HEALTHY), set()),
    ],
)
async def test_moves_wait_where_a_wave_is_at_work(
    leader: FakeService, phase: Phase, wave: int, reached: tuple[Reached, ...], regions: set[str]
) -> None:
    steps = tuple(replace(step, reached=at) for step, at in zip(STEPS, reached, strict=True))
    record = replace(ROLLOUT, phase=phase, wave=wave, regions=steps)
    await keep(leader, record)
    assert rolled_out(leader).regions == regions
    if not record.is_over and phase not in (Phase.ROLLING_BACK, Phase.STUCK):
        await keep(leader, replace(record, pause=Pause(Why.OPERATOR)))
        assert rolled_out(leader).regions == set(), "nobody watches meanwhile"


async def test_the_mover_learns_of_it_and_of_its_end(leader: FakeService) -> None:
    planner = Planner(leader)
    mover = Mover(leader, planner)
    wanted = Wanted("s1", "global", MoveKind.COST, "n1", "eu", "us")
    await mover.turn(1)
    assert planner.admission.judge(wanted, planner.now_ms) is not Hindrance.ROLLOUT
    bakes = replace(STEPS[0], reached=APPLIED)
    await keep(leader, replace(ROLLOUT, phase=Phase.BAKING, regions=(bakes, *STEPS[1:])))
    await mover.turn(1)
    assert planner.admission.judge(wanted, planner.now_ms) is Hindrance.ROLLOUT
    await keep(leader, replace(ROLLOUT, phase=Phase.SUCCEEDED))
    await mover.turn(1)
    assert planner.admission.judge(wanted, planner.now_ms) is not Hindrance.ROLLOUT
