"""The loop of the global leader: freezes, removed regions, nodes, set clocks, slow gates."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from config.document import canonical
from config.effect import place_in_line, target_key
from config.freezes import DAYS, Weekly
from config.gate import Gate, GateKind, Look, Verdict
from config.revision import Revision
from config.rollout import OVER, Phase, Reached, Rollout, Why
from config.strategy import Strategy, StrategyName
from controlplane.rollouts.gates import STALE_MS, GateKeeper
from tests.rollouts.stage import NEW, NOON_MS, OLD, Stage, breathe, strategy

HOUR_MS = 3_600_000
CANARY = strategy(StrategyName.CANARY)
LINEAR = strategy(StrategyName.LINEAR)
AT_ONCE = strategy(StrategyName.ALL_AT_ONCE, bake_ms=0, final_bake_ms=0)
OTHER = Revision("other", 1, canonical({"n": 1}))
SHUT: dict[str, Any] = {"days": ["sat"], "from": "00:00", "until": "18:00"}


def is_over(rollout: Rollout) -> bool:
    return rollout.is_over


async def in_force(stage: Stage) -> None:
    """The old version is in force everywhere."""
    number = await stage.begin(OLD, AT_ONCE)
    await stage.until(number, is_over)
    assert {stage.runs(node) for node in stage.fleet.nodes} == {1}


# -- freezes


async def test_a_frozen_rollout_says_until_when_and_goes_on_by_itself() -> None:
    stage = Stage()
    stage.edit("rollouts", {"freezes": [{"name": "weekend", "weekly": SHUT}]})
    number = await stage.begin(NEW, AT_ONCE)
    await stage.turn()
    pause = stage.rollout(number).pause
    assert pause is not None
    assert (pause.why, pause.until_ms) == (Why.FROZEN, NOON_MS + 6 * HOUR_MS)
    assert pause.detail == "weekend: ap, eu, us"
    await stage.turn(6 * 3_600 - 1)
    assert stage.rollout(number).pause is not None
    await stage.turn(1)
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.SUCCEEDED


async def test_a_freeze_of_one_region_holds_up_its_wave_alone_and_ends_with_its_document() -> None:
    stage = Stage()
    window = {"name": "eu-only", "weekly": SHUT, "regions": ["eu"]}
    stage.edit("rollouts", {"freezes": [window]})
    number = await stage.begin(NEW, replace(LINEAR, order=("us", "eu", "ap")))
    await stage.until(number, lambda found: found.pause is not None)
    found = stage.rollout(number)
    assert [each.region for each in found.reached(Reached.HEALTHY)] == ["us"]
    assert found.pause is not None
    assert found.pause.detail == "eu-only: eu"
    stage.edit("rollouts", {"freezes": []})
    await stage.until(number, lambda found: found.pause is None, 1 + 1)
    await stage.until(number, is_over)


async def test_a_freeze_lets_emergencies_and_its_own_document_pass_and_what_goes_back() -> None:
    stage = Stage()
    await in_force(stage)
    number = await stage.begin(NEW, CANARY)
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    stage.edit("rollouts", {"freezes": [{"name": "weekend", "weekly": SHUT}]})
    stage.own.verdict = Verdict.FAIL
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.ROLLED_BACK
    stage.own.verdict = Verdict.PASS
    for revision, how in (
        (NEW, strategy(StrategyName.EMERGENCY)),
        (Revision("rollouts", 2, canonical({"freezes": []})), AT_ONCE),
    ):
        number = await stage.begin(revision, how)
        await stage.until(number, is_over)
        assert stage.rollout(number).phase is Phase.SUCCEEDED


async def test_a_freeze_is_looked_up_once_until_it_ends_or_its_document_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    until_ms = Weekly.until_ms

    def counted(window: Weekly, at_ms: int) -> int:
        asked.append(at_ms)
        return until_ms(window, at_ms)

    monkeypatch.setattr(Weekly, "until_ms", counted)
    stage = Stage()
    week = [{"name": f"w{n}", "weekly": {**SHUT, "days": [DAYS[n]]}} for n in range(7)]
    stage.edit("rollouts", {"freezes": week})
    number = await stage.begin(NEW, AT_ONCE)
    await stage.turn()
    assert stage.rollout(number).pause is not None
    assert len(asked) == 2 * 7, "of three regions at once: what holds, and what follows"
    for _ in range(20):
        await stage.turn()
    assert len(asked) == 2 * 7
    stage.wall_ms -= 86_400_000  # the clock is set: that hold is not known to hold then
    await stage.turn()
    assert len(asked) == 4 * 7
    stage.edit("rollouts", {"freezes": week[:5]})
    stage.wall_ms += 86_400_000
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    "content", [{}, {"x": 1}, {"freezes": 3}, {"freezes": [{"name": 1}]}, [1], None]
)
async def test_a_document_of_freezes_that_cannot_be_read_holds_nothing_up(content: Any) -> None:
    stage = Stage()
    stage.edit("rollouts", content)
    number = await stage.begin(NEW, AT_ONCE)
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.SUCCEEDED


async def test_what_of_the_freezes_is_left_out_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.edit("rollouts", {"freezes": [{"name": 1}, {"name": "weekend", "weekly": SHUT}]})
    number = await stage.begin(NEW, AT_ONCE)
    for _ in range(3):
        await stage.turn()
    pause = stage.rollout(number).pause
    assert pause is not None
    assert pause.detail == "weekend: ap, eu, us"
    assert caplog.messages.count(
        "document rollouts, version 1: 1 windows cannot be read, and are left out"
    ) == 1  # fmt: skip


# -- regions that are gone


@pytest.mark.parametrize("order", [("ap", "eu", "us"), ("eu", "us", "ap")])
async def test_a_region_that_is_removed_is_skipped_and_the_record_says_so(
    order: tuple[str, ...],
) -> None:
    stage = Stage()
    await in_force(stage)
    number = await stage.begin(NEW, replace(LINEAR, order=order))
    stage.fleet.nodes["ap-1"].alive = False  # nothing describes ap: it was renamed
    await stage.until(number, is_over)
    found = stage.rollout(number)
    ap = found.region("ap")
    assert ap is not None
    assert (found.phase, ap.reached, ap.why) == (
        Phase.SUCCEEDED, Reached.SKIPPED, "the region was removed",
    )  # fmt: skip
    assert stage.runs("ap-1") == 2, "should it ever come back"
    assert target_key("flags", "ap") not in stage.fleet.shards["system"].values


async def test_a_dead_region_that_is_still_described_is_waited_for_until_it_is_removed() -> None:
    stage = Stage()
    await in_force(stage)
    number = await stage.begin(NEW, replace(LINEAR, order=("us", "eu", "ap")))
    stage.fleet.nodes["us-1"].alive = False
    await stage.turn()
    await stage.turn(LINEAR.step_deadline_ms / 1_000 + 1)
    pause = stage.rollout(number).pause
    assert pause is not None
    assert pause.why is Why.UNREACHABLE
    stage.edit("region.us", None)
    await stage.until(number, is_over)
    us = stage.rollout(number).region("us")
    assert us is not None
    assert us.reached is Reached.SKIPPED


async def test_a_rollback_does_not_wait_for_a_region_that_is_removed_yet_it_goes_back() -> None:
    stage = Stage()
    await in_force(stage)
    number = await stage.begin(NEW, replace(LINEAR, order=("ap", "eu", "us")))
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    assert stage.runs("ap-1") == 2
    stage.fleet.nodes["ap-1"].alive = False
    stage.own.verdict = Verdict.FAIL
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.ROLLED_BACK
    assert stage.runs("ap-1") == 1


async def test_the_rollout_that_removes_a_region_does_not_wait_for_it() -> None:
    stage = Stage()
    stage.fleet.nodes["us-1"].alive = False
    number = await stage.begin(Revision("region.us", 1, b"", deleted=True), LINEAR)
    assert [each.region for each in stage.rollout(number).regions] == ["ap", "eu"]
    stage.fleet.nodes["us-1"].alive = True
    other = await stage.begin(NEW, LINEAR)
    assert [each.region for each in stage.rollout(other).regions] == ["ap", "eu", "us"]


# -- by nodes


async def test_by_nodes_so_many_nodes_of_every_region_take_it_in_each_wave() -> None:
    stage = Stage(nodes=5)
    await in_force(stage)
    how = strategy(StrategyName.LINEAR, nodes_percent=40)
    number = await stage.begin(NEW, how)
    seen = []
    for wave in range(3):
        await stage.until(
            number,
            lambda found: (found.wave, found.phase) == (wave, Phase.BAKING),  # noqa: B023
        )
        seen.append({node for node in stage.fleet.nodes if stage.runs(node) == 2})
    assert [len(each) for each in seen] == [6, 12, 15]
    assert seen[0] < seen[1] < seen[2]
    for region in ("eu", "us", "ap"):
        names = sorted(
            (f"{region}-{n}" for n in range(1, 6)), key=lambda node: place_in_line("flags", node)
        )
        assert {node for node in seen[0] if node.startswith(region)} == set(names[:2])
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.SUCCEEDED
    assert {stage.runs(node) for node in stage.fleet.nodes} == {2}


async def test_by_nodes_a_wave_waits_for_its_nodes_and_not_for_others() -> None:
    stage = Stage(nodes=2)
    await in_force(stage)
    first, other = sorted(("us-1", "us-2"), key=lambda node: place_in_line("flags", node))
    stage.deaf = {first}
    number = await stage.begin(NEW, strategy(StrategyName.LINEAR, nodes_percent=50))
    for _ in range(20):
        await stage.turn()
    assert stage.rollout(number).phase is Phase.APPLYING
    stage.deaf = {other}
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    assert (stage.runs(first), stage.runs(other)) == (2, 1)


@pytest.mark.parametrize("alive", [0, 1, 2])
async def test_by_nodes_those_that_were_dead_count_and_are_not_all_given_it_when_they_are_back(
    alive: int,
) -> None:
    stage = Stage(nodes=5)
    await in_force(stage)
    names = [f"us-{number}" for number in range(1, 6)]
    line = sorted(names, key=lambda node: place_in_line("flags", node))
    for node in line[alive:]:
        stage.fleet.nodes[node].alive = False
    how = strategy(StrategyName.LINEAR, nodes_percent=20)
    number = await stage.begin(NEW, how)
    await stage.turn()
    for node in line:
        stage.fleet.nodes[node].alive = True
    stage.fleet.add("us-6", "us")
    assert stage.runs(line[0]) == 2
    assert {stage.runs(node) for node in line[1:]} == {1}
    await stage.until(number, is_over)
    assert {stage.runs(node) for node in stage.fleet.nodes} == {2}


async def test_by_nodes_one_that_lives_is_among_the_first() -> None:
    stage = Stage(nodes=3)
    await in_force(stage)
    names = [f"us-{number}" for number in range(1, 4)]
    line = sorted(names, key=lambda node: place_in_line("flags", node))
    stage.fleet.nodes[line[0]].alive = False
    how = strategy(StrategyName.LINEAR, nodes_percent=30)
    number = await stage.begin(NEW, how)
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    assert [stage.runs(node) for node in line] == [2, 2, 1]


async def test_by_nodes_what_fails_is_taken_back_from_all_that_have_it() -> None:
    stage = Stage(nodes=5)
    await in_force(stage)
    number = await stage.begin(NEW, strategy(StrategyName.EXPONENTIAL, nodes_percent=20))
    await stage.until(number, lambda found: (found.wave, found.phase) == (1, Phase.BAKING))
    assert sum(stage.runs(node) == 2 for node in stage.fleet.nodes) == 6
    stage.own.verdict = Verdict.FAIL
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.ROLLED_BACK
    assert {stage.runs(node) for node in stage.fleet.nodes} == {1}


# -- clocks


@pytest.mark.parametrize("step_s", [-86_400, -7, 0, 7, 86_400])
async def test_a_wall_clock_that_is_set_makes_no_bake_shorter_or_longer(step_s: int) -> None:
    stage = Stage()
    number = await stage.begin(NEW, replace(LINEAR, order=("eu", "us", "ap")))
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    baked_s = 0.0
    while stage.rollout(number).phase is Phase.BAKING:
        if baked_s in (2.0, 6.0):
            stage.wall_ms += step_s * 1_000
        await stage.turn()
        baked_s += 0.25
        assert baked_s < 60
    assert baked_s == pytest.approx(10, abs=0.26)
    await stage.until(number, is_over)
    assert stage.rollout(number).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
async def test_with_another_leader_and_another_clock_a_bake_is_a_little_longer_at_most(
    step_s: int,
) -> None:
    stage = Stage()
    number = await stage.begin(NEW, replace(LINEAR, order=("eu", "us", "ap")))
    await stage.until(number, lambda found: found.phase is Phase.BAKING)
    for _ in range(32):
        await stage.turn()
    stage.leader = stage.another_leader()
    stage.wall_ms += step_s * 1_000
    turns = await stage.until(number, lambda found: found.phase is not Phase.BAKING)
    assert 10 <= 8 + turns / 4 <= 15.5


# -- slow gates


class SlowAsker:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Future[Look]] = {}

    async def ask(self, gates: Sequence[Gate], regions: Collection[str]) -> list[Look]:
        found = []
        for gate in gates:
            self.asked.append(gate.name)
            if gate.name == "slow":
                waits = self.answers["slow"] = asyncio.get_running_loop().create_future()
                found.append(await waits)
            else:
                found.append(Look(Verdict.PASS))
        return found


class PairOfRollouts:
    """Two rollouts, of which one has a gate that does not answer."""

    def __init__(self) -> None:
        self.asker = SlowAsker()
        self.stage = Stage()
        service = self.stage.service
        keeper = GateKeeper(service, self.asker, lambda: self.stage.wall_ms / 1_000)
        self.stage.gates = keeper
        self.stage.leader = self.stage.another_leader()

    async def begin(self, revision: Revision, gate: str, how: Strategy) -> int:
        page = Gate(gate, GateKind.HTTP, url="http://x")
        return await self.stage.begin(revision, how, gates=(page,))


async def test_a_slow_gate_holds_up_its_own_rollout_and_no_other_one() -> None:
    pair = PairOfRollouts()
    slow = await pair.begin(NEW, "slow", LINEAR)
    quick = await pair.begin(OTHER, "quick", LINEAR)
    await pair.stage.until(quick, is_over)
    assert pair.stage.rollout(quick).phase is Phase.SUCCEEDED
    assert pair.stage.rollout(slow).phase not in OVER
    assert pair.stage.rollout(slow).wave == 0


async def test_what_a_slow_gate_said_counts_when_it_comes() -> None:
    pair = PairOfRollouts()
    slow = await pair.begin(NEW, "slow", LINEAR)
    await pair.stage.until(slow, lambda found: found.phase is Phase.GATING)
    await pair.stage.turn()
    pair.asker.answers["slow"].set_result(Look(Verdict.FAIL, "slow: 500 is not 200"))
    await breathe()
    await pair.stage.turn()
    found = pair.stage.rollout(slow)
    assert (found.phase, found.why) == (Phase.ROLLING_BACK, "slow: 500 is not 200")
    assert [look.detail for look in found.looks] == ["slow: 500 is not 200"]


async def test_an_answer_that_is_too_old_is_asked_for_again() -> None:
    pair = PairOfRollouts()
    slow = await pair.begin(NEW, "slow", LINEAR)
    await pair.stage.until(slow, lambda found: found.phase is Phase.GATING)
    await pair.stage.turn()
    before = pair.asker.answers["slow"]
    await pair.stage.turn(STALE_MS / 1_000 + 1)
    await pair.stage.turn()
    await breathe()
    assert before.cancelled()
    assert pair.asker.answers["slow"] is not before


async def test_nobody_waits_for_an_answer_about_a_rollout_that_is_over() -> None:
    pair = PairOfRollouts()
    slow = await pair.begin(NEW, "slow", LINEAR)
    await pair.stage.until(slow, lambda found: found.phase is Phase.GATING)
    await pair.stage.turn()
    waits = pair.asker.answers["slow"]
    pair.stage.fleet.lead("us-1")  # somebody else leads
    await pair.stage.turn()
    await breathe()
    assert waits.cancelled()
