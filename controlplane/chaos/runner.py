"""One scenario from beginning to end: fleet, load, faults, calm, last operations, judgement."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from random import Random

from controlplane.bench.machine_facts import MachineFacts, machine_facts
from controlplane.chaos.beats import Beats
from controlplane.chaos.clients import ChaosClient, RunClock, clients_of
from controlplane.chaos.eyes import Eyes, total
from controlplane.chaos.faults import Timeline
from controlplane.chaos.fleet_on_trial import FleetOnTrial
from controlplane.chaos.log_reader import LogReader, groups_of
from controlplane.chaos.scenario import Scenario
from controlplane.chaos.struck import Struck
from controlplane.chaos.verdicts import Seen, Verdict, judge, succeeded
from controlplane.chaos.whole import Expectation, states_of, until_whole
from controlplane.errors import FleetFailed
from controlplane.http_client import HttpClient
from controlplane.simulator.checkers.findings import Findings
from controlplane.simulator.checkers.history import Operation

READY_S_MAX = 60.0
LAST_S_MAX = 20.0
AGAIN_S = 0.1
STALE_SERIES = "leadplane_stale_operations_accepted_total"
DIVERGED_SERIES = 'leadplane_events_total{kind="diverged"}'

Tell = Callable[[str], None]
MakeFleet = Callable[[Scenario], AbstractAsyncContextManager[FleetOnTrial]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run with everything that a report of it needs."""

    scenario: Scenario
    seed: str
    fleet: str
    machine: MachineFacts
    seen: Seen
    verdicts: list[Verdict]
    leaders: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Who led each shard in which epoch."""

    @property
    def holds(self) -> bool:
        """Whether every verdict does."""
        return all(verdict.holds for verdict in self.verdicts)


async def run_scenario(
    scenario: Scenario, make_fleet: MakeFleet, tell: Tell, seed: str | None = None
) -> Run:
    """Run one scenario on a fleet of its own. Raises ChaosImpossible, FleetFailed."""
    seed = seed or secrets.token_hex(4)
    began = time.monotonic()
    async with make_fleet(scenario) as fleet:
        tell(f"{scenario.name}: up after {time.monotonic() - began:.0f} s, seed {seed}")
        async with HttpClient(connect_timeout_ms=500) as http:
            trial = _Trial(scenario, fleet, Eyes(http, fleet.urls), http, seed, tell)
            return await trial.run()


class _Trial:
    """One run while it goes on."""

    def __init__(
        self,
        scenario: Scenario,
        fleet: FleetOnTrial,
        eyes: Eyes,
        http: HttpClient,
        seed: str,
        tell: Tell,
    ) -> None:
        self._scenario = scenario
        self._fleet = fleet
        self._eyes = eyes
        self._http = http
        self._seed = seed
        self._tell = tell
        self._load_ended_ms = 0

    async def run(self) -> Run:
        scenario, fleet, eyes = self._scenario, self._fleet, self._eyes
        keys = await self._keys()
        shards = sorted(set(keys.values()))
        findings = Findings()
        reader = await self._reader(set(shards), findings)
        rows = await eyes.rows(next(iter(eyes.urls)))
        clock = RunClock()
        clients = clients_of(scenario.load, self._http, fleet.urls, keys, clock, self._seed)
        partitions = {shard: _partition(key) for key, shard in keys.items()}
        beats = Beats(self._http, fleet.urls, partitions, clock, self._seed)
        struck = await self._trouble(clients, beats, reader, clock)
        calm_ms = clock.now_ms()
        forgetful = [t for s in struck if s.kind == "forget" for t in s.targets]
        after = scenario.expect.store_after
        others = dict.fromkeys(forgetful, after) if after != "up" else {}
        missing = await until_whole(
            eyes, Expectation(len(rows), others), scenario.expect.whole_within_s
        )
        whole_after_ms = None if missing else clock.now_ms() - calm_ms
        self._tell(f"{scenario.name}: {missing or f'whole again after {whole_after_ms} ms'}")
        last_client = ChaosClient("last", self._http, fleet.urls, keys, clock, Random(self._seed))
        last = await _last_operations(last_client, sorted(keys))
        if reader is not None:
            await reader.look()
        counters = await eyes.all_counters()
        everybody = (*clients, *beats.clients, last_client)
        seen = Seen(
            scenario=scenario,
            history=[o for client in everybody for o in client.history],
            struck=struck,
            logs=None if reader is None else reader.logs,
            log_findings=findings,
            last=last,
            load_ended_ms=self._load_ended_ms,
            whole_after_ms=whole_after_ms,
            not_whole=missing,
            stale_accepted=total(counters, STALE_SERIES),
            diverged=total(counters, DIVERGED_SERIES),
            stores_after=await states_of(eyes, forgetful),
        )
        leaders = {shard: await eyes.leaders(shard) for shard in shards}
        verdicts = judge(seen)
        about = fleet.says_of_itself()
        return Run(scenario, self._seed, about, machine_facts(), seen, verdicts, leaders)

    async def _keys(self) -> dict[str, str]:
        """The keys of the load, each with its shard."""
        keys = {}
        for number in range(self._scenario.load.keys):
            key = f"{{chaos-{number}}}/k"
            route = await self._eyes.first(f"/v1/route?key=%7Bchaos-{number}%7D%2Fk")
            if route is None:
                raise FleetFailed("no node says where a key lives", hint="see their logs")
            keys[key] = str(route["shard"])
        return keys

    async def _reader(self, shards: set[str], findings: Findings) -> LogReader | None:
        topology = self._fleet.topology
        if topology is None:
            return None
        rows = await self._eyes.rows(next(iter(self._eyes.urls)))
        return LogReader(topology, groups_of(rows, shards), findings)

    async def _trouble(
        self,
        clients: Sequence[ChaosClient],
        beats: Beats,
        reader: LogReader | None,
        clock: RunClock,
    ) -> list[Struck]:
        """Load, and all faults; return when both are over."""
        scenario, stop, read_on = self._scenario, asyncio.Event(), asyncio.Event()
        timeline = Timeline(self._fleet, self._eyes, clock)
        async with asyncio.TaskGroup() as tasks:
            if reader is not None:
                tasks.create_task(reader.follow(read_on))
            async with asyncio.TaskGroup() as work:
                for client in clients:
                    work.create_task(client.work(scenario.load, stop))
                work.create_task(beats.run(stop))
                work.create_task(self._tell_progress(clients, timeline, stop))
                faults = work.create_task(timeline.run(scenario.faults))
                await asyncio.sleep(scenario.lasts_s)
                stop.set()
                self._load_ended_ms = clock.now_ms()
                await faults
            read_on.set()
        return timeline.struck

    async def _tell_progress(
        self,
        clients: Sequence[ChaosClient],
        timeline: Timeline,
        stop: asyncio.Event,
    ) -> None:
        """Say each fault once, when it has come."""
        told = 0
        while not stop.is_set():
            for struck in timeline.struck[told:]:
                done = sum(succeeded(o) for client in clients for o in client.history)
                at = f"{struck.began_ms / 1_000:.1f} s"
                self._tell(f"  {at}: {struck.what}; {done:,} operations so far")
            told = len(timeline.struck)
            await asyncio.sleep(AGAIN_S)


def _partition(key: str) -> str:
    return key[1 : key.index("}")]


async def _last_operations(client: ChaosClient, keys: list[str]) -> list[Operation]:
    """One write and one strong read of every key: repeated until they succeed, or time is up."""
    last = []
    for key in keys:
        last.append(await _until_done(client, partial(client.write, key)))
        last.append(await _until_done(client, partial(client.read, key, "strong")))
    return last


async def _until_done(client: ChaosClient, attempt: Callable[[], Awaitable[object]]) -> Operation:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + LAST_S_MAX
    while True:
        await attempt()
        if succeeded(client.history[-1]) or loop.time() > give_up:
            return client.history[-1]
        await asyncio.sleep(AGAIN_S)
