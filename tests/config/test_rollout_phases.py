"""Where each phase of a rollout leads: the table, what the machine does, and the picture of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest

from config.gate import Look, Verdict
from config.rollout import FORWARD, OVER, TRANSITIONS, Phase, Reached, RegionStep, Rollout
from config.rollout_orders import Order, Unfit, ordered
from config.rollout_step import Ack, Seen, next_step
from config.strategy import DEFAULTS, OnFailure, StrategyName
from tests.config.test_rollout_histories import World

PAGE = Path(__file__).parents[2] / "docs" / "rollouts.md"
BEGIN, END = "```mermaid\n", "```\n"
WAVES = (("eu",), ("us",))
LINEAR = replace(DEFAULTS[StrategyName.LINEAR], bake_ms=1_000)
SHORT = replace(LINEAR, final_bake_ms=0)
HOLDS = replace(LINEAR, on_failure=OnFailure.HOLD)


def rollouts() -> Iterator[Rollout]:
    """Rollouts in every phase, in their first wave and their last, with regions in every state."""
    for phase, wave, states, strategy, inherits in product(
        Phase, (0, 1), product(Reached, Reached), (LINEAR, SHORT, HOLDS), (False, True)
    ):
        regions = tuple(
            RegionStep(name, 3, "old", reached, step=1, inherits=inherits)
            for name, reached in zip(("eu", "us"), states, strict=True)
        )
        is_final = phase is Phase.FINAL_BAKE
        if is_possible(phase, wave, states):
            yield Rollout(
                1, "flags", 4, "new", strategy, WAVES, regions, "ann", phase=phase, wave=wave,
                is_final=is_final,
            )  # fmt: skip
    yield Rollout(1, "flags", 4, "new", LINEAR, (), (), "ann")


def is_possible(phase: Phase, wave: int, states: tuple[Reached, ...]) -> bool:
    """Whether regions can be so in that phase: waves come one after the other."""
    first, last = states
    ahead = (Reached.HEALTHY, Reached.DEFERRED, Reached.SKIPPED)
    there = (Reached.APPLIED, Reached.DEFERRED, Reached.SKIPPED)
    back = (Reached.REVERTING, Reached.REVERTED, Reached.UNHEALTHY)
    match phase:
        case Phase.PENDING:
            return wave == 0 and set(states) == {Reached.WAITING}
        case Phase.APPLYING if wave == 0:
            return last is Reached.WAITING and first not in (*back, Reached.HEALTHY)
        case Phase.APPLYING:
            return first in ahead and last not in (*back, Reached.HEALTHY)
        case Phase.BAKING | Phase.GATING if wave == 0:
            return last is Reached.WAITING and first in there and first is not Reached.SKIPPED
        case Phase.BAKING | Phase.GATING:
            return first in ahead and last in there and last is not Reached.SKIPPED
        case Phase.FINAL_BAKE:
            return wave == 1 and first in ahead and last in ahead and Reached.HEALTHY in states
    return set(states) <= {*back, Reached.WAITING}


def seen() -> Iterator[Seen]:
    """What a leader can see."""
    looks = [None, *(Look(verdict) for verdict in Verdict)]
    acks: tuple[dict[str, Ack], ...] = ({}, {"eu": Ack(4, "new", 1), "us": Ack(4, "new", 1)})
    for look, baked_ms, ack, waited_ms, gone in product(
        looks, (0, 10**9), acks, (0, 10**9), ((), ("eu", "us"))
    ):
        waited = dict.fromkeys(("eu", "us"), waited_ms)
        yield Seen(1, ack, baked_ms, look, waited_ms=waited, gone=gone)


def followers(record: Rollout) -> Iterator[Phase]:
    """The phases that can be the next one."""
    found = [next_step(record, each) for each in seen()]
    found += [
        after for order in Order if not isinstance(after := ordered(record, order, "a", ""), Unfit)
    ]
    yield from {after.phase for after in found if after is not None and after.phase != record.phase}


def test_the_machine_goes_every_way_of_the_table_and_no_other() -> None:
    ways = {(record.phase, after) for record in rollouts() for after in followers(record)}
    assert ways == {(phase, after) for phase, led in TRANSITIONS.items() for after in led}


def test_no_history_goes_another_way() -> None:
    for seed in range(200):
        world = World(seed)
        for _ in range(300):
            world.turn()
        for before, after in pairwise(world.seen):
            is_same = before.phase is after.phase
            assert is_same or after.phase in TRANSITIONS[before.phase], (seed, before, after)


def test_nothing_leads_out_of_the_end_and_all_else_leads_there() -> None:
    assert {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.HELD} == OVER
    for phase in set(Phase) - OVER:
        reached, left = {phase}, [phase]
        while left:
            left = [to for each in left for to in TRANSITIONS.get(each, {}) if to not in reached]
            reached |= set(left)
        assert reached & OVER, phase
    assert set(FORWARD) < set(TRANSITIONS)


def diagram() -> str:
    """The table as Mermaid draws it."""
    names = {phase: phase.value.replace("-", "_") for phase in Phase}
    lines = [f'    state "{phase}" as {names[phase]}' for phase in Phase if "-" in phase]
    lines.append(f"    [*] --> {names[Phase.PENDING]}")
    lines += [
        f"    {names[phase]} --> {names[after]}: {why}"
        for phase, led in TRANSITIONS.items()
        for after, why in led.items()
    ]
    lines += [f"    {names[phase]} --> [*]" for phase in Phase if phase in OVER]
    return "\n".join(["stateDiagram-v2", *lines, ""])


def test_the_picture_in_the_docs_is_the_table() -> None:
    """LEADPLANE_REGENERATE=1 draws it anew."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    drawn, _, after = rest.partition(END)
    if os.environ.get("LEADPLANE_REGENERATE"):
        PAGE.write_text(f"{before}{BEGIN}{diagram()}{END}{after}", "utf-8")
        pytest.skip("drawn anew")
    assert drawn == diagram()
