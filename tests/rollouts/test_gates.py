"""The gates of a rollout as its leader asks them: when, of whom, and what the next leader knows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from config.gate import INTERVAL_MS, Gate, GateKind, GateLook, Look, Measure, Verdict
from config.gate_fleet import FAILOVER_MS, REPORTS_MS, SAMPLES_MS
from config.gate_history import Histories
from config.gate_samples import Before, Sample
from config.rollout import Phase, Reached, RegionStep, Rollout
from config.rollout_record import packed, read_rollout
from config.strategy import Strategy
from controlplane.api.service import Service
from controlplane.node.load_reports import Gathered
from controlplane.rollouts.gates import ALIVE_MS, WAIT_MS, GateKeeper
from controlplane.views import FleetView, NodeView
from regions.latency_matrix import LatencyMatrix
from shards.load_table import LoadTable

PASS, FAIL = Verdict.PASS, Verdict.FAIL
REGIONS = ("eu", "us", "ap")
SECOND_MS = 1_000
START_MS = 1_000_000
WALL_AHEAD_MS = 1_700_000_000_000
HTTP = Gate("page", GateKind.HTTP, url="http://x")


@dataclass
class FleetOnTest:
    """A fleet of one node in each of three regions, of which nobody dies unless it is said."""

    now_ms: int = START_MS
    leads: bool = True
    shards_led: int = 10
    dead: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    errors_of: set[str] = field(default_factory=set)
    requests_per_s: int = 100
    histories: Histories = field(default_factory=Histories)
    counts: dict[str, list[int]] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=lambda: {r: f"{r}-1.a" for r in REGIONS})

    def __post_init__(self) -> None:
        self.counts = {region: [0, 0] for region in REGIONS}
        self.pass_s(0)

    def pass_s(self, seconds: int) -> None:
        """Let time go by, with traffic everywhere and a sample of every node each second."""
        for second in range(seconds + 1):
            self.now_ms += SECOND_MS if second else 0
            for region, counts in self.counts.items():
                if second:
                    counts[0] += self.requests_per_s
                    counts[1] += self.requests_per_s if region in self.errors_of else 0
                node = f"{region}-1"
                if node not in self.mute | self.dead:
                    latency = (0, 0, 0, counts[0])
                    sample = Sample(
                        self.now_ms,
                        self.processes[region],
                        *counts,
                        lags={region: 0},
                        latency=latency,
                    )
                    self.histories.take(node, region, [sample], all_of_it=False)

    def gathered(self) -> Gathered | None:
        """What nodes told."""
        if not self.leads:
            return None
        return Gathered(1, 0, self.now_ms, LoadTable(), LatencyMatrix({}), health=self.histories)

    def fleet(self) -> FleetView:
        """What is known of them."""
        nodes = tuple(
            NodeView(
                f"{r}-1",
                r,
                "",
                f"{r}-1" not in self.dead,
                0,
                1,
                process=self.processes[r],
                left=self.processes[r] if r in self.leaving else "",
            )
            for r in REGIONS
        )
        return FleetView("eu-1", "eu", None, 1, 1, (), (), nodes, 10, self.shards_led, 1)

    def wall_s(self) -> float:
        """The wall clock."""
        return (self.now_ms + WALL_AHEAD_MS) / 1_000


@dataclass
class AskerOnTest:
    """Answers as it is told, and notes what it was asked."""

    verdict: Verdict = PASS
    asked: list[tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=list)

    async def ask(self, gates: Sequence[Gate], regions: Collection[str]) -> list[Look]:
        """The verdict."""
        self.asked.append((tuple(gate.name for gate in gates), frozenset(regions)))
        return [Look(self.verdict, f"{gate.name}: asked") for gate in gates]


class Scene:
    """A rollout whose first wave, of `eu`, was sent just now, and a keeper of its gates."""

    def __init__(self, *gates: Gate, **strategy: Any) -> None:
        self.fleet = FleetOnTest()
        self.fleet.pass_s(60)
        self.asker = AskerOnTest()
        self.keeper = self.another_keeper()
        self.turn_ms = 0
        regions = tuple(RegionStep(region, 1) for region in REGIONS)
        self.rollout = Rollout(
            7, "flags", 2, "d", Strategy(**strategy), (("eu",), ("us", "ap")), regions, "ann",
            phase=Phase.BAKING, gates=gates or (Gate("fleet"),),
        )  # fmt: skip
        self.send("eu")

    def another_keeper(self) -> GateKeeper:
        """One that knows nothing yet."""
        return GateKeeper(cast(Service, self.fleet), self.asker, self.fleet.wall_s)

    def send(self, *names: str) -> None:
        """Regions were sent the version, and have it."""
        since_ms = self.fleet.now_ms + WALL_AHEAD_MS
        sent = [
            replace(each, reached=Reached.APPLIED, step=1, since_ms=since_ms)
            for each in self.rollout.regions
            if each.region in names
        ]
        self.rollout = replace(self.rollout, regions=self.rollout.with_regions(sent))

    async def look(self, seconds: int = 0, **changes: Any) -> Verdict | None:
        """A look after so many seconds."""
        self.fleet.pass_s(seconds)
        self.turn_ms += seconds * SECOND_MS
        self.rollout = replace(self.rollout, **changes)
        found = await self.keeper.look(self.rollout, self.turn_ms)
        return None if found is None else found.verdict

    def write(self) -> Rollout:
        """Write the record down; gives what anybody reads."""
        self.rollout = self.keeper.noted(self.rollout)
        kept = read_rollout(packed(self.rollout))
        assert kept == self.rollout
        return kept


async def test_a_wave_is_looked_at_every_interval_and_at_once_when_its_bake_is_over() -> None:
    scene = Scene()
    assert await scene.look() is None
    assert await scene.look(INTERVAL_MS // SECOND_MS - 1) is None
    assert await scene.look(1) is PASS
    assert await scene.look(1) is None
    assert await scene.look(0, phase=Phase.GATING) is PASS
    assert await scene.look(0) is None
    assert await scene.look(INTERVAL_MS // SECOND_MS) is PASS


async def test_a_successor_looks_at_once_when_it_comes_to_a_gate() -> None:
    scene = Scene()
    scene.fleet.pass_s(5)
    assert await scene.look(0, phase=Phase.GATING) is PASS


async def test_who_does_not_lead_says_nothing() -> None:
    scene = Scene()
    scene.fleet.leads = False
    assert await scene.look(30, phase=Phase.GATING) is None


async def test_errors_in_the_wave_fail_it_and_elsewhere_do_not() -> None:
    scene = Scene()
    await scene.look()
    scene.fleet.errors_of = {"us", "ap"}
    assert await scene.look(20) is PASS
    scene = Scene()
    await scene.look()
    scene.fleet.errors_of = {"eu"}
    assert await scene.look(20) is FAIL
    (kept,) = scene.write().looks
    assert (kept.gate, kept.verdict, kept.window_ms) == ("fleet", FAIL, 20_000)
    assert kept.detail == "fleet: errors of the wave: 100 %, at most 1, before 0"
    assert kept.wall_ms == scene.fleet.now_ms + WALL_AHEAD_MS


async def test_a_region_that_was_bad_before_the_wave_does_not_fail_it() -> None:
    scene = Scene()
    scene.fleet.errors_of = {"eu"}
    scene.fleet.pass_s(10)
    scene.fleet.errors_of = set()
    scene.fleet.pass_s(10)
    scene.send("eu")
    assert await scene.look() is None
    scene.fleet.errors_of = {"eu"}
    scene.fleet.pass_s(2)
    scene.fleet.errors_of = set()
    assert await scene.look(10) is PASS


async def test_a_node_that_died_while_the_wave_was_sent_is_missed() -> None:
    scene = Scene()
    scene.fleet.dead = {"eu-1"}
    scene.fleet.pass_s(3)  # it is gone before the wave is looked at first
    assert await scene.look() is None
    assert await scene.look(10) is FAIL
    assert scene.write().looks[0].detail == "fleet: eu-1 died"


async def test_a_node_that_died_and_is_back_before_anybody_looked_is_missed() -> None:
    scene = Scene()
    await scene.look(2)
    scene.fleet.processes["eu"] = "eu-1.b"
    scene.fleet.counts["eu"] = [0, 0]
    assert await scene.look(10) is FAIL
    assert scene.write().looks[0].detail == "fleet: eu-1 died and began anew"


async def test_a_node_that_was_dead_before_or_is_being_stopped_is_not() -> None:
    scene = Scene(Gate("fleet", measures=(Measure.NODES,)))
    scene.fleet.dead = {"eu-1"}
    scene.fleet.pass_s(ALIVE_MS // SECOND_MS + 1)
    scene.send("eu")
    assert await scene.look() is None
    assert await scene.look(10) is PASS
    stopped = Scene(Gate("fleet", measures=(Measure.NODES,)))
    assert await stopped.look() is None
    stopped.fleet.dead, stopped.fleet.leaving = {"eu-1"}, {"eu"}
    assert await stopped.look(10) is PASS


async def test_the_gates_clock_stands_still_during_a_failover_and_nobody_else_is_asked() -> None:
    scene = Scene(Gate("fleet"), HTTP)
    await scene.look()
    scene.fleet.shards_led = 9
    seconds = 0
    while (found := await scene.look(10 if not seconds else 1)) is None:
        assert scene.asker.asked == []
        seconds += 1
        assert seconds < 60
    assert found is FAIL
    assert seconds == FAILOVER_MS // SECOND_MS
    assert "1 shards have no leader" in scene.write().looks[0].detail
    again = Scene()
    await again.look()
    again.fleet.shards_led = 9
    assert await again.look(10) is None
    again.fleet.shards_led = 10
    assert await again.look(WAIT_MS // SECOND_MS + 1) is PASS


async def test_a_node_that_says_nothing_of_itself_is_waited_for_and_then_there_is_no_data() -> None:
    scene = Scene()
    scene.fleet.mute = {"eu-1"}
    await scene.look()
    assert await scene.look(10, phase=Phase.GATING) is None
    assert await scene.look(REPORTS_MS // SECOND_MS - 10) is Verdict.NO_DATA
    scene.fleet.mute = set()
    assert await scene.look(INTERVAL_MS // SECOND_MS) is PASS


async def test_a_wave_whose_traffic_went_away_is_inconclusive_after_a_while() -> None:
    scene = Scene()
    scene.fleet.requests_per_s = 0
    assert await scene.look(5, phase=Phase.GATING) is None
    assert await scene.look(SAMPLES_MS // SECOND_MS - 6) is None
    assert await scene.look(1) is Verdict.INCONCLUSIVE


async def test_a_wave_that_does_not_bake_is_asked_for_nodes_and_leaders_alone() -> None:
    scene = Scene(bake_ms=0)
    scene.fleet.errors_of = {"eu"}
    assert await scene.look(1, phase=Phase.GATING) is PASS
    final = Scene(bake_ms=0)
    final.fleet.errors_of = {"eu"}
    assert await final.look(0, phase=Phase.FINAL_BAKE, is_final=True) is None
    assert await final.look(10) is FAIL


async def test_at_last_all_regions_are_watched_each_against_the_time_before_its_own_wave() -> None:
    scene = Scene()
    await scene.look()
    first = scene.write().before
    assert first is not None
    scene.fleet.errors_of = {"eu"}  # nobody looked in time
    scene.fleet.pass_s(100)
    scene.send("us", "ap")
    await scene.look(0, wave=1)
    second = scene.write().before
    assert second is not None
    assert (first.wave, second.wave) == (0, 1)
    assert second.of("eu") == first.of("eu")
    assert second.of("us") != first.of("us")
    assert await scene.look(10) is PASS, "us and ap are well"
    well = [replace(each, reached=Reached.HEALTHY) for each in scene.rollout.regions]
    assert await scene.look(10, phase=Phase.FINAL_BAKE, is_final=True, regions=tuple(well)) is FAIL
    assert "errors of eu" in scene.write().looks[0].detail


async def test_a_region_that_was_left_for_later_is_neither_watched_nor_beside_it() -> None:
    scene = Scene(HTTP)
    await scene.look()
    scene.send("us", "ap")
    left = [replace(each, reached=Reached.DEFERRED) for each in scene.rollout.regions[2:]]
    regions = scene.rollout.with_regions(left)
    assert await scene.look(10, wave=1, regions=regions, phase=Phase.GATING) is PASS
    assert scene.asker.asked[-1] == (("page",), frozenset({"us"}))


async def test_gates_that_only_report_are_kept_and_do_not_count() -> None:
    quiet = replace(HTTP, dry_run=True)
    scene = Scene(Gate("fleet"), quiet)
    scene.asker.verdict = FAIL
    await scene.look()
    assert await scene.look(10) is PASS
    wall_ms = scene.fleet.now_ms + WALL_AHEAD_MS
    assert scene.write().looks == (
        GateLook("fleet", PASS, "fleet: as before", wall_ms, 10_000),
        GateLook("page", FAIL, "page: asked", wall_ms, 10_000, dry_run=True),
    )


async def test_a_gate_that_only_reports_keeps_nobody_waiting() -> None:
    scene = Scene(replace(Gate("fleet"), dry_run=True), HTTP)
    scene.fleet.shards_led = 10
    await scene.look()
    scene.fleet.shards_led = 9
    assert await scene.look(10) is PASS
    own, page = scene.write().looks
    assert (own.verdict, own.detail) == (Verdict.INCONCLUSIVE, "fleet: it waits")
    assert page.verdict is PASS


async def test_without_somebody_who_asks_outside_there_is_no_data() -> None:
    scene = Scene(HTTP)
    scene.keeper = GateKeeper(cast(Service, scene.fleet), None, scene.fleet.wall_s)
    assert await scene.look(1, phase=Phase.GATING) is Verdict.NO_DATA


# -- another leader


async def test_a_successor_shows_what_was_said_and_holds_the_wave_against_the_same() -> None:
    scene = Scene()
    await scene.look()
    assert await scene.look(10) is PASS
    kept = scene.write()
    scene.fleet.histories = Histories()  # it has heard nothing of the time before it led
    scene.keeper = scene.another_keeper()
    scene.fleet.errors_of = {"eu"}
    assert await scene.look(5) is None
    assert scene.write().looks == kept.looks
    assert scene.write().before == kept.before
    assert await scene.look(10) is FAIL


async def test_a_successor_before_anything_was_written_finds_how_it_was_in_what_nodes_told() -> (
    None
):
    scene = Scene()
    scene.fleet.dead = {"eu-1"}
    await scene.look(3)
    first = scene.keeper.noted(scene.rollout).before
    scene.keeper = scene.another_keeper()
    await scene.look(3)
    second = scene.write().before
    assert isinstance(second, Before)
    assert second == first
    assert second.of("eu").alive == (("eu-1", "eu-1.a"),)


@pytest.mark.parametrize("step_s", [-3_600, 3_600])
async def test_a_step_of_the_wall_clock_is_no_failure_of_a_wave(step_s: int) -> None:
    scene = Scene()
    stepped = scene.fleet.wall_s
    scene.keeper = GateKeeper(cast(Service, scene.fleet), scene.asker, lambda: stepped() + step_s)
    assert await scene.look(1) is None
    found = await scene.look(SAMPLES_MS // SECOND_MS, phase=Phase.GATING)
    assert found is PASS
    scene.fleet.errors_of = {"eu"}
    found = await scene.look(60)
    assert found in (FAIL, Verdict.INCONCLUSIVE)


async def test_what_is_known_of_a_rollout_that_is_over_is_forgotten() -> None:
    scene = Scene()
    await scene.look()
    assert await scene.look(10) is PASS
    scene.keeper.forget([7])
    assert scene.keeper.noted(scene.rollout).looks
    scene.keeper.forget([8])
    assert scene.keeper.noted(scene.rollout) == scene.rollout


async def test_a_region_that_runs_what_another_rollout_gave_it_is_no_control_region() -> None:
    scene = Scene()
    inherits = [replace(each, inherits=True) for each in scene.rollout.regions if each.step == 0]
    regions = scene.rollout.with_regions(inherits)
    await scene.look(0, regions=regions)
    scene.fleet.errors_of = {"eu", "us", "ap"}
    assert await scene.look(20) is FAIL
